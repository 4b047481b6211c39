"""Where the book's data and sources lie."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]

DATA: Path = next(
    (p for p in (_PACKAGE / "data", _PACKAGE.parent / "data") if p.is_dir()),
    _PACKAGE.parent / "data",
)
"""The data folder: inside an installed wheel, or beside `helpers/`."""


def checkout() -> Path:
    """Return the root of the book's sources (`_config.yml`, `_toc.yml`).

    The folder above the package, or else the current folder or the nearest
    one above it.

    Raises:
        FileNotFoundError: when there is no checkout of the book.
    """
    here = Path.cwd()
    for folder in (_PACKAGE.parent, here, *here.parents):
        if (folder / "_toc.yml").is_file() and (folder / "book").is_dir():
            return folder
    raise FileNotFoundError(
        "the book's sources are not here (no _toc.yml with a book/ folder "
        f"in {here} or above): clone the repository and run this inside it"
    )


def runs() -> Path:
    """Return where trainings are kept, and what is trained on the way.

    The folder that the environment variable `VITSCOPE_RUNS` names, or else
    `runs` in the checkout, or in the current folder.
    """
    if given := os.environ.get("VITSCOPE_RUNS"):
        return Path(given)
    try:
        return checkout() / "runs"
    except FileNotFoundError:
        return Path("runs")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a file whole or not at all.

    Yields:
        Where to write; it takes the place of `path` in the end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
