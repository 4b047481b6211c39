"""The book's sources where there is no checkout of it.

A wheel brings them. They are copied to the reader's folder, where a report is
made as in a checkout.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import helpers
from helpers.runtime.paths import checkout

BUNDLED = Path(helpers.__file__).parent / "_sources"


def root(say: Callable[[str], None]) -> Path:
    """Return the checkout, or else a copy of the sources, made once.

    Args:
        say: takes a line where a copy is made.

    Returns:
        The checkout, or the folder `vitscope-<version>` in the current one.

    Raises:
        FileNotFoundError: no checkout, and no sources to copy.
    """
    try:
        return checkout()
    except FileNotFoundError:
        if not BUNDLED.is_dir():
            raise
    folder = Path.cwd() / f"vitscope-{helpers.__version__}"
    if not folder.is_dir():
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(BUNDLED, part)
        part.rename(folder)
        say(f"no checkout here: working in {folder}")
    return folder
