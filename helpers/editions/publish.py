"""From a run of an edition to the numbers that the book keeps of it.

For editions that a reader's laptop cannot repeat: `data/results/<edition>/`
is small, is committed, and is what `helpers.claims.published` reads. The lab
needs none of this, since every reader runs it.
"""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import helpers
import helpers.editions.edition as edition
import helpers.editions.publish_curves as publish_curves
import helpers.editions.results as results
from helpers.claims import published
from helpers.editions.edition import FOLDER, Edition
from helpers.editions.jobs import plan
from helpers.editions.parameters import MODEL

NEVER = {
    edition.DEFAULT: "every reader runs it; its numbers are on the pages",
    "smoke": "its numbers mean nothing",
}


def publish(edition: Edition, root: Path) -> Path:
    """Write the numbers of the last run of an edition.

    Args:
        edition: one of `data/editions`, or a report on one model.
        root: the checkout.

    Returns:
        The folder `data/results/<edition>` with `claims.csv` and
        `provenance.json`; of a report the folder above it, where the curves
        of its model are added, one file per measure.

    Raises:
        ValueError: not an edition that is published, or pages of it have no
            results that are up to date.
    """
    name = edition.name
    if name in NEVER:
        raise ValueError(f"edition {name} is not published: {NEVER[name]}")
    jobs = [j for j in plan(edition, root, validators={}) if not j.is_back]
    if not (FOLDER / f"{name}.yaml").is_file():
        if drawn := publish_curves.write(edition, root, jobs, identity):
            return drawn[0].parent
        raise ValueError(
            f"edition {name} is not published: only those in data/editions "
            "are, so that others can run them, and reports on one model "
            "(`vitscope inspect SPEC`)"
        )
    folder = edition.folder(root)
    rows = results.ledger(edition, folder, jobs)["pages"]
    if lacking := [job.page for job in jobs if job.page not in rows]:
        raise ValueError(
            f"not up to date: {', '.join(lacking)}; `vitscope run {name}`"
        )
    publish_curves.write(edition, root, jobs, identity)
    table = io.StringIO()
    writer = csv.DictWriter(table, published.COLUMNS, lineterminator="\n")
    writer.writeheader()
    for page, row in rows.items():
        for verdict in row["verdicts"]:
            short = {key: _short(value) for key, value in verdict.items()}
            writer.writerow({"page": page} | short)
    kept = ("seconds", "parameters")
    seen = [row["environment"] for row in rows.values()]
    specs = {spec for job in jobs for spec in job.specs(MODEL)}
    origin = {
        "edition": name,
        "version": helpers.__version__,
        "environment": {
            key: sorted({found[key] for found in seen}) for key in seen[0]
        },
        "models": {spec: identity(spec) for spec in sorted(specs)},
        "pages": {p: {k: row[k] for k in kept} for p, row in rows.items()},
    }
    target = root / "data" / "results" / name
    text = json.dumps(origin, indent=1, ensure_ascii=False)
    results.write(target / "provenance.json", text + "\n")
    results.write(target / "claims.csv", table.getvalue())
    return target


def _short(value: Any) -> Any:
    """Write a number with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else value


def identity(spec: str) -> dict[str, Any]:
    """Say which weights a model has: by its card, or by loading it.

    Returns:
        `sha256` of the file of a model of the zoo, with `samples` and whether
        it is a `draft`; of any other model `weights`, the sha256 of its
        parameters and buffers, in order.
    """
    from helpers import models
    from helpers.lab.architectures import NATURAL
    from helpers.models import vision_model, zoo

    name = spec.removeprefix(vision_model.LAB)
    card = zoo.cards(NATURAL if name.startswith(NATURAL) else "").get(name)
    if card:
        facts = {key: card[key] for key in ("sha256", "samples", "draft")}
        images = card.get("photographs", {}).get("sha256")
        return facts | ({"photographs": images} if images else {})
    whole = hashlib.sha256()
    for key, value in models.load(spec, "cpu").module.state_dict().items():
        whole.update(key.encode() + value.contiguous().numpy().tobytes())
    return {"weights": whole.hexdigest()}
