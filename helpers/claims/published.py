"""Numbers of editions that need more than a laptop, kept with the book.

`data/results/<edition>/` has `claims.csv`, one row per claim with its effect,
interval and verdict, and `provenance.json`: versions, device, and the models
by their hashes. `vitscope publish` writes both; pages and the ledger show the
verdicts beside their own. Editing a verdict there has no effect, but for that
of a closed gate: effects and intervals are judged again when they are read.
"""

import csv
import json
from typing import Any

from helpers.claims.protocols import protocol, worded
from helpers.claims.statements import claims
from helpers.claims.verdicts import (
    NOT_MEASURABLE,
    Verdict,
    judge,
    not_measurable,
)
from helpers.intervals.estimates import Estimate
from helpers.runtime.paths import DATA

FOLDER = DATA / "results"
COLUMNS = ("claim", "page", "verdict", "effect", "low", "high", "note")


def read(without: str = "") -> dict[str, dict[str, dict[str, Any]]]:
    """Read the published verdicts.

    Args:
        without: an edition that is not wanted.

    Returns:
        What an edition is called (its name, and whether its models were
        drafts) to claim to verdict, of the claims that the book still makes.
    """
    found = {}
    for path in sorted(FOLDER.glob("*/claims.csv")):
        name = path.parent.name
        if name == without:
            continue
        origin = json.loads(
            path.with_name("provenance.json").read_text("utf-8")
        )
        if any(model.get("draft") for model in origin["models"].values()):
            name += " (draft models)"
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        found[name] = {
            row["claim"]: _verdict(row, origin["pages"])
            for row in rows
            if row["claim"] in claims()
        }
    return found


def _verdict(
    row: dict[str, str], pages: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Judge a row again, by whose experiment it is from."""
    given = pages.get(row["page"], {}).get("parameters", {})
    tier = protocol(row["page"], given)
    found = vars(_judged(row))
    word = worded(found["verdict"], tier)
    return found | {"verdict": word, "protocol": tier}


def _judged(row: dict[str, str]) -> Verdict:
    claim, note = row["claim"], row["note"]
    if not row["effect"] or row["verdict"] == NOT_MEASURABLE:
        return not_measurable(claim, note)
    numbers = (float(row[name]) for name in ("effect", "low", "high"))
    return judge(claim, Estimate(*numbers), note)
