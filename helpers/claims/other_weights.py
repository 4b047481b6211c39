"""The same claims on untrained models, second and shorter trainings.

`data/results/controls/<page>.json` has what a page measures on untrained
models, `data/results/seeds/<page>.json` on models that were trained again and
`data/results/lengths/<page>.json` on models that were trained for less long.
`vitscope controls`, `vitscope seeds` and `vitscope lengths` write them. They
speak of a page only while it runs with the parameters that they name; whether
its code or data have changed since is told by the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.claims.statements import claims, find
from helpers.claims.verdicts import HOLDS, UNDECIDED, UNTRAINED_TOO, judge
from helpers.intervals import between_trainings
from helpers.intervals.estimates import Estimate
from helpers.runtime.paths import DATA

FOLDER = DATA / "results"
KINDS = CONTROLS, SEEDS, LENGTHS = "controls", "seeds", "lengths"
FIRST = "first"
"""The run of a file of seeds that has the weights of the book."""
CURVES = "curves"
"""What `charts.untrained` keeps in a run, where there is any."""
KEYS = {"page", "parameters", "runs"}
RUN_KEYS = {"code", "data", "models", "versions", "seconds", "claims"}


@dataclass(frozen=True)
class Control:
    """What a claim comes to on untrained models.

    Attributes:
        mean: of the effect over the draws of the weights.
        low: its smallest value.
        high: its largest value.
        draws: how many there are.
        holds: in how many of them the claim holds.
    """

    mean: float
    low: float
    high: float
    draws: int
    holds: int

    @property
    def too(self) -> bool:
        """Whether the claim holds untrained: in more than half the draws."""
        return 2 * self.holds > self.draws


def read(kind: str, page: str) -> dict[str, Any]:
    """Read what was measured on other weights; empty where nothing was.

    Args:
        kind: `controls` or `seeds`.
        page: the page.

    Raises:
        ValueError: a file of another form; names it, and the claim.
    """
    path = FOLDER / kind / f"{page}.json"
    if not path.is_file():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from error
    _check(content, path)
    return content


def _check(content: Mapping[str, Any], path: Path) -> None:
    """Refuse a file of another form."""
    if content.keys() != KEYS or content["page"] != path.stem:
        raise ValueError(
            f"{path.name} must have {', '.join(sorted(KEYS))} and be named "
            f"after its page; it has {', '.join(sorted(content))}"
        )
    for label, run in content["runs"].items():
        if run.keys() - {CURVES} != RUN_KEYS:
            raise ValueError(
                f"run {label} of {path.name} must have "
                f"{', '.join(sorted(RUN_KEYS))}; it has "
                f"{', '.join(sorted(run))}"
            )
        for claim, found in run["claims"].items():
            if not ("why" in found or {"effect", "low", "high"} <= set(found)):
                raise ValueError(
                    f"claim {claim} has neither an effect with its interval "
                    f"nor a reason in run {label} of {path.name}"
                )


def speaks_of(content: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Tell whether a file was made with the parameters of a page.

    Args:
        content: as `read` returns it.
        given: the values of the page's parameters, and any others.
    """
    return bool(content) and all(
        name in given and given[name] == value
        for name, value in content["parameters"].items()
    )


def control(content: Mapping[str, Any], claim: str) -> Control | None:
    """Sum up the controls of a claim; None where none were measured."""
    found = _estimates(content, claim)
    if not found:
        return None
    effects = [estimate.value for estimate in found.values()]
    judged = [judge(claim, estimate).verdict for estimate in found.values()]
    return Control(
        float(np.mean(effects)),
        *(min(effects), max(effects)),
        *(len(effects), judged.count(HOLDS)),
    )


def widened(
    content: Mapping[str, Any], claim: str, estimate: Estimate
) -> Estimate | None:
    """Add the variance between trainings to an interval.

    Args:
        content: the seeds of the page.
        claim: its id.
        estimate: its effect, with the interval over images.

    Returns:
        None where the claim was not measured on a second training.
    """
    known = {
        name: list(_estimates(content, name).values())
        for name in claims()
        if name in content.get("runs", {}).get(FIRST, {}).get("claims", {})
    }
    if len(known.get(claim, ())) < 2:
        return None
    spread = between_trainings.spread(known.values())
    return between_trainings.widen(estimate, known[claim], spread)


def compare(
    row: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Say what other weights make of a verdict.

    Args:
        row: a verdict, as `claims.verdicts_in` reads it.
        given: the parameters that its page ran with.

    Returns:
        `verdict`, undecided where there is a second training and the wider
        interval does not confirm it, and `holds, untrained too` where the
        control holds;
        `control` (`mean`, `low`, `high`, `draws`, `holds`), or None;
        `trainings`: how many there are, with the ends `wide_low` and
        `wide_high` and the models `again` where there are two or more;
        `shorter`: the longest of the shorter trainings (`share`, `effect`
        and whether the effect `moves` from there) and the `effects` of all by
        their share of the scenes, or None.
    """
    claim, verdict = find(row["claim"]), row["verdict"]
    controls, seeds, lengths = (read(kind, claim.page) for kind in KINDS)
    found: dict[str, Any] = {"control": None, "trainings": {"count": 1}}
    measured = row["effect"] is not None
    found["shorter"] = None
    if speaks_of(lengths, given) and measured:
        found["shorter"] = _shorter(lengths, row)
    if speaks_of(seeds, given) and measured:
        estimate = Estimate(row["effect"], row["low"], row["high"])
        wide = widened(seeds, claim.id, estimate)
        if wide:
            again = _estimates(seeds, claim.id).keys() - {FIRST}
            runs = [seeds["runs"][label] for label in again]
            found["trainings"] = {
                "count": 1 + len(again),
                "wide_low": wide.low,
                "wide_high": wide.high,
                "again": sorted({m for run in runs for m in run["models"]}),
            }
            # Less certainty confirms nothing new: an effect too small to
            # matter does not hold for that. A gate that is closed stays so.
            is_open = verdict == judge(claim.id, estimate).verdict
            if is_open and verdict != judge(claim.id, wide).verdict:
                verdict = UNDECIDED
    if speaks_of(controls, given) and not claim.uncontrolled:
        known = control(controls, claim.id)
        found["control"] = known and vars(known)
        if known and known.too and verdict == HOLDS:
            verdict = UNTRAINED_TOO
    return found | {"verdict": verdict}


def _shorter(
    lengths: Mapping[str, Any], row: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Compare an effect with that of the longest of the shorter trainings.

    It moves where it has changed by more than the smallest effect of
    interest, and by more than the images leave open.
    """
    found = _estimates(lengths, row["claim"])
    if not found:
        return None
    effects = {float(share): found[share].value for share in found}
    share = max(effects)
    chance = (row["high"] - row["low"]) / 2
    least = max(find(row["claim"]).margin, chance)
    return {
        "share": share,
        "effect": effects[share],
        "moves": abs(row["effect"] - effects[share]) > least,
        "effects": effects,
    }


def _estimates(content: Mapping[str, Any], claim: str) -> dict[str, Estimate]:
    """Return the effect of a claim in each run that has one."""
    found = {}
    for label, run in content.get("runs", {}).items():
        row = run["claims"].get(claim, {})
        if "effect" in row:
            ends = (float(row[key]) for key in ("effect", "low", "high"))
            found[label] = Estimate(*ends)
    return found
