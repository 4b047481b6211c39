"""What a run leaves behind: executed pages and the ledger.

Everything lies in the edition's folder and appears by one rename. An executed
page carries in its metadata what it was made from, so the folder needs no
other index and a killed run leaves nothing to repair.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock, Timeout

import helpers.editions.provenance as provenance
from helpers.editions.edition import Edition
from helpers.editions.jobs import Job
from helpers.runtime.paths import whole


@contextmanager
def alone(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time into an edition's folder; others wait.

    What a killed one was writing there is removed.
    """
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"waiting for another run of edition {folder.name}")
        lock.acquire()
    try:
        for stale in folder.rglob("*.part"):
            stale.unlink()
        yield
    finally:
        lock.release()


def executed(folder: Path, job: Job) -> Path:
    """Return where the executed notebook of a page lies."""
    return folder / "executed" / f"{job.page}.ipynb"


def record(folder: Path, job: Job) -> dict[str, Any]:
    """Return what is kept with an executed page, nothing if it never ran."""
    path = executed(folder, job)
    if not path.is_file():
        return {}
    content = json.loads(path.read_text("utf-8"))
    kept: dict[str, Any] = content["metadata"].get("vitscope", {})
    return kept


def changes(folder: Path, job: Job, rows: Mapping[str, Any]) -> list[str]:
    """Say why a page has to run; nothing when its results are up to date.

    Args:
        folder: the edition's folder.
        job: the page.
        rows: the ledger's rows of the pages before it, see `front`.
    """
    kept = record(folder, job)
    if not kept:
        return ["new"]
    now = provenance.inputs(job, rows)
    return [part for part in now if kept["inputs"].get(part) != now[part]]


def ledger(
    edition: Edition, folder: Path, jobs: Sequence[Job]
) -> dict[str, Any]:
    """Collect the rows of all pages whose results are up to date.

    Returns:
        {"edition", "pages": {page: {"seconds", "parameters", "verdicts",
        "environment", "outdated"}}}, the form that the pages `claims` and
        `execution` read. `outdated` says by kind of other weights what has
        changed since the page was measured on them.
    """
    from helpers import claims  # brings torch, which takes seconds
    from helpers.claims.other_weights import KINDS
    from helpers.editions import swapped

    rows: dict[str, Any] = {}
    for job in jobs:
        if not changes(folder, job, front(rows, jobs)):
            notebook = nbformat.read(executed(folder, job), as_version=4)
            kept = notebook.metadata.vitscope
            rows[job.page] = {
                "seconds": kept.seconds,
                "parameters": kept.parameters,
                "verdicts": claims.verdicts_in(notebook),
                "environment": kept.environment,
                "outdated": {
                    kind: swapped.outdated(kind, job) for kind in KINDS
                },
            }
    return {"edition": edition.name, "pages": rows}


def front(rows: Mapping[str, Any], jobs: Sequence[Job]) -> dict[str, Any]:
    """Choose the ledger's rows of those pages that do not read it."""
    pages = [job.page for job in jobs if not job.is_back]
    return {page: rows[page] for page in pages if page in rows}


def write(path: Path, text: str) -> None:
    """Write a file so that readers find the old one or the new one, whole."""
    with whole(path) as part:
        part.write_text(text, "utf-8")


def keep(
    folder: Path,
    job: Job,
    part: Path,
    made_from: Mapping[str, str],
    seconds: float,
) -> None:
    """Put an executed page in its place, with what is known about its run.

    Args:
        folder: the edition's folder.
        job: the page.
        part: the notebook as papermill wrote it; removed.
        made_from: see `provenance.inputs`.
        seconds: how long it took.
    """
    notebook = nbformat.read(part, as_version=4)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    notebook.metadata.vitscope = {
        "inputs": made_from,
        "key": provenance.key(made_from),
        "seconds": seconds,
        "parameters": job.parameters,
        "environment": provenance.environment(),
    }
    write(executed(folder, job), nbformat.writes(notebook))
    part.unlink()
