"""Where a page stopped: its cell, the line of its source, the traceback."""

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

import nbformat

import helpers.editions.results as results
from helpers.editions.jobs import Job

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PLACE = re.compile(r"Cell In\[\d+\], line (\d+)")
_MEMORY = (
    "the memory was not enough: run fewer pages at once (`--jobs 1`), close "
    "other programs, or ask for fewer images"
)
FULL = (
    "the disk is full: free some space and run again; pages that were "
    "finished are kept"
)
ADVICE = {
    "No space left on device": FULL,
    "MemoryError": _MEMORY,
    "can't allocate memory": _MEMORY,
    "out of memory": _MEMORY,
    "DeadKernelError": "Python ended in the middle of the page. Where the "
    f"system ended it, {_MEMORY}",
}
"""What a traceback has in it -> what to do."""


@dataclass(frozen=True)
class Failure:
    """A page that stopped with an error.

    Attributes:
        page: its name.
        source: its `.md` file.
        cell: which of its code cells stopped, counted from 1; 0 when it was
            none of them (the kernel did not start, or died).
        line: the line of the source, 0 when unknown.
        traceback: what Python said.
        killed: the number of the signal that ended its process, or 0.
    """

    page: str
    source: Path
    cell: int
    line: int
    traceback: str
    killed: int = 0

    @property
    def reason(self) -> str:
        """The last line of what Python said."""
        return self.traceback.strip().splitlines()[-1]

    @property
    def advice(self) -> str:
        """What to do, where that is known."""
        if self.killed == signal.SIGKILL:
            return f"the system ended the page; if for its memory, {_MEMORY}"
        known = (ADVICE[word] for word in ADVICE if word in self.traceback)
        return next(known, "")

    def __str__(self) -> str:
        """Describe the failure over several lines."""
        where = f", code cell {self.cell}" if self.cell else ""
        line = f":{self.line}" if self.line else ""
        return (
            f"{self.page}: FAILED{where} ({self.source}{line})\n"
            f"{self.traceback}"
            + (f"\nWhat to do: {self.advice}" if self.advice else "")
        )


class PageError(Exception):
    """Raised for a page that stopped; carries its failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def find(job: Job, partial: Path, log: str, code: int) -> Failure:
    """Describe why a page stopped.

    Args:
        job: the page.
        partial: the notebook as far as it was executed; may be missing.
        log: what the process printed, for failures outside any cell.
        code: with which it ended.
    """
    cells = _cells(partial)
    ids = [c.id for c in job.notebook.cells if c.cell_type == "code"]
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                text = _COLOUR.sub("", "\n".join(output.traceback))
                if not text.strip():
                    text = f"{output.ename}: {output.evalue}"
                known = cell.id in ids
                return Failure(
                    job.page,
                    job.source,
                    ids.index(cell.id) + 1 if known else 0,
                    _line(job, cell.id, text) if known else 0,
                    text,
                )
    killed = max(0, -code)
    said = log.strip() or (
        f"ended by signal {killed}" if killed else "no message"
    )
    return Failure(job.page, job.source, 0, 0, said, killed)


def _cells(partial: Path) -> list[nbformat.NotebookNode]:
    """Read the cells of a notebook that may be missing or half written."""
    try:
        return list(nbformat.read(partial, as_version=4).cells)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError):
        return []


def _line(job: Job, stopped: str, traceback: str) -> int:
    """Return the line of the source that a cell stopped at."""
    text, at = job.source.read_text("utf-8"), 0
    for cell in job.notebook.cells:
        at = max(text.find(cell.source, at), at)
        if cell.id == stopped:
            break
        at += len(cell.source)
    places = _PLACE.findall(traceback)
    within = int(places[0]) if places else 1
    return text.count("\n", 0, at) + within


def outside(job: Job, error: OSError) -> Failure:
    """Describe why a page could not be started, or its result not kept."""
    said = f"{type(error).__name__}: {error}"
    return Failure(job.page, job.source, 0, 0, said)


def keep(failure: Failure, partial: Path, folder: Path) -> None:
    """Store why a page stopped, and the notebook as far as it went.

    A notebook that is half written, as on a full disk, is removed.
    """
    kept = folder / "failed"
    kept.mkdir(parents=True, exist_ok=True)
    if _cells(partial):
        os.replace(partial, kept / f"{failure.page}.ipynb")
    partial.unlink(missing_ok=True)
    results.write(kept / f"{failure.page}.txt", failure.reason)


def forget(page: str, folder: Path) -> None:
    """Remove what `keep` has stored."""
    for kind in ("ipynb", "txt"):
        (folder / "failed" / f"{page}.{kind}").unlink(missing_ok=True)


def told(page: str, folder: Path) -> str:
    """Return the reason that `keep` has stored, or nothing."""
    path = folder / "failed" / f"{page}.txt"
    return path.read_text("utf-8") if path.is_file() else ""
