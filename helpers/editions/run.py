"""Run pages: one papermill process each, whole results or none.

An executed page carries what it was made from; it is used again until its
source, its parameters, the modules it imports, the data and models it names,
or the versions of torch and timm change. Results appear by one rename, so a
run can be killed at any moment and started again. For a single run of a page
into a file of your own, plain `papermill book/<page>.ipynb out.ipynb` will do.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import helpers.editions.provenance as provenance
import helpers.editions.results as results
from helpers.editions.edition import Edition
from helpers.editions.failures import Failure
from helpers.editions.jobs import plan
from helpers.editions.worker_pool import Task, execute


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        executed: pages that ran, with their seconds.
        reused: pages whose results were up to date.
        failed: pages that stopped with an error.
    """

    executed: dict[str, float] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)


def run(
    edition: Edition,
    root: Path,
    pages: Sequence[str] = (),
    force: bool = False,
    workers: int = 1,
    say: Callable[[str], None] = print,
    validators: Mapping[str, Any] | None = None,
) -> Outcome:
    """Execute what is not up to date.

    Args:
        edition: what to run.
        root: the checkout.
        pages: only these pages; all of them when empty.
        force: run pages that are up to date, too.
        workers: how many pages run at once.
        say: takes one line per page, and the whole report of a failure.
        validators: see `editions.plan`.

    Returns:
        What ran, what was reused, what failed.

    Raises:
        ValueError: bad parameters; nothing has run then.
    """
    jobs = plan(edition, root, pages, validators)
    folder = edition.folder(root)
    (folder / "executed").mkdir(parents=True, exist_ok=True)
    outcome = Outcome()
    with results.alone(folder, say):
        results.write(folder / "edition.yaml", edition.text())
        for last in (False, True):
            book = results.ledger(edition, folder, jobs)
            _write_ledger(folder, book)
            rows = results.front(book["pages"], jobs)
            group = [
                job
                for job in jobs
                if job.is_back == last and (not pages or job.page in pages)
            ]
            due = [
                job
                for job in group
                if force or results.changes(folder, job, rows)
            ]
            outcome.reused += [job.page for job in group if job not in due]
            tasks = [
                Task(j.page, folder, j, provenance.inputs(j, rows))
                for j in due
            ]
            with closing(execute(tasks, workers)) as ended:
                for task, found in ended:
                    if isinstance(found, Failure):
                        outcome.failed.append(found)
                        say(str(found))
                    else:
                        outcome.executed[task.label] = found
                        say(f"{task.label}: {found:.1f} s")
                    book = results.ledger(edition, folder, jobs)
                    _write_ledger(folder, book)
    return outcome


def _write_ledger(folder: Path, book: dict[str, Any]) -> None:
    results.write(folder / "ledger.json", json.dumps(book, indent=1))
