"""Where a page stopped: its cell, the line of its source, the traceback."""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

from helpers.editions.jobs import Job

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PLACE = re.compile(r"Cell In\[\d+\], line (\d+)")


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
    """

    page: str
    source: Path
    cell: int
    line: int
    traceback: str

    def __str__(self) -> str:
        """Describe the failure over several lines."""
        where = f", code cell {self.cell}" if self.cell else ""
        line = f":{self.line}" if self.line else ""
        return (
            f"{self.page}: FAILED{where} ({self.source}{line})\n"
            f"{self.traceback}"
        )


class PageError(Exception):
    """Raised for a page that stopped; carries its failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def find(job: Job, partial: Path, log: str) -> Failure:
    """Describe why a page stopped.

    Args:
        job: the page.
        partial: the notebook as far as it was executed; may be missing.
        log: what the process printed, for failures outside any cell.
    """
    cells = []
    if partial.exists():
        cells = nbformat.read(partial, as_version=4).cells
    code = [c.id for c in job.notebook.cells if c.cell_type == "code"]
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                text = _COLOUR.sub("", "\n".join(output.traceback))
                if not text.strip():
                    text = f"{output.ename}: {output.evalue}"
                known = cell.id in code
                return Failure(
                    job.page,
                    job.source,
                    code.index(cell.id) + 1 if known else 0,
                    _line(job, cell.id, text) if known else 0,
                    text,
                )
    return Failure(job.page, job.source, 0, 0, log.strip() or "no message")


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
