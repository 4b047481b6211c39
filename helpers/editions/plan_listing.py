"""What a run would do with each page, and what it would fetch, as text.

Only what is known exactly: no guess at time or memory.
"""

from collections.abc import Sequence
from pathlib import Path

import helpers.editions.required_files as required_files
import helpers.editions.results as results
from helpers.editions.columns import gigabytes, labelled, table
from helpers.editions.edition import Edition
from helpers.editions.jobs import Job
from helpers.editions.jobs import plan as planned
from helpers.editions.parameters import IMAGES, MODEL
from helpers.editions.required_files import Item
from helpers.images import corrupted


def plan(edition: Edition, root: Path, pages: Sequence[str]) -> str:
    """List what a run would do with each page, and what it would fetch.

    Args:
        edition: what would run.
        root: the checkout.
        pages: only these; all of them when empty.
    """
    folder = edition.folder(root)
    jobs = planned(edition, root, pages)
    rows = results.front(results.ledger(edition, folder, jobs)["pages"], jobs)
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
    return "\n".join([*text, "", _fetched(due)])


def _details(job: Job) -> list[str]:
    """Say what a page works on."""
    lines = {
        "models": job.specs(MODEL),
        "images": job.specs(IMAGES),
        "set": [
            f"{name}={value!r}"
            for name, value in job.overrides.items()
            if not job.declared[name].help.startswith((MODEL, IMAGES))
        ],
    }
    return [labelled(label, words) for label, words in lines.items() if words]


def _fetched(jobs: Sequence[Job]) -> str:
    """List what pages would fetch, each thing once, and add it up."""
    models = sorted({spec for job in jobs for spec in job.specs(MODEL)})
    specs = (spec for job in jobs for spec in job.specs(IMAGES))
    images = dict.fromkeys(corrupted.split(spec)[0] for spec in specs)
    found: list[Item | None] = [*map(required_files.of_model, models)]
    found += map(required_files.of_images, images)
    items = [item for item in found if item]
    lines = [("to fetch", "size", "here", "")]
    for item in items:
        here = gigabytes(item.here) if item.here else ""
        lines.append((item.what, gigabytes(item.size), here, item.note))
    missing = gigabytes(sum(item.missing for item in items))
    unknown = [item.what for item in items if item.size is None]
    more = f", and {', '.join(unknown)}" if unknown else ""
    pages = "1 page" if len(jobs) == 1 else f"{len(jobs)} pages"
    total = f"{pages} to run; {missing} to fetch{more}"
    return "\n\n".join([table(lines), total] if items else [total])
