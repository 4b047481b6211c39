"""The claims of the papers as measurable statements.

`data/claims.yaml` states each claim as a measurable effect and the border it
must pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import yaml

from helpers.runtime.errors import unknown
from helpers.runtime.paths import DATA


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
        printed: the number in the paper, where it prints one.
    """

    id: str
    paper: str
    place: str
    page: str
    statement: str
    effect: str
    border: float
    side: str
    printed: str | None = None


@cache
def claims() -> dict[str, Claim]:
    """Read all claims, in the order of the book."""
    rows = yaml.safe_load((DATA / "claims.yaml").read_text("utf-8"))
    return {row["id"]: Claim(**row) for row in rows}


def find(claim: str) -> Claim:
    """Find a claim by its id.

    Raises:
        ValueError: there is none; names the nearest ones.
    """
    if claim not in claims():
        raise unknown("claim", claim, claims())
    return claims()[claim]
