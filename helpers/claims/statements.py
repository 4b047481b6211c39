"""The claims of the papers as measurable statements.

`data/claims.yaml` states each claim as a measurable effect, the border it
must pass, and the smallest effect that would matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from helpers.runtime.errors import unknown
from helpers.runtime.paths import DATA

SIDES = ("above", "below")
NEEDS = {
    "learned": "lead of each self-supervised model, in 20-NN accuracy, over "
    "the same model untrained and over the pixels",
    "less-data-costs": "accuracy lost with less training data",
    "equal-training": "difference in training, log2 of the pictures seen",
    "local-heads": "distance of the nearest head from uniform attention, as "
    "a fraction of it, mean of the two lowest blocks",
}
"""What a claim may need to be true of its models before it says anything."""


@dataclass(frozen=True)
class Claim:
    """A claim of a paper as a measurable statement.

    Attributes:
        id: its name in the ledger.
        paper: key in the bibliography; `vitscope2026` is this book, for
            hypotheses of its own.
        place: section and figure in the paper.
        page: the page of the book that measures it.
        statement: what the paper says, in short.
        effect: what is measured, in words.
        border: the value that the effect must pass.
        side: `above` or `below`, where the claim holds.
        margin: the smallest effect of interest: an interval that lies closer
            to the border than this on both sides is *no effect*. It is 0
            where the border itself is the smallest effect of interest.
        because: the reason for the margin, in one line.
        printed: the number in the paper, where it prints one.
        quote: the paper's own words, where they are at hand.
        needs: what must be true of the models for the claim to say anything,
            each one of `NEEDS`, with the margin by which.
        uncontrolled: why untrained models say nothing about the claim; it
            then has no control.
        revisions: what changed in the statement after it was first written,
            each with its `date`.
    """

    id: str
    paper: str
    place: str
    page: str
    statement: str
    effect: str
    border: float
    side: str
    margin: float
    because: str
    printed: str | None = None
    quote: str | None = None
    needs: Mapping[str, float] = field(default_factory=dict)
    uncontrolled: str = ""
    revisions: Sequence[Mapping[str, str]] = ()


@cache
def claims() -> dict[str, Claim]:
    """Read all claims, in the order of the book.

    Raises:
        ValueError: a claim that is stated twice or badly; names it.
    """
    rows = yaml.safe_load((DATA / "claims.yaml").read_text("utf-8"))
    found: dict[str, Claim] = {}
    for row in rows:
        claim = read(row)
        if claim.id in found:
            raise ValueError(f"claim {claim.id} is stated twice")
        found[claim.id] = claim
    return found


def read(row: dict[str, Any]) -> Claim:
    """Check one claim of the file.

    Raises:
        ValueError: a gate, side or margin that is not one, or a quotation
            without its place; names the claim.
    """
    claim = Claim(**row)
    for need in claim.needs:
        if need not in NEEDS:
            raise unknown(f"need of claim {claim.id}", need, NEEDS)
    if claim.side not in SIDES:
        raise unknown(f"side of claim {claim.id}", claim.side, SIDES)
    if claim.margin < 0 or not claim.because:
        raise ValueError(
            f"claim {claim.id} needs a margin of 0 or more and the reason "
            f"for it, got {claim.margin} because {claim.because!r}"
        )
    if claim.margin == 0 == claim.border:
        raise ValueError(
            f"claim {claim.id} has neither a border nor a margin: say which "
            "effect would be too small to matter"
        )
    if claim.quote and not claim.place:
        raise ValueError(f"claim {claim.id} has a quotation without a place")
    return claim


def find(claim: str) -> Claim:
    """Find a claim by its id.

    Raises:
        ValueError: there is none; names the nearest ones.
    """
    if claim not in claims():
        raise unknown("claim", claim, claims())
    return claims()[claim]
