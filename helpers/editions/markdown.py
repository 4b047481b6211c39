"""MyST prose as plain Markdown, for Colab and GitHub.

Sphinx renders citations, admonitions and cross references; a notebook viewer
shows them raw. `Plain` rewrites those that the book uses and refuses the
others, so that nothing raw slips through. Not a MyST parser: it knows fences
and roles, line by line, and no nesting of a role inside another.
"""

import re
from functools import cached_property
from pathlib import Path

from helpers.runtime.errors import unknown

ADMONITIONS = {
    "note", "tip", "hint", "important", "warning", "caution", "attention",
    "danger", "error", "seealso",
}  # fmt: skip
OTHERS = {"dropdown", "div"}
ROLES = {"cite", "cite:p", "cite:t"}

_OPEN = re.compile(r"^\s*(:{3,}|`{3,})\{([\w-]+)\}\s*(.*)$")
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})(?!\{)")
_OPTION = re.compile(r"^\s*:[\w-]+:")
_ROLE = re.compile(r"(?<!`)\{([\w:-]+)\}`([^`]+)`")
_TARGET = re.compile(r"^\([\w:.-]+\)=\s*$")
_LINK = re.compile(r"\[([^\]]*)\]\(([\w./-]+)\.md(#[\w-]+)?\)")


class Plain:
    """Rewriter of one page's prose.

    Args:
        page: the MyST source; links are resolved against its folder.
        bibliography: the BibTeX file that citations are read from.
    """

    def __init__(self, page: Path, bibliography: Path) -> None:
        self._folder = page.parent
        self._bibliography = bibliography

    def __call__(self, text: str) -> str:
        """Return MyST `text` as plain Markdown."""
        return self._blocks(text.splitlines()).strip("\n")

    def _blocks(self, lines: list[str]) -> str:
        """Rewrite directives; the prose between them goes to `_inline`."""
        out: list[str] = []
        prose: list[str] = []

        def flush() -> None:
            if prose:
                out.append(self._inline("\n".join(prose)))
                prose.clear()

        at = 0
        while at < len(lines):
            opened, fenced = _OPEN.match(lines[at]), _FENCE.match(lines[at])
            mark = opened or fenced
            if mark:
                flush()
                end = _closing(lines, at, mark[1])
                if opened:
                    body = lines[at + 1 : end]
                    out.append(self._directive(opened[2], opened[3], body))
                else:
                    out.append("\n".join(lines[at : end + 1]))
                at = end
            elif not _TARGET.match(lines[at]) and lines[at][:1] != "%":
                prose.append(lines[at])
            at += 1
        flush()
        return "\n".join(out)

    def _directive(self, name: str, title: str, body: list[str]) -> str:
        """Rewrite one directive with its title and body lines."""
        while body and _OPTION.match(body[0]):
            body = body[1:]
        if name == "div":  # its title is a class of the style sheet
            return self._blocks(body)
        if name == "dropdown":
            head = f"<details><summary>{self._inline(title)}</summary>"
            return f"{head}\n\n{self._blocks(body)}\n\n</details>"
        if name not in ADMONITIONS:
            raise unknown("directive", name, sorted(ADMONITIONS | OTHERS))
        body = [title, *body] if title else body
        inner = f"**{name.capitalize()}**\n\n{self._blocks(body)}".rstrip()
        return "\n".join(f"> {row}".rstrip() for row in inner.split("\n"))

    def _inline(self, text: str) -> str:
        """Rewrite roles and links between pages."""
        text = _ROLE.sub(lambda m: self._role(m[1], m[2]), text)
        return _LINK.sub(self._link, text)

    def _role(self, name: str, content: str) -> str:
        """Rewrite one role, `{name}`content``."""
        if name not in ROLES:
            raise unknown("role", name, sorted(ROLES))
        keys = [key.strip() for key in content.split(",")]
        return self._cite(keys, textual=name == "cite:t")

    def _link(self, match: re.Match[str]) -> str:
        """Point a link to a page at its notebook, if it has one."""
        text, target, anchor = match[1], match[2], match[3] or ""
        suffix = ".ipynb" if self._is_notebook(target) else ".md"
        return f"[{text or self._title(target)}]({target}{suffix}{anchor})"

    def _is_notebook(self, target: str) -> bool:
        page = self._folder / f"{target}.md"
        return page.is_file() and "```{code-cell}" in page.read_text("utf-8")

    def _title(self, target: str) -> str:
        page = self._folder / f"{target.lstrip('/')}.md"
        if page.is_file():
            found = re.search(r"^# (.+)$", page.read_text("utf-8"), re.M)
            if found:
                return found[1].strip()
        raise FileNotFoundError(f"a link names the page {target!r}: no {page}")

    @cached_property
    def _references(self) -> dict[str, tuple[str, str, str]]:
        """Citation key to authors, year (as text shows them) and address."""
        from pybtex.database import parse_file

        found = {}
        for key, entry in parse_file(str(self._bibliography)).entries.items():
            people = entry.persons.get("author", [])
            names = [
                " ".join([*p.prelast_names, *p.last_names]).strip("{}")
                for p in people
            ]
            match names:
                case []:
                    authors = entry.fields.get("title", key).strip("{}")
                case [one]:
                    authors = one
                case [one, two] if two != "others":
                    authors = f"{one} and {two}"
                case _:
                    authors = f"{names[0]} et al."
            address = entry.fields.get("url", "")
            if not address and "doi" in entry.fields:
                address = "https://doi.org/" + entry.fields["doi"]
            year = entry.fields.get("year", "n.d.")
            found[key] = (authors, year, address)
        return found

    def _cite(self, keys: list[str], textual: bool) -> str:
        """Write citations as text, `A and B (2021)` or `(A and B, 2021)`."""
        for key in keys:
            if key not in self._references:
                raise unknown("citation", key, self._references)
        shown = []
        for who, year, address in map(self._references.__getitem__, keys):
            text = f"{who} ({year})" if textual else f"{who}, {year}"
            shown.append(f"[{text}]({address})" if address else text)
        return ", ".join(shown) if textual else f"({'; '.join(shown)})"


def _closing(lines: list[str], start: int, fence: str) -> int:
    """Return the index of the line that closes the fence opened at `start`."""
    for at in range(start + 1, len(lines)):
        row = lines[at].strip()
        if len(row) >= len(fence) and set(row) == {fence[0]}:
            return at
    raise ValueError(f"this fence is never closed: {lines[start]!r}")
