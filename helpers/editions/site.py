"""From executed pages to a site.

Jupyter Book renders here and never executes: the runner has done that, so
the default book and a reader's own edition come from the same code. A plain
`jupyter-book build .` works as well, and then executes by itself.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import nbformat
import yaml

import helpers.editions.results as results
from helpers.editions.edition import Edition
from helpers.editions.jobs import Job, plan

_WARNING = re.compile(r"WARNING|ERROR|CRITICAL|Traceback|Exception")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SKIP = shutil.ignore_patterns("*.ipynb", ".ipynb_checkpoints", "__pycache__")


def build(
    edition: Edition,
    root: Path,
    say: Callable[[str], None] = print,
    only: str | None = None,
) -> Path:
    """Render the executed pages of an edition as a static site.

    The old site stays in place until the new one is complete.

    Args:
        edition: what to render.
        root: the checkout.
        say: takes a line for each page without up-to-date results.
        only: make a site of this page and the references, nothing else.

    Returns:
        The first page, `_build/editions/<edition>/html/index.html`.

    Raises:
        FileNotFoundError: nothing of this edition has been executed.
        ValueError: Sphinx warned; says of what.
    """
    folder = edition.folder(root)
    jobs = plan(edition, root, validators={})
    rows = results.ledger(edition, folder, jobs)["pages"]
    if only:
        jobs = [job for job in jobs if job.page == only]
    done = [job for job in jobs if results.executed(folder, job).is_file()]
    if not done:
        raise FileNotFoundError(
            f"edition {edition.name} has no executed pages yet: run "
            f"`vitscope run {edition.name}`"
        )
    for job in jobs:
        if job.page not in rows:
            state = "out of date" if job in done else "not executed"
            say(f"{job.page}: {state}; `vitscope run {edition.name}`")
    with results.alone(folder, say):
        html = _replace(edition, root, done, only)
    return html / "index.html"


def _replace(
    edition: Edition, root: Path, done: list[Job], only: str | None
) -> Path:
    """Build a site and put it in the place of the old one."""
    folder = edition.folder(root)
    stage(edition, root, done, only)
    html, made = folder / "html", folder / "made"
    shutil.rmtree(made, ignore_errors=True)
    log = _jupyter_book(folder / "site", made)
    if log:
        raise ValueError(f"the site of {edition.name} did not build:\n{log}")
    old = folder / "html.old"
    shutil.rmtree(old, ignore_errors=True)
    if html.exists():
        os.replace(html, old)
    os.replace(made / "_build" / "html", html)
    for rest in (old, made):
        shutil.rmtree(rest, ignore_errors=True)
    return html


def stage(
    edition: Edition, root: Path, done: list[Job], only: str | None = None
) -> Path:
    """Write the sources of an edition's site.

    Args:
        edition: gives the title.
        root: the checkout, whose `book/` is copied.
        done: the pages that are rendered from their executed notebooks; the
            others from their sources, without results.
        only: see `build`.

    Returns:
        The folder to give to Jupyter Book.
    """
    site = edition.folder(root) / "site"
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(root / "book", site / "book", ignore=_SKIP)
    if (changes := root / "CHANGELOG.md").is_file():
        shutil.copy(changes, site)
    if only:
        back = [{"file": "book/references"}]
        toc = {"format": "jb-book", "root": f"book/{only}", "chapters": back}
        results.write(site / "_toc.yml", yaml.safe_dump(toc, sort_keys=False))
    else:
        shutil.copy(root / "_toc.yml", site)
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    config["title"] = edition.title
    config.setdefault("execute", {})["execute_notebooks"] = "off"
    config["exclude_patterns"] = [
        pattern
        for pattern in config.get("exclude_patterns", [])
        if not pattern.endswith(".ipynb")
    ]
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    (site / "_config.yml").write_text(text, "utf-8")
    names = {job.source.name for job in done}
    for source in (site / "book").rglob("*.md"):
        text = source.read_text("utf-8")
        if why := edition.left_out.get(source.stem):
            note = f":::{{note}}\nNot part of this edition: {why}\n:::"
            text = re.sub(
                "^# .*$", rf"\g<0>\n\n{note}", text, count=1, flags=re.M
            )
        source.write_text(_relinked(text, names), "utf-8")
    for job in done:
        page = site / job.source.relative_to(root)
        page.unlink()
        path = results.executed(edition.folder(root), job)
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = _relinked(cell.source, names)
                if only:
                    cell.source = _unlinked(cell.source)
        nbformat.write(notebook, page.with_suffix(".ipynb"))
    return site


def _relinked(text: str, names: set[str]) -> str:
    """Point links to pages that are notebooks now at those."""

    def link(match: re.Match[str]) -> str:
        target = Path(match[1])
        if target.name in names:
            return (
                f"]({target.with_suffix('.ipynb').as_posix()}{match[2] or ''})"
            )
        return match[0]

    return re.sub(r"\]\(([\w./-]+\.md)(#[^)\s]*)?\)", link, text)


def _unlinked(text: str) -> str:
    """Leave the words of links to pages that are not part of the site."""
    return re.sub(r"\[([^\]]+)\]\([\w./-]+\.(?:md|ipynb)[^)]*\)", r"\1", text)


def _jupyter_book(site: Path, output: Path) -> str:
    """Build a staged site; return what went wrong, nothing if it is clean."""
    call = "from jupyter_book.cli.main import main; main()"
    order = ["build", str(site), "-W", "--keep-going"]
    book = subprocess.run(
        [sys.executable, "-c", call, *order, "--path-output", str(output)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if book.returncode == 0:
        return ""
    lines = _COLOUR.sub("", book.stdout).splitlines()
    warnings = [line for line in lines if _WARNING.search(line)]
    return "\n".join(warnings or lines[-30:])


def summary(edition: Edition, root: Path) -> str:
    """Count the verdicts of an edition's ledger, in one line."""
    from helpers.claims import VERDICTS, table

    path = edition.folder(root) / "ledger.json"
    pages = json.loads(path.read_text("utf-8"))["pages"]
    rows = [row for page in pages.values() for row in page["verdicts"]]
    counts = Counter(row["verdict"] for row in table(rows, pages))
    parts = [f"{counts[word]} {word}" for word in VERDICTS]
    return f"claims: {', '.join(parts)}"
