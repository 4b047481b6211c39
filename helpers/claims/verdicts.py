"""From an effect with its interval to a verdict.

A page measures the effect and `judge` compares it with the border of the
claim. No verdict is typed by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers.cka.comparison import Similarity
from helpers.claims.statements import find
from helpers.intervals.estimates import Estimate, estimate

HOLDS, FAILS = "holds", "does not hold"
UNDECIDED, NOT_MEASURABLE = "undecided", "not measurable here"
VERDICTS = (HOLDS, FAILS, UNDECIDED, NOT_MEASURABLE)
ROUNDING = 1e-9
"""What rounding may add to an effect of order 1, as those of the claims are:
far above what float64 does to sums, far below what images could tell."""


@dataclass(frozen=True)
class Verdict:
    """What a run says about a claim."""

    claim: str
    verdict: str
    effect: float | None
    low: float | None
    high: float | None
    note: str


def judge(claim: str, estimate: Estimate, note: str = "") -> Verdict:
    """Compare a measured effect with the border of its claim.

    Args:
        claim: its id in `data/claims.yaml`.
        estimate: the effect with its interval.
        note: what the reader should know (a proxy model, say).

    Returns:
        `holds` or `does not hold` when the whole interval lies on one side
        of the border by more than rounding, `undecided` when it covers the
        border, and `not measurable here` when the effect is not a number.

    Raises:
        ValueError: no such claim; names the nearest ones.
    """
    stated = find(claim)
    low, high = estimate.low, estimate.high
    if not np.isfinite([estimate.value, low, high]).all():
        return Verdict(
            claim, NOT_MEASURABLE, None, None, None, note or "undefined effect"
        )
    if stated.side == "below":
        low, high = -high, -low
    border = stated.border if stated.side == "above" else -stated.border
    slack = ROUNDING * max(1.0, abs(border))
    word = UNDECIDED
    if low > border + slack:
        word = HOLDS
    elif high < border - slack:
        word = FAILS
    return Verdict(
        claim, word, estimate.value, estimate.low, estimate.high, note
    )


def test(
    claim: str, effect: Callable[..., float], *maps: Similarity
) -> Verdict:
    """Judge a claim by an effect of CKA maps; see `estimate` and `judge`."""
    return judge(claim, estimate(effect, *maps))


def not_measurable(claim: str, why: str) -> Verdict:
    """State that this run cannot say anything about a claim, and why."""
    find(claim)
    return Verdict(claim, NOT_MEASURABLE, None, None, None, why)
