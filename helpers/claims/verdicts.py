"""From an effect with its interval to a verdict.

A page measures the effect, `test` gives it an interval and `judge` compares
that with the border of the claim. No verdict is typed by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from helpers.claims.statements import find
from helpers.intervals.estimates import Estimate
from helpers.intervals.inference import Effect, Sample, infer

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
    claim: str,
    effect: Effect | str,
    *samples: Sample | str,
    note: str = "",  # noqa: PT028, not a test of pytest
) -> Verdict:
    """Judge a claim by its effect, or say why this run cannot.

    Args:
        claim: its id in `data/claims.yaml`.
        effect: a function of the samples, an `Estimate`, or independent
            values of the effect (see `helpers.intervals.infer`). A string in
            its place, or in that of a sample, is the reason why the claim is
            not measurable.
        *samples: what a function is computed from.
        note: what the reader should know (a proxy model, say).

    Raises:
        ValueError: no such claim; names the nearest ones.
    """
    for part in (effect, *samples):
        if isinstance(part, str):
            return not_measurable(claim, part)
    return judge(claim, infer(effect, *samples), note)


def not_measurable(claim: str, why: str) -> Verdict:
    """State that this run cannot say anything about a claim, and why."""
    find(claim)
    return Verdict(claim, NOT_MEASURABLE, None, None, None, why)
