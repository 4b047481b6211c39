"""Where the book's data and sources lie."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

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


def natural() -> Path:
    """Return where the natural edition's photographs and models are kept.

    `natural` in the folder that the environment variable `VITSCOPE_RUNS`
    names, or else in `runs` of the checkout, or of the current folder.
    """
    given = os.environ.get("VITSCOPE_RUNS")
    if not given:
        try:
            given = str(checkout() / "runs")
        except FileNotFoundError:
            given = "runs"
    return Path(given, "natural")
