"""A small book to maltreat, and what it must look like afterwards."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import yaml
from filelock import FileLock, Timeout

from helpers.claims.ledger import KEY
from tests import minibook

ROOT = Path(__file__).resolve().parents[2]
MARK = "VITSCOPE_TORTURE"
PATIENCE = 600.0
"""Seconds after which a run that has not ended is said to hang."""
PAGES = ("first", "second", "claims")
COMMANDS = {
    "run": ["run", "--jobs", "2"],
    "page": ["run", "first"],
    "sweep": [
        *("sweep", "first", "second", "--over", "num_images=6,7"),
        *("--jobs", "2", "--table", "_build/table.csv"),
    ],
}
VOLATILE = {
    "seconds": "how long a page took",
    "ledger": "a digest of rows that hold seconds",
    "key": "a digest of all digests, that one too",
}
"""What no two runs have in common, by its key in a file, and why."""
VERDICT = (
    "{'claim': 'c', 'verdict': 'holds', 'effect': scale * num_images, "
    "'low': 0.0, 'high': 9.0, 'note': ''}"
)
NUMBERS = f"""
```{{code-cell}} ipython3
import random

from IPython.display import display

draw = random.Random(num_images).random
print(*(draw() for _ in range(4000)))
display(
    {{'text/plain': 'verdicts'}}, raw=True, metadata={{{KEY!r}: [{VERDICT}]}}
)
```
"""
EDITION = "title: A mini book\npages: {second: {num_images: 7}}\n"


@dataclass(frozen=True)
class Command:
    """A command that was started.

    Attributes:
        process: leads a process group.
        log: what it prints.
    """

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        """What it has printed until now."""
        return self.log.read_text("utf-8", "replace")

    def ends(self, seconds: float = PATIENCE) -> bool:
        """Wait so long for its end; tell whether it came."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Kill it with its process group."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def faults(self) -> list[str]:
        """What is wrong with how it ended."""
        code = self.process.poll()
        if code is None:
            return [f"hangs: {self.said[-500:]}"]
        if code or "Traceback" in self.said:
            return [f"ends with {code}: {self.said[-500:]}"]
        return []


@dataclass
class Sandbox:
    """A book of three pages: one has many numbers and a claim.

    Attributes:
        root: its folder, made when it is not there.
    """

    root: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        if not (self.root / "book").exists():
            minibook.make(self.root)
            page = self.root / "book" / "first.md"
            page.write_text(page.read_text() + NUMBERS)
            kept = minibook.editions(self.root)
            (kept / "lab.yaml").write_text(EDITION)

    @property
    def build(self) -> Path:
        """Where all results go."""
        return self.root / "_build"

    @functools.cached_property
    def environment(self) -> dict[str, str]:
        """What its processes, and theirs, can be known by."""
        return {**os.environ, "PYTHONPATH": str(ROOT), MARK: self.mark}

    def start(self, kind: str) -> Command:
        """Start a command; what it prints is kept in a file of its own."""
        log = self.root / f"{time.monotonic_ns()}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.torture.vitscope"),
                    *(str(self.root), *COMMANDS[kind]),
                ],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Command(process, log)

    def processes(self) -> list[int]:
        """List the processes that this book has started, and that live."""
        found = []
        wanted = f"{MARK}={self.mark}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:  # it has ended, or is not ours
                continue
        return found

    def outlived(self, seconds: float = 60.0) -> list[str]:
        """Wait for the processes of a killed command; tell who stays."""
        deadline = time.monotonic() + seconds
        while left := self.processes():
            if time.monotonic() > deadline:
                return [f"{len(left)} processes outlive the run"]
            time.sleep(0.1)
        return []

    def halves(self) -> list[str]:
        """Tell which results cannot be read; what is in work may be there."""
        found = []
        for path in self.files():
            try:
                _readers[path.suffix](path)
            except Exception as error:
                name = path.relative_to(self.build)
                found.append(f"{name} is half written: {error!r}"[:200])
        return found

    def leftovers(self) -> list[str]:
        """Tell which files a finished run should have removed."""
        parts = sorted(self.build.rglob("*.part"))
        found = [f"{p.relative_to(self.build)} is left over" for p in parts]
        for folder in self.build.rglob("failed"):
            found += [f"{p.name} is told as failed" for p in folder.iterdir()]
        return found

    def stale(self) -> list[str]:
        """Tell which locks are held though nobody runs."""
        found = []
        for path in self.build.rglob("lock"):
            try:
                with FileLock(path, timeout=0):
                    pass
            except Timeout:
                found.append(f"{path.relative_to(self.build)} is held")
        return found

    def files(self) -> list[Path]:
        """List the results; no locks, nothing that is in work."""
        return [
            path
            for path in sorted(self.build.rglob("*"))
            if path.is_file()
            and path.suffix != ".part"
            and path.name != "lock"
        ]

    def numbers(self) -> dict[str, Any]:
        """Return all results, without what no two runs have in common."""
        return {
            str(path.relative_to(self.build)): _settled(path)
            for path in self.files()
        }

    def differences(self, calm: dict[str, Any]) -> list[str]:
        """Tell how the results differ from those of an undisturbed run."""
        mine = self.numbers()
        names = sorted(mine.keys() | calm.keys())
        return [
            f"{name} differs"
            if name in mine and name in calm
            else f"{name} is {'missing' if name in calm else 'one too many'}"
            for name in names
            if mine.get(name) != calm.get(name)
        ]


@dataclass(frozen=True)
class Calm:
    """An undisturbed command.

    Attributes:
        numbers: see `Sandbox.numbers`.
        seconds: how long it took.
        size: of its results, in bytes.
    """

    numbers: dict[str, Any]
    seconds: float
    size: int


class Workplace:
    """Where campaigns work; each command is run once undisturbed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calm = functools.cache(self._calm)

    def _calm(self, kind: str) -> Calm:
        book = Sandbox(self.folder / f"calm-{kind}")
        start = time.monotonic()
        command = book.start(kind)
        command.ends()
        seconds = time.monotonic() - start
        wrong = [*command.faults, *book.halves(), *book.leftovers()]
        if wrong or not book.files():
            raise RuntimeError(f"{kind}, undisturbed: {wrong}")
        size = sum(path.stat().st_size for path in book.files())
        print(f"{kind}, undisturbed: {seconds:.1f} s", flush=True)
        return Calm(book.numbers(), seconds, size)


def _notebook(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4))


_readers = {
    ".ipynb": _notebook,
    ".json": lambda path: json.loads(path.read_text("utf-8")),
    ".yaml": lambda path: yaml.safe_load(path.read_text("utf-8"))["title"],
    ".csv": pd.read_csv,
    ".txt": lambda path: path.read_text("utf-8").strip()[0],
}


def _settled(path: Path) -> Any:
    text = path.read_text("utf-8")
    if path.suffix not in (".ipynb", ".json"):
        return text
    content = json.loads(text)
    for cell in content.get("cells", []):
        if "injected-parameters" in cell["metadata"].get("tags", []):
            cell.pop("id")  # drawn by papermill
        if "outputs" in cell:
            cell["outputs"] = _joined(cell["outputs"])
    return _without(content)


def _joined(outputs: list[Any]) -> list[Any]:
    """Join what was printed; the clock decides where it is cut."""
    joined: list[Any] = []
    for one in outputs:
        if "name" in one:
            one["text"] = "".join(one["text"])
            if joined and joined[-1].get("name") == one["name"]:
                joined[-1]["text"] += one["text"]
                continue
        joined.append(one)
    return joined


def _without(value: Any) -> Any:
    if isinstance(value, list):
        return [_without(item) for item in value]
    if isinstance(value, dict):
        kept = value.keys() - VOLATILE.keys()
        return {name: _without(value[name]) for name in sorted(kept)}
    return value
