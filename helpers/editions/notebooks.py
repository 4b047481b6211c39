"""Pages as notebooks: read a MyST source, write its committed twin.

`book/<page>.md` is the only file people edit. `book/<page>.ipynb` beside it
is generated for Colab, GitHub and papermill: no outputs, cell ids that depend
on the text alone, MyST rewritten as plain Markdown, an install cell that
installs only where the helpers are missing, and one that checks parameters.
Equal sources give equal bytes, so a test can compare. Do not pair the two
files with `jupytext --sync`: it takes the newer one, and in a fresh clone that
is a matter of chance.
"""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import yaml
from nbformat import NotebookNode

import helpers.editions.markdown as markdown
import helpers.editions.parameters as parameters

INSTALL = """\
# Where the book's package is missing, as in Colab: install it, its models and
# images included. The torch and numpy at hand stay; a GPU at hand is used.
from importlib import invalidate_caches, metadata, util

if util.find_spec("helpers") is None:
    kept = filter(util.find_spec, ["torch", "torchvision", "numpy"])
    pins = " ".join(f"{name}=={metadata.version(name)}" for name in kept)
    %pip install -q {pins} "vitscope @ git+URL"
    invalidate_caches()

from helpers.editions.provenance import environment

print("This page runs on:", environment()["device"])
"""
CHECK = """\
# Refuse values that this page cannot run with, before it takes its time.
from helpers.editions.parameters import check_here

check_here(globals())
"""


def contents(root: Path) -> dict[str, Path]:
    """Return the pages of the book, in the order of `_toc.yml`.

    Args:
        root: the folder of `_toc.yml` and `book/`.

    Returns:
        Page name (its path below `book/`, no suffix) to its MyST source.

    Raises:
        FileNotFoundError: when `_toc.yml` names a page that is not there.
    """
    toc = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    pages = {}
    for entry in _entries(toc):
        source = (root / entry).with_suffix(".md")
        if not source.is_file():
            raise FileNotFoundError(
                f"_toc.yml names {entry!r}, but {source} does not exist"
            )
        name = source.relative_to(root / "book").with_suffix("")
        pages[name.as_posix()] = source
    return pages


def _entries(node: Any) -> list[str]:
    """List the `root` and `file` entries of a table of contents."""
    if isinstance(node, list):
        return [entry for item in node for entry in _entries(item)]
    if not isinstance(node, dict):
        return []
    own = [str(node[key]) for key in ("root", "file") if key in node]
    return own + [
        entry
        for key in ("parts", "chapters", "sections")
        for entry in _entries(node.get(key))
    ]


def read(page: Path) -> NotebookNode:
    """Read a MyST page as a notebook whose cell ids depend on its text alone.

    Args:
        page: the `.md` source.

    Returns:
        A valid notebook without outputs; its prose is still MyST.
    """
    notebook = jupytext.reads(page.read_text("utf-8"), fmt="md:myst")
    notebook.metadata.pop("jupytext", None)
    if "kernelspec" in notebook.metadata:
        notebook.metadata.kernelspec.setdefault("language", "python")
    return _identified(notebook)


def _identified(notebook: NotebookNode) -> NotebookNode:
    """Number cells by the hash of their kind and source."""
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        text = (cell.cell_type + cell.source).encode()
        digest = hashlib.sha1(text).hexdigest()[:8]
        seen[digest] += 1
        repeat = f"-{seen[digest]}" if seen[digest] > 1 else ""
        cell.id = digest + repeat
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return notebook


def code(notebook: NotebookNode) -> str:
    """Join the code cells of a notebook; empty when it has none."""
    cells = [c.source for c in notebook.cells if c.cell_type == "code"]
    return "\n\n".join(cells)


def has_code(notebook: NotebookNode) -> bool:
    """Tell whether a notebook has anything to execute."""
    return any(cell.cell_type == "code" for cell in notebook.cells)


def title(page: Path) -> str:
    """Return the first heading of a page, or its name when it has none."""
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("# "):
            return line[2:].strip()
    return page.stem


def colab(page: Path, root: Path) -> bytes:
    """Make the committed notebook of a page.

    Args:
        page: the `.md` source, in `root/book`.
        root: the folder of `_config.yml`, which holds the one copy of the
            repository's address.

    Returns:
        The `.ipynb` file's bytes.

    Raises:
        ValueError: when the prose has a citation, role or directive that
            cannot be written as plain Markdown.
    """
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    notebook = read(page)
    plain = markdown.Plain(page, root / "book" / "references.bib")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = plain(cell.source)
    notebook.cells = [c for c in notebook.cells if c.source.strip()]
    install = INSTALL.replace("URL", config["repository"]["url"])
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    place = [parameters.TAG in each for each in tags].index(True) + 1
    for at, source in ((place, CHECK), (0, install)):
        cell = nbformat.v4.new_code_cell(source.rstrip())
        cell.metadata.tags = ["remove-cell"]
        notebook.cells.insert(at, cell)
    text: str = nbformat.writes(_identified(notebook), indent=1)
    return (text.rstrip("\n") + "\n").encode()


def regenerate(root: Path) -> list[Path]:
    """Write the committed notebook of every page that has code.

    Returns:
        The notebooks whose bytes changed.
    """
    changed = []
    for page in contents(root).values():
        if has_code(read(page)):
            twin, fresh = page.with_suffix(".ipynb"), colab(page, root)
            if not twin.exists() or twin.read_bytes() != fresh:
                twin.write_bytes(fresh)
                changed.append(twin)
    return changed
