"""Judge the claims of the lab edition on other weights, and keep the effects.

One file per page and kind, such as `data/results/controls/<page>.json`, is
written after each run of the page, so a kill loses at most what is in work; a
run that is kept is done again only when the parameters, code, data or weights
behind it have changed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat

import helpers.editions.provenance as provenance
import helpers.editions.results as results
from helpers.charts import untrained
from helpers.claims import claims, judge, other_weights, verdicts_in
from helpers.claims.other_weights import CONTROLS, CURVES, FIRST, SEEDS
from helpers.editions import parameters
from helpers.editions.edition import DEFAULT, Edition, load
from helpers.editions.failures import Failure
from helpers.editions.jobs import Job, plan
from helpers.editions.swapped import (
    Weights,
    changed,
    outdated,
    signature,
    with_weights,
)
from helpers.editions.worker_pool import Task, execute
from helpers.intervals import Estimate
from helpers.runtime.errors import unknown

DIGITS = 6  # of the numbers that are kept


def pages_of(
    kind: str, root: Path, pages: Sequence[str] = ()
) -> tuple[Edition, list[Job]]:
    """List the pages of the lab whose claims other weights can speak of.

    Args:
        kind: `controls`, `seeds` or `lengths`.
        root: the checkout.
        pages: only these; all of them when empty.

    Raises:
        ValueError: a page without such claims; names the nearest.
    """
    edition = load(DEFAULT, root)
    fit = [j for j in plan(edition, root, pages) if _claims(kind, j.page)]
    known = [job.page for job in fit]
    for page in pages:
        if page not in known:
            raise unknown(f"page with claims for {kind}", page, known)
    return edition, [j for j in fit if not pages or j.page in pages]


def run(
    found: Sequence[Weights],
    root: Path,
    pages: Sequence[str] = (),
    workers: int = 1,
    say: Callable[[str], None] = print,
) -> list[Failure]:
    """Execute the pages with other weights, where that was not done before.

    Args:
        found: the weights, all of one kind.
        root: the checkout.
        pages: only these; all that have claims when empty.
        workers: how many pages run at once.
        say: takes a line per page, and the whole report of a failure.

    Returns:
        The pages that failed; the others went on.

    Raises:
        ValueError: a page without claims to judge; weights for no model of
            any page; second trainings of pages whose first is not measured.
    """
    kind = found[0].kind
    edition, jobs = pages_of(kind, root, pages)
    checks = {} if kind == CONTROLS else parameters.checks()
    due: dict[Task, tuple[Job, dict[str, object]]] = {}
    tasks: list[tuple[Task, Job]] = []
    idle = 0
    for weights in found:
        folder = root / "_build" / kind / weights.label
        folder.mkdir(parents=True, exist_ok=True)
        for job in jobs:
            again, new = with_weights(job, weights)
            if not new:
                idle += 1
                continue
            parameters.check(job.page, job.declared, again.parameters, checks)
            made, kept = signature(job, weights), _kept(kind, job)
            label = f"{job.page}, {weights.label}"
            task = Task(label, folder, again, made_from={})
            tasks.append((task, job))
            if changed(kept["runs"].get(weights.label, {}), made):
                due[task] = (job, made)
    if idle == len(found) * len(jobs):
        raise ValueError(
            f"no model of {', '.join(job.page for job in jobs)} has weights "
            f"in {', '.join(weights.label for weights in found)}"
        )
    if kind == SEEDS and due:
        _keep_first(edition, root, {job.page: job for job, _ in due.values()})
    say(f"{len(found) * len(jobs) - idle} runs, {len(due)} to do")
    failed = []
    with (
        results.alone(root / "_build" / kind, say),
        closing(execute(list(due), workers)) as ended,
    ):
        for task, outcome in ended:
            if isinstance(outcome, Failure):
                failed.append(outcome)
                say(f"{task.label}\n{outcome}")
                continue
            job, made = due[task]
            path = results.executed(task.folder, task.job)
            rows = verdicts_in(nbformat.read(path, as_version=4))
            _keep(kind, job, task.folder.name, made, rows, outcome)
            say(f"{task.label}: {outcome:.1f} s")
        if kind == CONTROLS:
            for task, job in tasks:
                _keep_curves(task, job)
    return failed


def _claims(kind: str, page: str) -> list[str]:
    """List the claims of a page that other weights can speak of."""
    return [
        claim.id
        for claim in claims().values()
        if claim.page == page and not (kind == CONTROLS and claim.uncontrolled)
    ]


def _kept(kind: str, job: Job) -> dict[str, Any]:
    """Return the file of a page; without runs if it had other parameters."""
    kept = other_weights.read(kind, job.page)
    if other_weights.speaks_of(kept, job.parameters):
        return kept
    return {"page": job.page, "parameters": job.parameters, "runs": {}}


def _keep(
    kind: str,
    job: Job,
    label: str,
    made: Mapping[str, object],
    rows: Sequence[Mapping[str, Any]],
    seconds: float,
) -> None:
    """Write a run into the file of its page."""
    content = _kept(kind, job) | {"parameters": job.parameters}
    versions = provenance.environment()
    wanted = _claims(kind, job.page)
    content["runs"][label] = {
        **made,
        "versions": {name: versions[name] for name in provenance.VERSIONS},
        "seconds": seconds,
        "claims": {
            row["claim"]: _effect(row)
            if row["claim"] in wanted
            else {"why": claims()[row["claim"]].uncontrolled}
            for row in rows
        },
    }
    runs = sorted(content["runs"].items(), key=lambda run: run[0] != FIRST)
    _write(kind, content | {"runs": dict(runs)})


def _keep_curves(task: Task, job: Job) -> None:
    """Keep what a control draws, if its executed page is still there."""
    content, page = _kept(CONTROLS, job), results.record(task.folder, task.job)
    run = content["runs"].get(task.folder.name, {CURVES: {}})
    if CURVES in run or page.get("seconds") != run["seconds"]:
        return  # done before, or another run of the page
    path = results.executed(task.folder, task.job)
    run[CURVES] = untrained.lines_in(nbformat.read(path, as_version=4))
    _write(CONTROLS, content)


def _write(kind: str, content: Mapping[str, Any]) -> None:
    path = other_weights.FOLDER / kind / f"{content['page']}.json"
    results.write(path, json.dumps(content, indent=1) + "\n")


def _effect(row: Mapping[str, Any]) -> dict[str, Any]:
    """Keep an effect as if no gate had closed, or why there is none."""
    if row["effect"] is None:
        return {"why": row["note"]}
    names = ("effect", "low", "high")
    ends = [float(f"{row[name]:.{DIGITS}g}") for name in names]
    word = judge(row["claim"], Estimate(*ends)).verdict
    return {**dict(zip(names, ends, strict=True)), "verdict": word}


def _keep_first(edition: Edition, root: Path, jobs: Mapping[str, Job]) -> None:
    """Keep the effects of the book's own weights beside the second ones."""
    book = results.ledger(edition, edition.folder(root), list(jobs.values()))
    if lacking := [page for page in jobs if page not in book["pages"]]:
        raise ValueError(
            "a second training is compared with the first, which is not "
            f"measured: `vitscope run {' '.join(lacking)}`"
        )
    for page, job in jobs.items():
        row = book["pages"][page]
        made = {**provenance.numbers(job), "models": {}}
        _keep(SEEDS, job, FIRST, made, row["verdicts"], row["seconds"])


def complaints(
    kind: str, root: Path, pages: Sequence[str] = (), draws: int = 0
) -> Iterator[tuple[str, bool]]:
    """Say which claims lack a control, or have one of an earlier version.

    Args:
        kind: `controls`, `seeds` or `lengths`.
        root: the checkout.
        pages: only these; all that have claims when empty.
        draws: how many draws every page must have.

    Yields:
        A sentence that names the claims, and whether the numbers can still
        be used: those of an earlier version can, and are called so.
    """
    for job in pages_of(kind, root, pages)[1]:
        named = ", ".join(_claims(kind, job.page))
        kept = other_weights.read(kind, job.page)
        if kept and not other_weights.speaks_of(kept, job.parameters):
            yield f"{kind} of other parameters: {named} ({job.page})", False
            continue
        runs = kept.get("runs", {})
        for draw in range(1, draws + 1):
            if str(draw) not in runs:
                yield f"no draw {draw} of {kind}: {named}", False
        for label, found in runs.items():
            if apart := set(_claims(kind, job.page)) - set(found["claims"]):
                names = ", ".join(sorted(apart))
                yield f"no {kind} in run {label}: {names}", False
        if earlier := outdated(kind, job):
            parts = " and ".join(earlier)
            yield f"{kind} of an earlier {parts}: {named}", True
