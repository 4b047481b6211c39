"""From an effect with its interval to a verdict, and the ledger of all.

`data/claims.yaml` states each claim of the papers as a measurable effect and
the border it must pass. A page measures the effect, `judge` compares, and
`show` puts the verdicts on the page in a form that the ledger reads back.
No verdict is typed by hand.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from nbformat import NotebookNode

from helpers import published
from helpers.choices import unknown
from helpers.intervals import (
    Estimate,
    bootstrap,
    estimate,
    jackknife,
    mean,
    share,
)
from helpers.minibatch import Similarity
from helpers.paths import DATA, checkout

__all__ = [
    "Claim",
    "Estimate",
    "Verdict",
    "bootstrap",
    "claims",
    "estimate",
    "jackknife",
    "judge",
    "ledger",
    "mean",
    "not_measurable",
    "share",
    "show",
    "table",
    "test",
    "verdicts",
]

KEY = "vitscope_claims"  # in the metadata of a cell's output
HOLDS, FAILS = "holds", "does not hold"
UNDECIDED, NOT_MEASURABLE = "undecided", "not measurable here"
VERDICTS = (HOLDS, FAILS, UNDECIDED, NOT_MEASURABLE)
ROUNDING = 1e-9
"""What rounding may add to an effect of order 1, as those of the claims are:
far above what float64 does to sums, far below what images could tell."""


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


@dataclass(frozen=True)
class Verdict:
    """What a run says about a claim."""

    claim: str
    verdict: str
    effect: float | None
    low: float | None
    high: float | None
    note: str


@cache
def claims() -> dict[str, Claim]:
    """Read all claims, in the order of the book."""
    rows = yaml.safe_load((DATA / "claims.yaml").read_text("utf-8"))
    return {row["id"]: Claim(**row) for row in rows}


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
    stated = _find(claim)
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
    _find(claim)
    return Verdict(claim, NOT_MEASURABLE, None, None, None, why)


def _find(claim: str) -> Claim:
    if claim not in claims():
        raise unknown("claim", claim, claims())
    return claims()[claim]


class Shown:
    """Verdicts as a page shows them: a table, and data for the ledger."""

    def __init__(self, verdicts: Sequence[Verdict]) -> None:
        self.verdicts = list(verdicts)

    def _repr_mimebundle_(
        self, **_: Any
    ) -> tuple[dict[str, str], dict[str, Any]]:
        from helpers import charts

        rows = [asdict(verdict) for verdict in self.verdicts]
        text = [
            f"{claims()[v.claim].statement} {v.verdict}" for v in self.verdicts
        ]
        shown = str(charts.verdicts(table(rows)))
        return (
            {"text/html": shown, "text/plain": "\n".join(text)},
            {KEY: rows},
        )


def show(*verdicts: Verdict) -> Shown:
    """Put verdicts on the page and into the ledger."""
    return Shown(verdicts)


def table(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join verdicts with what is claimed, one dictionary a claim.

    `published` has the verdicts of other editions, by the edition.
    """
    others = published.read(without=ledger()["edition"])
    return [
        {
            **asdict(_find(row["claim"])),
            **row,
            "published": {
                edition: known[row["claim"]]
                for edition, known in others.items()
                if row["claim"] in known
            },
        }
        for row in rows
    ]


def verdicts(notebook: NotebookNode) -> list[dict[str, Any]]:
    """Read the verdicts back from an executed notebook."""
    found: list[dict[str, Any]] = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            found += output.get("metadata", {}).get(KEY, [])
    return found


def ledger() -> dict[str, Any]:
    """Read the ledger of the run that executes this page.

    Outside a run: that of the last run of the lab edition in this checkout.

    Returns:
        The edition, and for each page its seconds, parameters, verdicts and
        environment. No pages when nothing has run yet.
    """
    given = os.environ.get("VITSCOPE_LEDGER")
    try:
        path = (
            Path(given)
            if given
            else checkout() / "_build/editions/lab/ledger.json"
        )
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {"edition": "none", "pages": {}}
    return content
