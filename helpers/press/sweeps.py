"""Sweeps: pages at every combination of some parameter values.

Each page at one combination is a cell: a process of its own, whose results
lie in a folder that is named after its parameters. So sweeps share what they
have in common, and to resume one is to run it again. For one set of
parameters take `vitscope run`; the pages that read the ledger have no place
here, since a cell knows no other page.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from helpers import editions
from helpers.choices import unknown
from helpers.editions import BACK, Edition, Job
from helpers.paths import whole
from helpers.press import parameters, provenance, results
from helpers.press.failures import Failure
from helpers.press.workers import Task, execute

DONE, FAILED, DUE = "done", "failed", "to do"
FORMATS = (".csv", ".parquet")
COLUMNS = ("state", "claim", "verdict", "effect", "low", "high", "note")


@dataclass(frozen=True)
class Cell:
    """A page at one combination of values.

    Attributes:
        job: the page with all its parameters.
        values: those that the sweep gives it.
        folder: where its results lie.
    """

    job: Job
    values: dict[str, Any]
    folder: Path

    @property
    def label(self) -> str:
        """Name it in messages."""
        return " ".join([self.job.page, *_pairs(self.values)])

    @property
    def result(self) -> Path:
        """Where its executed notebook lies."""
        return results.executed(self.folder, self.job)

    def inputs(self) -> dict[str, str]:
        """Digest what it depends on, see `provenance.inputs`."""
        return provenance.inputs(self.job, {})

    def due(self) -> bool:
        """Tell whether it has to run."""
        return bool(results.changes(self.folder, self.job, {}))

    def state(self) -> str:
        """Tell `done`, `failed` or `to do`."""
        if not self.due():
            return DONE
        failed = self.folder / "failed" / self.result.name
        return FAILED if failed.is_file() else DUE


def cells(
    edition: Edition,
    root: Path,
    pages: Sequence[str],
    over: Sequence[str],
    fixed: Sequence[tuple[str, str]] = (),
    validators: Mapping[str, parameters.Check] | None = None,
) -> list[Cell]:
    """List the cells of a sweep, all of them checked.

    Args:
        edition: gives the parameters that are not swept.
        root: the checkout.
        pages: the pages; each is swept over those parameters that it has.
        over: texts `NAME=A,B,C`; values that contain commas are separated by
            semicolons instead.
        fixed: names and values, as text, of parameters of all cells.
        validators: see `editions.plan`.

    Raises:
        ValueError: no page, a page that reads the ledger, a parameter that
            no page has, a value of another type or an invalid specification,
            naming the nearest valid choice.
    """
    if validators is None:
        validators = parameters.checks()
    if not pages:
        raise ValueError("sweep what? Give one or more pages")
    fit = [page for page in editions.sources(root) if page not in BACK]
    for page in pages:
        if page not in fit:
            raise unknown("page for a sweep", page, fit)
    if fixed:
        edition = editions.amend(edition, fixed, pages, root)
    jobs = {job.page: job for job in editions.plan(edition, root, pages, {})}
    texts: dict[str, list[str]] = {}
    for name, values in map(_split, over):
        if name in texts:
            raise ValueError(f"--over {name} is given twice; join its values")
        texts[name] = values
    declared = {
        page: parameters.of(jobs[page].notebook, page) for page in pages
    }
    for name in texts:
        known = dict.fromkeys(n for page in pages for n in declared[page])
        if name not in known:
            raise unknown(f"parameter of {' and '.join(pages)}", name, known)
    found = []
    for page in dict.fromkeys(pages):
        own, job = declared[page], jobs[page]
        grid = {
            name: [own[name].parse(text) for text in given]
            for name, given in texts.items()
            if name in own
        }
        kept = {n: v for n, v in job.parameters.items() if n not in grid}
        swept = [{n: v} for n, given in grid.items() for v in given]
        for part in [kept, *swept]:
            parameters.check(page, own, part, validators)
        for choice in itertools.product(*grid.values()):
            found.append(
                _cell(job, dict(zip(grid, choice, strict=True)), root)
            )
    return found


def pick(found: Sequence[Cell], name: str) -> list[Cell]:
    """Choose the cell whose folder has this name.

    Raises:
        ValueError: there is none; names the nearest.
    """
    chosen = [cell for cell in found if cell.folder.name == name]
    if not chosen:
        raise unknown("cell", name, [cell.folder.name for cell in found])
    return chosen


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
        say: takes one line a cell, and the whole report of a failure.

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
        One row a claim of a cell: `page`, a column for each parameter that
        is swept (empty where a page lacks it), `state` (`done`, `failed` or
        `to do`), `claim`, `verdict`, `effect` between `low` and `high`,
        `note`. A cell without verdicts has one row.
    """
    rows = []
    for cell in found:
        state = cell.state()
        verdicts: list[dict[str, Any]] = [{}]
        if state == DONE:
            from helpers import claims  # brings torch, which takes seconds

            notebook = nbformat.read(cell.result, as_version=4)
            verdicts = claims.verdicts(notebook) or verdicts
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


def _split(text: str) -> tuple[str, list[str]]:
    name, equals, rest = text.partition("=")
    values = [v.strip() for v in rest.split(";" if ";" in rest else ",")]
    if not equals or not all(values) or len(set(values)) < len(values):
        raise ValueError(
            f"--over takes NAME=A,B,C with different values, not {text!r}"
        )
    return name.strip(), values


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in values.items()]


def _cell(job: Job, values: dict[str, Any], root: Path) -> Cell:
    """Give a page its values, and a folder that says what they are."""
    changed = {k: v for k, v in values.items() if v != job.parameters[k]}
    job = replace(
        job,
        parameters=job.parameters | values,
        overrides=job.overrides | changed,
    )
    whole = json.dumps(job.parameters, sort_keys=True).encode()
    digest = hashlib.sha256(whole).hexdigest()[:12]
    words = re.sub(r"[^\w=.]+", "-", "_".join(sorted(_pairs(values))))
    name = f"{words[:100]}_{digest}".lstrip("_")
    folder = root / "_build" / "sweeps" / job.page / name
    return Cell(job, values, folder)
