"""What a run would do with each page, and what that would take, as text."""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import helpers.editions.cost_estimates as cost_estimates
import helpers.editions.outlines as outlines
import helpers.editions.parameters as parameters
import helpers.editions.required_files as required_files
import helpers.editions.results as results
from helpers.editions.columns import WIDTH, duration, gigabytes, table
from helpers.editions.edition import Edition
from helpers.editions.jobs import Job
from helpers.editions.jobs import plan as planned


def plan(edition: Edition, root: Path, pages: Sequence[str]) -> str:
    """List what a run would do with each page, and what that would take.

    Args:
        edition: what would run.
        root: the checkout.
        pages: only these; all of them when empty.
    """
    folder = edition.folder(root)
    jobs = planned(edition, root, pages)
    rows = results.ledger(edition, folder, jobs)["pages"]
    due, text = [], []
    for job in jobs:
        if not pages or job.page in pages:
            why = ", ".join(results.changes(folder, job, rows))
            seconds = results.record(folder, job).get("seconds")
            last = f"; last {seconds:.0f} s" if seconds else ""
            state = f"run: {why}" if why else "up to date"
            text += [f"{job.page}  {state}{last}", *_details(job)]
            due += [job] if why else []
    if not pages:
        text += [
            f"{p}  left out: {why}" for p, why in edition.left_out.items()
        ]
    return "\n".join([*text, "", _totals(due)])


def _details(job: Job) -> Iterator[str]:
    """Say what a page works on, and what it would take."""
    models = cost_estimates.unique(cost_estimates.specs(job, "model spec"))
    images = cost_estimates.unique(cost_estimates.specs(job, "image spec"))
    own = parameters.of(job.notebook, job.page)
    numbers = [
        f"{name}={value!r}"
        for name, value in job.overrides.items()
        if not own[name].help.startswith(("model spec", "image spec"))
    ]
    fetched = gigabytes(sum(item.missing for item in _items([job])))
    needs = cost_estimates.needs(job)
    costs = [
        f"{duration(needs.seconds)}, {gigabytes(needs.device)} of device and "
        f"{gigabytes(needs.main)} of main memory, {fetched} to fetch"
    ]
    lines = {"models": models, "images": images, "set": numbers}
    for name, values in (lines | {"about": costs}).items():
        if values:
            yield textwrap.fill(
                ", ".join(values),
                WIDTH,
                initial_indent=f"    {name:8}",
                subsequent_indent=" " * 12,
                break_long_words=False,
                break_on_hyphens=False,
            )


def _items(jobs: Sequence[Job]) -> list[required_files.Item]:
    """List what pages would fetch, each thing once."""
    named = [
        cost_estimates.unique(cost_estimates.specs(j, "model spec"))
        for j in jobs
    ]
    asked: dict[str, list[required_files.Draw]] = {}
    for job in jobs:
        for draw in cost_estimates.draws(job):
            asked.setdefault(draw.spec, []).append(draw)
    found = [
        required_files.of_model(
            spec, outlines.outline(spec).model.num_parameters
        )
        for spec in sorted({spec for specs in named for spec in specs})
    ]
    found += [
        required_files.of_images(spec, each) for spec, each in asked.items()
    ]
    return [item for item in found if item]


def _totals(jobs: Sequence[Job]) -> str:
    """Add up what pages would take and fetch."""
    items = _items(jobs)
    lines = [("to fetch", "about", "here", "")]
    for item in items:
        size = "unknown" if item.size is None else gigabytes(item.size)
        here = gigabytes(item.here) if item.here else ""
        lines.append((item.what, size, here, item.note))
    every = [cost_estimates.needs(job) for job in jobs]
    seconds = duration(sum(needs.seconds for needs in every))
    device = gigabytes(max([needs.device for needs in every], default=0))
    main = gigabytes(max([needs.main for needs in every], default=0))
    fetched = gigabytes(sum(item.missing for item in items))
    total = (
        f"{len(jobs)} pages to run, about {seconds} on this machine, one "
        f"after the other;\nat most {device} of device memory and {main} of "
        f"main memory; {fetched} to fetch.\n"
        "These are rough: forward passes at the speed of this machine, "
        "without probes\nand downloads. Allow for a factor of three."
    )
    return "\n\n".join([table(lines), total] if items else [total])
