"""Bad inputs: each must be refused in words, at once, and leave nothing.

The table is `cases.yaml`. What other tests try already, in tables of their
own, is tried again from there, as a reader would give it.
"""

import importlib
import os
import re
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from helpers import images, models
from helpers.editions.command_line import MISTAKE, app
from tests import minibook
from tests.editions import test_cli, test_plans, test_sweeps
from tests.images import test_bad_inputs
from tests.models import test_inputs
from tests.runtime import test_yaml_files
from tests.torture import bad_files
from tests.torture.tally import Tally
from tests.torture.vitscope import elsewhere

TABLE = Path(__file__).with_name("cases.yaml")
BUSY, BLOCKED = 10, 60
"""Seconds of work, and of waiting, after which a case is said to hang."""
KINDS = """\
# A parameter of every kind

```{code-cell} ipython3
:tags: [parameters]

model: str = "lab/vit_cls"  # model spec (the one inspected)
beside: list[str] = []  # model spec (optional): others
images: str = "wardrobe"  # image spec
shifts: list[str] = []  # image spec (optional): others
layers: str = "out"  # layer selection
tokens: str = "cls"  # token choice
num_images: int = 64  # images (≥ 2 batch_size)
batch_size: int = 8  # images at once (≥ 4)
method: str = "ridge"  # how (one of ridge, logistic)
seed: int = 0  # which draw (≥ 0)
```
"""
SIGNS = re.compile(r"[\s│╭╮╰╯─]+")


class HangsError(BaseException):
    """Not an Exception, which the command line would tell in a line."""


@dataclass(frozen=True)
class Case:
    """Something to be refused.

    Attributes:
        category: what it is a case of.
        name: how it is told from others.
        act: gives it, and returns what was said, or raises that.
        pattern: must be found in what is said.
    """

    category: str
    name: str
    act: Callable[[], str]
    pattern: str


def campaign(folder: Path, tally: Tally, others: bool = True) -> None:
    """Try all cases.

    Args:
        folder: an empty one to work in.
        tally: takes them.
        others: try those of other tests, too.
    """
    book = minibook.make(folder / "book")
    minibook.editions(book)
    (book / "book" / "kinds.md").write_text(minibook.HEADER + KINDS)
    toc = book / "_toc.yml"
    entry = "      - file: book/second\n"
    kinds = entry.replace("second", "kinds")
    toc.write_text(toc.read_text().replace(entry, entry + kinds))
    files = bad_files.make(folder / "files")
    work = folder / "work"
    work.mkdir()
    (work / "there.yml").touch()
    runs = pytest.MonkeyPatch()
    runs.setenv("VITSCOPE_RUNS", str(folder / "runs"))
    try:
        with chdir(work), elsewhere(book, specs=True):
            more = collected(folder) if others else ()
            for case in (*table(files), *more):
                before = _there(folder)
                faults = faults_of(case)
                if new := _there(folder) - before:
                    faults.append(f"leaves {', '.join(sorted(new))}")
                told = [case.name, *faults] if faults else []
                tally.add(case.category, told)
    finally:
        runs.undo()


def _there(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for part in ("book", "work")
        for path in (folder / part).rglob("*")
    }


def faults_of(case: Case) -> list[str]:
    """Try a case; return what is wrong."""
    try:
        with _limited():
            said = case.act()
    except HangsError:
        return ["hangs"]
    except (ValueError, TypeError, OSError) as error:
        said = str(error)
    except Exception as error:
        return [f"a traceback: {error!r}"[:300]]
    said = SIGNS.sub(" ", said)
    if not re.search(case.pattern, said):
        return [f"says {said[:300]!r}"]
    return []


@contextmanager
def _limited() -> Iterator[None]:
    """Raise where a case takes too long, at work or waiting."""

    def stop(*_: object) -> None:
        raise HangsError

    clocks = {
        signal.SIGPROF: (signal.ITIMER_PROF, BUSY),
        signal.SIGALRM: (signal.ITIMER_REAL, BLOCKED),
    }
    before = {number: signal.signal(number, stop) for number in clocks}
    for clock, seconds in clocks.values():
        signal.setitimer(clock, seconds)
    try:
        yield
    finally:
        for clock, _ in clocks.values():
            signal.setitimer(clock, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def told(words: list[str]) -> str:
    """Give a command line; return what it says, its mistakes alone."""
    result = CliRunner().invoke(app, words)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise RuntimeError(repr(result.exception)) from result.exception
    if result.exit_code != MISTAKE or "Traceback" in result.output:
        raise RuntimeError(f"exit status {result.exit_code}: {result.output}")
    return result.stderr


def table(files: Path) -> Iterator[Case]:
    """Yield the cases of the table.

    Args:
        files: the folder of bad files.
    """
    texts = {"deep": bad_files.DEEP, "bomb": bad_files.BOMB, "files": files}
    for group in yaml.safe_load(TABLE.read_text("utf-8")):
        for given, message in group["cases"]:
            text = given.format(**texts)
            yield Case(
                group["about"],
                f"{group.get('command', '')} {given}".strip(),
                _act(group, text),
                re.escape(SIGNS.sub(" ", message)),
            )


def _act(group: dict[str, Any], text: str) -> Callable[[], str]:
    if "call" in group:
        module, _, name = group["call"].rpartition(".")
        function = getattr(importlib.import_module(module), name)
        return lambda: _passed(function(text))
    words = shlex.split(f"{group['command']} {text}")
    return lambda: told(words)


def _passed(result: Any) -> str:
    result[0]  # pictures are read when they are looked at
    return f"nothing, and returns {result!r}"


def collected(folder: Path) -> Iterator[Case]:
    """Yield the cases that other tests have in tables of their own."""
    for test, before, after in (
        (test_cli.test_mistakes_are_told_in_a_line, [], []),
        (
            test_cli.test_inspect_names_what_was_meant,
            ["inspect"],
            ["--no-open"],
        ),
        (
            test_sweeps.test_mistakes_are_told_before_anything_runs,
            ["sweep"],
            [],
        ),
        (test_plans.test_new_editions_that_are_refused, ["new-edition"], []),
    ):
        for words, message in _parameters(test):
            line = [*before, *words, *after]
            yield Case(
                "commands of other tests",
                shlex.join(line),
                lambda line=line: told(line),
                re.escape(SIGNS.sub(" ", message)),
            )
    place = folder / "collected"
    for content, message in _parameters(test_yaml_files.test_what_is_refused):
        path = _fresh(place) / "mine.yaml"
        raw = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(raw)
        yield Case(
            "edition files of other tests",
            repr(content)[:40],
            lambda path=path: told(["run", "--plan", str(path)]),
            message,
        )
    columns = test_bad_inputs.test_columns_that_hold_something_else
    for given, message in _parameters(columns):
        spec = test_bad_inputs.written(_fresh(place), **given)
        yield Case(
            "parquet files of other tests",
            repr(given)[:40],
            lambda spec=spec: _passed(images.load(spec)),
            message,
        )
    notes = test_bad_inputs.test_a_malformed_note_of_the_datasets_library
    for note in _parameters(notes):
        spec = test_bad_inputs.written(_fresh(place), note)
        yield Case(
            "parquet files of other tests",
            repr(note)[:40],
            lambda spec=spec: _passed(images.load(spec)),
            "malformed note of the datasets",
        )
    for content, message in _parameters(
        test_inputs.test_checkpoints_that_are_refused
    ):
        path = _fresh(place) / "a.pth"
        torch.save(content, path)
        yield Case(
            "checkpoints of other tests",
            repr(content)[:40],
            lambda path=path: repr(models.load(f"test_vit@{path}", "cpu")),
            f"(?s){message}",
        )


def _fresh(place: Path) -> Path:
    folder = place / str(time.monotonic_ns())
    os.makedirs(folder)
    return folder


def _parameters(test: Any) -> list[Any]:
    """Return the table of a parametrised test."""
    (mark,) = (m for m in test.pytestmark if m.name == "parametrize")
    return list(mark.args[1])
