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
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from helpers.choices import unknown
from helpers.cka import Comparison
from helpers.paths import DATA, checkout

KEY = "vitscope_claims"  # in the metadata of a cell's output
HOLDS, FAILS = "holds", "does not hold"
UNDECIDED, NOT_MEASURABLE = "undecided", "not measurable here"
VERDICTS = (HOLDS, FAILS, UNDECIDED, NOT_MEASURABLE)
CONFIDENCE = 0.95


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
class Estimate:
    """An effect with its confidence interval."""

    value: float
    low: float
    high: float

    def __neg__(self) -> Estimate:
        """Turn the sign of the effect."""
        return Estimate(-self.value, -self.high, -self.low)

    def __format__(self, spec: str) -> str:
        """Format as `value [low, high]`, two decimals unless told."""
        spec = spec or ".2f"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


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


def jackknife(
    effect: Callable[..., float],
    estimates: Sequence[ArrayLike],
    leave_one_out: Sequence[ArrayLike],
) -> Estimate:
    """Estimate a function of minibatch statistics, with its interval.

    Delete-one jackknife over minibatches, jointly for all arguments, with a
    t interval of 95 % (Efron and Stein 1981).

    Args:
        effect: takes one array an argument, returns a number.
        estimates: the arguments measured on all minibatches.
        leave_one_out: for each argument its values with one minibatch left
            out, (batches, ...); the same batches in the same order.

    Raises:
        ValueError: the arguments do not come from the same batches.
    """
    pieces = [np.asarray(values, float) for values in leave_one_out]
    counts = {len(values) for values in pieces}
    if len(counts) != 1 or min(counts) < 2:
        raise ValueError(
            "an interval needs the same two or more minibatches for every "
            f"argument, got {[len(values) for values in pieces]}"
        )
    value = float(effect(*(np.asarray(e, float) for e in estimates)))
    each: NDArray[np.float64] = np.array(
        [effect(*parts) for parts in zip(*pieces, strict=True)]
    )
    count = len(each)
    spread = np.sqrt((count - 1) * np.var(each))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * spread)
    return Estimate(value, value - half, value + half)


def estimate(effect: Callable[..., float], *maps: Comparison) -> Estimate:
    """Estimate a function of CKA maps that share their minibatches.

    Args:
        effect: takes the matrices of the maps, returns a number.
        *maps: what `cka.measure` returned, on the same images.
    """
    return jackknife(
        effect, [m.cka for m in maps], [m.leave_one_out for m in maps]
    )


def mean(values: ArrayLike) -> Estimate:
    """Estimate a mean of independent measurements, with its t interval."""
    each = np.asarray(values, float)
    left_out = (each.sum() - each) / max(len(each) - 1, 1)
    return jackknife(float, [each.mean()], [left_out])


def bootstrap(
    effect: Callable[..., float],
    *per_image: ArrayLike,
    repeats: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Estimate a function of what was measured on each image.

    Percentile bootstrap of 95 % (Efron 1979): images are drawn anew with
    replacement, the same ones for all arguments, so that a difference of two
    models on the same images is a paired one.

    Args:
        effect: takes the arguments, returns a number.
        *per_image: arrays (n, ...), one row an image, the same images in the
            same order (right or wrong in each layer, say).
        repeats: number of draws.
        seed: which draws.

    Raises:
        ValueError: arrays of different images, or fewer than two.
    """
    arrays = [np.asarray(values) for values in per_image]
    counts = {len(values) for values in arrays}
    if len(counts) != 1 or min(counts) < 2:
        raise ValueError(
            "an interval needs the same two or more images for every "
            f"argument, got {[len(values) for values in arrays]}"
        )
    (count,) = counts
    draw = np.random.default_rng(seed)
    each = []
    for _ in range(repeats):
        rows = draw.integers(count, size=count)
        each.append(effect(*(values[rows] for values in arrays)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(each, [tail, 1 - tail])
    return Estimate(float(effect(*arrays)), float(low), float(high))


def judge(claim: str, estimate: Estimate, note: str = "") -> Verdict:
    """Compare a measured effect with the border of its claim.

    Args:
        claim: its id in `data/claims.yaml`.
        estimate: the effect with its interval.
        note: what the reader should know (a proxy model, say).

    Returns:
        `holds` or `does not hold` when the whole interval lies on one side
        of the border, `undecided` when it covers the border, and `not
        measurable here` when the effect is not a number.

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
    word = HOLDS if low > border else FAILS if high < border else UNDECIDED
    return Verdict(
        claim, word, estimate.value, estimate.low, estimate.high, note
    )


def test(
    claim: str, effect: Callable[..., float], *maps: Comparison
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
    """Join verdicts with what is claimed, one dictionary a claim."""
    return [{**asdict(_find(row["claim"])), **row} for row in rows]


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
