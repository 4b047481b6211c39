"""From an effect with its interval to a verdict.

A page measures the effect, `test` gives it an interval and `judge` compares
that with the border of the claim. No verdict is typed by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from helpers.claims.gates import Gate
from helpers.claims.statements import NEEDS, Claim, find
from helpers.intervals.estimates import Estimate
from helpers.intervals.inference import Effect, Sample, infer

HOLDS, NO_EFFECT = "holds", "no effect"
UNTRAINED_TOO = "holds, untrained too"
FAILS, REFUTED = "does not hold here", "does not hold"
UNDECIDED, NOT_MEASURABLE = "undecided", "not measurable here"
VERDICTS = (
    *(HOLDS, UNTRAINED_TOO, NO_EFFECT, FAILS, REFUTED),
    *(UNDECIDED, NOT_MEASURABLE),
)
"""No page gives two of them itself. `REFUTED` is kept for the models and data
of the paper, see `helpers.claims.protocols`; `UNTRAINED_TOO` comes from the
controls, see `helpers.claims.other_weights`."""
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
        `no effect` when the whole interval lies closer to the border than
        the smallest effect of interest; else `holds` or `does not hold here`
        when it lies on one side of the border by more than rounding,
        `undecided` when it covers the border, and `not measurable here` when
        the effect is not a number. The share of undefined draws is noted.

    Raises:
        ValueError: no such claim; names the nearest ones.
    """
    stated = find(claim)
    if estimate.undefined:
        share = f"{estimate.undefined:.1%} of the draws are undefined"
        note = f"{note}; {share}" if note else share
    if not estimate.defined:
        return not_measurable(claim, note or "undefined effect")
    ends = estimate.value, estimate.low, estimate.high
    return Verdict(claim, _word(stated, estimate), *ends, note)


def _word(stated: Claim, estimate: Estimate) -> str:
    """Find the word for an interval."""
    if stated.side == "below":
        low, high = -estimate.high, -estimate.low
        border = -stated.border
    else:
        low, high, border = estimate.low, estimate.high, stated.border
    low, high = low - border, high - border
    slack = ROUNDING * max(1.0, abs(border))
    if -stated.margin < low and high < stated.margin:
        return NO_EFFECT
    if low > slack:
        return HOLDS
    return FAILS if high < -slack else UNDECIDED


def test(
    claim: str,
    effect: Effect | str,
    *samples: Sample | str,
    gates: Sequence[Gate] = (),  # noqa: PT028
    note: str = "",  # noqa: PT028
) -> Verdict:
    """Judge a claim by its effect, or say why this run cannot.

    Args:
        claim: its id in `data/claims.yaml`.
        effect: a function of the samples, an `Estimate`, or independent
            values of the effect (see `helpers.intervals.infer`). A string in
            its place, or in that of a sample, is the reason why the claim is
            not measurable.
        *samples: what a function is computed from.
        gates: whether the models had the treatment that the claim is about,
            one for each of its `needs`.
        note: what the reader should know (a proxy model, say).

    Returns:
        What `judge` says; `not measurable here` where a gate is closed, with
        the effect, which says nothing about the claim then.

    Raises:
        ValueError: no such claim, or a need of the claim without a gate;
            names the claim.
    """
    for part in (effect, *samples):
        if isinstance(part, str):
            return not_measurable(claim, part)
    known, closed = {gate.name: gate for gate in gates}, ""
    for need, margin in find(claim).needs.items():
        if need not in known:
            raise ValueError(f"claim {claim} needs a gate for {need!r}")
        gate = known[need]
        if gate.closed(margin):
            closed = closed or (
                f"the treatment had no effect: {NEEDS[need]}: "
                f"{gate.found:.3g}, expected {gate.side} {margin:g}"
            )
        if gate.found is None:
            note = f"{note}; " if note else ""
            note += f"not checked: {NEEDS[need]} ({gate.why})"
    found = judge(claim, infer(effect, *samples), note)
    if closed:
        return replace(found, verdict=NOT_MEASURABLE, note=closed)
    return found


def not_measurable(claim: str, why: str) -> Verdict:
    """State that this run cannot say anything about a claim, and why."""
    find(claim)
    return Verdict(claim, NOT_MEASURABLE, None, None, None, why)
