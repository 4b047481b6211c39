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
from functools import cache
from pathlib import Path
from typing import Any

import helpers.editions.failures as failures
import helpers.editions.parameters as parameters
import helpers.editions.provenance as provenance
import helpers.editions.results as results
from helpers.editions.edition import Edition
from helpers.editions.jobs import Job, amend, plan
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
        return FAILED if self.failure else DUE

    @property
    def failure(self) -> str:
        """Why it stopped when it was last executed, or nothing."""
        return failures.told(self.job.page, self.folder)


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
            no page has, a value of another type or out of range, or an
            invalid specification, naming the nearest valid choice.
    """
    if validators is None:
        validators = parameters.checks()
    seen = {start: cache(check) for start, check in validators.items()}
    if not pages:
        raise ValueError("sweep what? Give one or more pages")
    fit = [j.page for j in plan(edition, root, pages, {}) if not j.is_back]
    for page in pages:
        if page not in fit:
            raise unknown("page for a sweep", page, fit)
    if fixed:
        edition = amend(edition, fixed, pages, root)
    every = {job.page: job for job in plan(edition, root, pages, {})}
    jobs = [every[page] for page in dict.fromkeys(pages)]
    texts: dict[str, list[str]] = {}
    known = dict.fromkeys(name for job in jobs for name in job.declared)
    for name, values in map(_split, over):
        if name in texts:
            raise ValueError(f"--over {name} is given twice; join its values")
        if name not in known:
            raise unknown(f"parameter of {' and '.join(pages)}", name, known)
        texts[name] = values
    found = []
    for job in jobs:
        grid = {
            name: [job.declared[name].parse(text) for text in values]
            for name, values in texts.items()
            if name in job.declared
        }
        for choice in itertools.product(*grid.values()):
            given = dict(zip(grid, choice, strict=True))
            whole = replace(job, parameters=job.parameters | given)
            parameters.check(job.page, job.declared, whole.parameters, seen)
            found.append(_cell(whole, given, root))
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
    """Give a page at some values a folder that says what they are."""
    whole = json.dumps(job.parameters, sort_keys=True).encode()
    digest = hashlib.sha256(whole).hexdigest()[:12]
    words = re.sub(r"[^\w=.]+", "-", "_".join(sorted(_pairs(values))))
    name = f"{words[:100]}_{digest}".lstrip("_")
    folder = root / "_build" / "sweeps" / job.page / name
    return Cell(job, values, folder)
