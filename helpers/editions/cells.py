"""The cells of a sweep: a page at one combination of parameter values.

Each cell has a folder that is named after its parameters, so sweeps share
what they have in common. The pages that read the ledger have no place here,
since a cell knows no other page.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import helpers.editions.parameters as parameters
import helpers.editions.provenance as provenance
import helpers.editions.results as results
from helpers.editions.edition import BACK, Edition
from helpers.editions.jobs import Job, amend, plan, sources
from helpers.runtime.errors import unknown

DONE, FAILED, DUE = "done", "failed", "to do"


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
    fit = [page for page in sources(root) if page not in BACK]
    for page in pages:
        if page not in fit:
            raise unknown("page for a sweep", page, fit)
    if fixed:
        edition = amend(edition, fixed, pages, root)
    jobs = {job.page: job for job in plan(edition, root, pages, {})}
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
