"""From an edition to its pages, with every parameter checked."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

import helpers.editions.notebooks as notebooks
from helpers.editions.edition import OWN, Edition, names, own_name
from helpers.editions.parameters import (
    INSPECTED,
    Check,
    Parameter,
    check,
    checks,
    of,
)
from helpers.runtime.errors import unknown

_LEDGER = re.compile(r"\bclaims\.ledger\(|\bVITSCOPE_LEDGER\b")


@dataclass(frozen=True)
class Job:
    """One page of an edition, ready to run.

    Attributes:
        page: its name.
        source: its `.md` file.
        notebook: that file as a notebook, prose in MyST.
        declared: the page's parameters.
        parameters: the value of each.
    """

    page: str
    source: Path
    notebook: NotebookNode
    declared: dict[str, Parameter]
    parameters: dict[str, Any]

    @property
    def overrides(self) -> dict[str, Any]:
        """Those values that are not the page's own."""
        return {
            name: value
            for name, value in self.parameters.items()
            if value != self.declared[name].default
        }

    @property
    def is_back(self) -> bool:
        """Tell whether it reads the ledger, so runs after all others."""
        return bool(_LEDGER.search(notebooks.code(self.notebook)))

    def specs(self, kind: str) -> list[str]:
        """List the specs that it is given, each once.

        Args:
            kind: how the comments start, `model spec` or `image spec`.
        """
        named = [
            spec
            for own in self.declared.values()
            if own.help.startswith(kind)
            for spec in own.specs(self.parameters)
        ]
        return list(dict.fromkeys(named))


def sources(root: Path) -> dict[str, tuple[Path, NotebookNode]]:
    """Return the pages that have code, in the order of the book."""
    read = {
        page: (source, notebooks.read(source))
        for page, source in notebooks.contents(root).items()
    }
    return {
        page: found
        for page, found in read.items()
        if notebooks.has_code(found[1])
    }


def inspecting(root: Path) -> str:
    """Return the page that reports on one model.

    Raises:
        ValueError: no page of this book has a parameter for it.
    """
    for page, (_, notebook) in sources(root).items():
        if INSPECTED in [own.role for own in of(notebook, page).values()]:
            return page
    raise ValueError(f"no page of {root} has a `model spec ({INSPECTED})`")


def select(given: Iterable[str], root: Path) -> tuple[list[str], list[str]]:
    """Sort names from the command line into editions and pages.

    Raises:
        ValueError: for a name that is neither, naming the nearest.
    """
    pages, known = list(sources(root)), names(root)
    chosen: tuple[list[str], list[str]] = ([], [])
    for name in given:
        if name in known or Path(name).suffix in (".yaml", ".yml"):
            chosen[0].append(name)
        elif name in pages:
            chosen[1].append(name)
        else:
            raise unknown("edition or page", name, [*known, *pages])
    return chosen


def amend(
    edition: Edition,
    texts: Sequence[tuple[str, str]],
    pages: Sequence[str],
    root: Path,
    name: str = OWN,
) -> Edition:
    """Make an edition of one's own from parameters given as text.

    Args:
        edition: what to start from.
        texts: parameter names and values, as on the command line.
        pages: the pages that take them; all pages when empty.
        root: the checkout.
        name: the name of the result.

    Raises:
        ValueError: a parameter that none of these pages has, naming the
            nearest, or a name that the book's own editions have.
    """
    name = own_name(name)
    read = sources(root)
    declared = {page: of(read[page][1], page) for page in pages or read}
    values = {page: dict(v) for page, v in edition.pages.items()}
    for parameter, text in texts:
        takers = [p for p, known in declared.items() if parameter in known]
        if not takers:
            where = " and ".join(pages) or "any page"
            known = {name for found in declared.values() for name in found}
            raise unknown(f"parameter of {where}", parameter, sorted(known))
        for page in takers:
            value = declared[page][parameter].parse(text)
            values.setdefault(page, {})[parameter] = value
    title = f"{edition.title} ({name})"
    return replace(edition, name=name, title=title, pages=values)


def plan(
    edition: Edition,
    root: Path,
    pages: Sequence[str] = (),
    validators: Mapping[str, Check] | None = None,
) -> list[Job]:
    """Check the parameters of an edition and list its pages.

    Args:
        edition: what to run.
        root: the checkout.
        pages: the pages whose values are checked; all of them when empty.
        validators: what validates specifications; those of the helpers by
            default.

    Returns:
        One job per page that has code and is not left out, in the order of the
        book, the pages that read the ledger last.

    Raises:
        ValueError: an unknown page or parameter, a wrong type, a value out
            of range or an invalid specification, naming the nearest valid
            choice; a page that the edition leaves out.
    """
    if validators is None:
        validators = checks()
    read = sources(root)
    for page in (*edition.pages, *edition.left_out):
        if page not in read:
            raise unknown(f"page in edition {edition.name}", page, read)
    for page in set(pages) & set(edition.left_out):
        raise ValueError(
            f"{page} is left out of edition {edition.name}: "
            f"{edition.left_out[page]}"
        )
    declared = {p: of(book, p) for p, (_, book) in read.items()}
    anywhere = {name for found in declared.values() for name in found}
    for name in edition.parameters:
        if name not in anywhere:
            what = f"parameter in edition {edition.name}"
            raise unknown(what, name, sorted(anywhere))
    jobs = []
    for page, (source, notebook) in read.items():
        if page in edition.left_out:
            continue
        own = declared[page]
        shared = {k: v for k, v in edition.parameters.items() if k in own}
        values = {k: p.default for k, p in own.items()} | shared
        values |= edition.pages.get(page, {})
        if not pages or page in pages:
            check(page, own, values, validators)
        jobs.append(Job(page, source, notebook, own, values))
    return sorted(jobs, key=lambda job: job.is_back)
