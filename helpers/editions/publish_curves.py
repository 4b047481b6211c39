"""From an executed report on a model to rows that the book keeps.

`data/results/<measure>.csv` has the curves of all models that were published,
each with the hash of its weights, the settings, versions and the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

import helpers
import helpers.editions.results as results
from helpers.editions.edition import Edition
from helpers.editions.jobs import Job
from helpers.report import curves


def write(
    edition: Edition,
    root: Path,
    jobs: Sequence[Job],
    identity: Callable[[str], dict[str, Any]],
) -> list[Path]:
    """Add the curves of an edition's reports to those that are published.

    Rows of the same model, weights and images give way to the new ones.

    Args:
        edition: whose pages were executed.
        root: the checkout.
        jobs: its pages.
        identity: of a model's weights, by its spec.

    Returns:
        The files written; none where no page kept curves.

    Raises:
        ValueError: a page whose curves are not up to date.
    """
    found: list[dict[str, Any]] = []
    folder = edition.folder(root)
    for job in jobs:
        path = results.executed(folder, job)
        if not path.is_file():
            continue
        notebook = nbformat.read(path, as_version=4)
        if not (points := curves.kept_in(notebook)):
            continue
        if changed := results.changes(folder, job, {}):
            raise ValueError(
                f"{job.page} of {edition.name} is not up to date "
                f"({', '.join(changed)}): run it again"
            )
        found += _rows(points, notebook, identity)
    written = []
    for measure in dict.fromkeys(row["measure"] for row in found):
        new = pd.DataFrame(r for r in found if r["measure"] == measure)
        path = root / "data" / "results" / f"{measure}.csv"
        whose = ["model", "weights", "images"]
        if path.is_file():
            old = curves.read(path)
            again = pd.MultiIndex.from_frame(old[whose]).isin(
                pd.MultiIndex.from_frame(new[whose])
            )
            new = pd.concat([old[~again], new])
        new = new.sort_values(["model", "images"], kind="stable")
        columns = new[list(curves.COLUMNS)]
        text = columns.to_csv(index=False, float_format="%.6g")
        results.write(path, text)
        curves.read(path)
        written.append(path)
    return written


def _rows(
    points: list[dict[str, Any]],
    notebook: nbformat.NotebookNode,
    identity: Callable[[str], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Complete the points of an executed page by what it was made from."""
    ran = notebook.metadata.vitscope
    given, where = dict(ran.parameters), ran.environment
    sizes = {k: v for k, v in given.items() if isinstance(v, int)}
    shared = {
        "images": curves.bare(given["images"]),
        "settings": " ".join(f"{k}={v}" for k, v in sorted(sizes.items())),
        "version": helpers.__version__,
        **{name: where[name] for name in ("torch", "timm", "device")},
    }
    rows = []
    for spec, part in groupby(points, itemgetter("spec")):
        weights = identity(spec)
        whose = shared | {
            "model": curves.bare(spec),
            "weights": weights.get("sha256") or weights["weights"],
        }
        rows += [
            point | whose | {"panel": curves.bare(point["panel"])}
            for point in part
        ]
    return rows
