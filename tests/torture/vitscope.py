"""The command line on a book that lies elsewhere.

That is `python -m tests.torture.vitscope ROOT COMMAND ...`.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers import __main__ as cli
from helpers.editions import (
    commands,
    edition,
    own_copy,
    parameters,
    repeat_commands,
)


@contextmanager
def elsewhere(root: Path, specs: bool = False) -> Iterator[None]:
    """Let the commands work on another book.

    Args:
        root: the folder of that book, editions and all.
        specs: whether specs of models and images are checked.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module in (cli, commands, own_copy, repeat_commands):
            patch.setattr(module, "checkout", lambda: root)
        patch.setattr(edition, "FOLDER", root / "data" / "editions")
        if not specs:
            patch.setattr(parameters, "checks", dict)
        yield


if __name__ == "__main__":
    with elsewhere(Path(sys.argv[1])):
        cli.app(sys.argv[2:])
