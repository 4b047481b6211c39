"""Sweeps: pages at every combination of some parameter values.

Each page at one combination is a cell: a process of its own, whose results
lie in a folder that is named after its parameters. So sweeps share what they
have in common, and to resume one is to run it again. For one set of
parameters take `vitscope run`; the pages that read the ledger have no place
here, since a cell knows no other page.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

import helpers.editions.results as results
from helpers.editions.cells import DONE, FAILED, Cell
from helpers.editions.failures import Failure
from helpers.editions.worker_pool import Task, execute
from helpers.runtime.errors import unknown
from helpers.runtime.paths import whole

FORMATS = (".csv", ".parquet")
COLUMNS = ("state", "claim", "verdict", "effect", "low", "high", "note")


def run(
    found: Sequence[Cell],
    workers: int = 1,
    say: Callable[[str], None] = print,
) -> list[Failure]:
    """Execute the cells that are not up to date.

    It can be killed at any moment and started again; several processes may
    share the work.

    Args:
        found: see `cells`.
        workers: how many run at once.
        say: takes one line per cell, and the whole report of a failure.

    Returns:
        The cells that failed; the others went on.
    """
    due = [cell for cell in found if cell.due()]
    say(f"{len(found)} cells, {len(found) - len(due)} up to date")
    tasks = [
        Task(cell.label, cell.folder, cell.job, cell.inputs()) for cell in due
    ]
    of = dict(zip(tasks, due, strict=True))

    @contextmanager
    def claim(task: Task) -> Iterator[bool]:
        """Keep other runs off a cell; one of them may have done it."""
        task.folder.mkdir(parents=True, exist_ok=True)
        with results.alone(task.folder, say):
            yield of[task].due()

    failed = []
    with closing(execute(tasks, workers, claim)) as ended:
        for count, (task, outcome) in enumerate(ended, 1):
            place = f"{count}/{len(tasks)} {task.label}"
            if isinstance(outcome, Failure):
                failed.append(outcome)
                say(f"{place}\n{outcome}")
            else:
                say(f"{place}: {outcome:.1f} s")
    return failed


def table(found: Sequence[Cell]) -> pd.DataFrame:
    """Join what the cells say about the claims.

    Returns:
        One row per claim of a cell: `page`, a column for each parameter that
        is swept (empty where a page lacks it), `state` (`done`, `failed` or
        `to do`), `claim`, `verdict`, `effect` between `low` and `high`,
        `note`. A cell without verdicts has one row; that of a failed cell
        has the reason as its note.
    """
    rows = []
    for cell in found:
        state = cell.state()
        verdicts: list[dict[str, Any]] = [{}]
        if state == DONE:
            from helpers import claims  # brings torch, which takes seconds

            notebook = nbformat.read(cell.result, as_version=4)
            verdicts = claims.verdicts_in(notebook) or verdicts
        if state == FAILED:
            verdicts = [{"note": cell.failure}]
        place = {"page": cell.job.page, **cell.values, "state": state}
        rows += [place | verdict for verdict in verdicts]
    swept = dict.fromkeys(name for cell in found for name in cell.values)
    return pd.DataFrame(rows, columns=["page", *swept, *COLUMNS])


def check_target(path: Path) -> Path:
    """Refuse a file that a table cannot be written to.

    Raises:
        ValueError: neither `.csv` nor `.parquet`.
    """
    if path.suffix not in FORMATS:
        raise unknown(f"table format of {path}:", path.suffix, FORMATS)
    return path


def write(joined: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV or parquet, whole or not at all.

    Values that are lists are written as JSON.
    """
    check_target(path)
    plain = joined.map(
        lambda v: json.dumps(v) if isinstance(v, list | dict) else v
    )
    with whole(path) as part:
        if path.suffix == ".csv":
            plain.to_csv(part, index=False)
        else:
            plain.to_parquet(part, index=False)
