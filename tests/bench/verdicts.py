"""Simulate claims whose truth is known, and judge them by the real code.

`make bench` prints how often the 95 % intervals cover the truth, how often a
claim without an effect *holds*, how often a true one *does not hold*, and how
often an effect of the size of the margin is called *no effect*. Each is a
share of simulated runs; claims about every cell have 1, 4 or 12 cells, drawn
independently or with a correlation of 0.8.

A cell is true by half a standard error in the column *does not hold*: small
enough for bias to show. Bootstrapping the smallest of 12 such cells, as the
column *naive* does, refutes nearly all true claims.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from helpers import claims
from helpers.cka.comparison import Comparison
from helpers.claims import statements
from helpers.claims.verdicts import FAILS, HOLDS, NO_EFFECT
from helpers.intervals import between_trainings
from helpers.intervals.estimates import Estimate
from helpers.runtime.arrays import Floats

IMAGES = 192
BATCHES = 16
MARGIN = 0.25
PLAIN = claims.Claim(
    *("plain", "p", "s", "page", "A simulated effect is positive.", "mean"),
    *(0.0, "above", 0.0, "verdicts for and against are counted"),
)
WIDE = replace(PLAIN, id="wide", margin=MARGIN)


@dataclass(frozen=True)
class Rates:
    """What became of the simulated claims, each a share of the runs."""

    what: str
    coverage: float
    false_holds: float
    false_fails: float
    false_none: float
    naive: float = np.nan


def sample(
    draw: np.random.Generator, truth: float, cells: int, correlation: float
) -> Floats:
    """Draw what was measured on images: (IMAGES, cells), of variance 1."""
    common, own = draw.normal(size=(IMAGES, 1)), draw.normal
    noise = np.sqrt(correlation) * common
    noise = noise + np.sqrt(1 - correlation) * own(size=(IMAGES, cells))
    return truth + noise


def by_mean(values: Floats) -> Estimate:
    """Estimate the smallest of some means from the cells' t intervals."""
    return claims.smallest(claims.mean(cell) for cell in values.T)


def by_bootstrap(values: Floats) -> Estimate:
    """Estimate the smallest of some means from the cells' bootstraps."""
    cells = (claims.bootstrap(np.mean, v, repeats=400) for v in values.T)
    return claims.smallest(cells)


def by_maps(values: Floats) -> Estimate:
    """Estimate means of CKA maps that are averages of minibatches."""
    groups = values.reshape(BATCHES, -1, *values.shape[1:]).mean(1)
    cells = []
    for part in groups.T:
        each = part[:, None, None]
        left_out = (each.sum(0) - each) / (BATCHES - 1)
        ends = (range(1), range(1), np.zeros(1), np.zeros(1))
        found = Comparison(each.mean(0), left_out, 1, *ends, settings={})
        cells.append(claims.estimate(lambda c: float(c.mean()), found))
    return claims.smallest(cells)


def naive(values: Floats) -> Estimate:
    """Bootstrap the smallest of some means, as the book once did."""
    return claims.bootstrap(lambda v: v.mean(0).min(), values, repeats=200)


def rates(
    way: Callable[[Floats], Estimate],
    runs: int,
    cells: int = 1,
    correlation: float = 0.0,
    compare: bool = False,
    seed: int = 0,
) -> Rates:
    """Simulate claims and judge them.

    Args:
        way: from values (IMAGES, cells) to the estimate of the smallest mean.
        runs: simulated claims of each truth.
        cells: how many cells the claim is about.
        correlation: of the cells.
        compare: whether to run `naive` as well.
        seed: which simulations.
    """
    draw = np.random.default_rng(seed)
    known, error = statements.claims, 1 / np.sqrt(IMAGES)
    stated = {"plain": PLAIN, "wide": WIDE}
    statements.claims = lambda: stated  # type: ignore[assignment]
    covered: list[bool] = []

    def judged(
        truth: float, by: Callable[[Floats], Estimate], claim: str = "plain"
    ) -> list[str]:
        estimates = [
            by(sample(draw, truth, cells, correlation)) for _ in range(runs)
        ]
        covered.extend(e.low <= truth <= e.high for e in estimates)
        return [claims.judge(claim, e).verdict for e in estimates]

    try:
        null, true = judged(0.0, way), judged(error / 2, way)
        edge = judged(MARGIN, way, "wide")
        coverage = float(np.mean(covered))
        old = judged(error / 2, naive) if compare else []
    finally:
        statements.claims = known

    def share(found: list[str], word: str) -> float:
        return float(np.mean([w == word for w in found])) if found else np.nan

    return Rates(
        f"{way.__name__[3:]}, {cells} cells, correlation {correlation:g}",
        coverage,
        share(null, HOLDS),
        share(true, FAILS),
        share(edge, NO_EFFECT),
        share(old, FAILS),
    )


def covered_trainings(
    ratio: float, runs: int, trainings: int = 2, claims_each: int = 8
) -> tuple[float, float]:
    """Judge pages of claims whose effect is 0, from several trainings.

    All trainings are measured on the same images.

    Args:
        ratio: standard deviation between trainings, in standard errors.
        runs: simulated pages.
        trainings: of the models of a page.
        claims_each: claims of a page, of different standard errors.

    Returns:
        How often the interval over images covers the mean of all trainings,
        and how often the wider one does.
    """
    draw = np.random.default_rng(0)
    plain, wide = [], []
    for _ in range(runs):
        errors = draw.uniform(0.5, 2, claims_each)
        means = draw.normal(size=(trainings, claims_each)) * ratio * errors
        seen = means + draw.normal(size=claims_each) * errors
        half = stats.norm.ppf(0.975) * errors
        pages = [
            [Estimate(v, v - h, v + h) for v in values]
            for values, h in zip(seen.T, half, strict=True)
        ]
        pooled = between_trainings.spread(pages)
        for each in pages:
            ends = between_trainings.widen(each[0], each, pooled)
            plain.append(each[0].low <= 0 <= each[0].high)
            wide.append(ends.low <= 0 <= ends.high)
    return float(np.mean(plain)), float(np.mean(wide))


def main(runs: int = 1000) -> None:
    """Print the table."""
    head = ("coverage", "holds", "fails", "no effect", "naive")
    print(f"\nVerdicts on {runs} simulated claims of each truth, in %")
    print(f"{'interval and cells':36}" + "".join(f"{h:>11}" for h in head))
    began = time.perf_counter()
    plans = [(by_mean, 1, 0.0), (by_bootstrap, 1, 0.0), (by_maps, 1, 0.0)]
    plans += [(by_mean, c, r) for c in (4, 12) for r in (0.0, 0.8)]
    for way, cells, correlation in plans:
        got = rates(way, runs, cells, correlation, compare=way is by_mean)
        shares = list(vars(got).values())[1:]
        print(f"{got.what:36}" + "".join(f"{100 * s:11.1f}" for s in shares))
    print("\nCoverage with the chance of two trainings, in %")
    print(f"{'spread between trainings':36}{'images':>11}{'both':>11}")
    for ratio in (0, 0.5, 1, 2, 5):
        found = covered_trainings(ratio, runs)
        shares = "".join(f"{100 * s:11.1f}" for s in found)
        print(f"{f'{ratio:g} standard errors':36}{shares}")
    print(f"{time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
