"""How far an image set is from another, as the features of a model see it.

Two distances that need no label: the Frechet distance between the Gaussians
fitted to two sets of features, and the squared maximum mean discrepancy (MMD)
of a linear kernel, which is the squared distance of their means. Odonnat et
al. 2026 order data sets by shift without measuring it; these are this book's
measures. Where a model was fine-tuned on the data set, the accuracy that this
gains (`gap`) is a third; it says what the shift costs, not how far it is.
`trend` tells whether something goes along with shift, `across` how sure a
number is that several data sets enter.

Do not compare distances across models or layers: they have the units of the
features, squared.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from helpers.choices import unknown
from helpers.intervals import (
    CONFIDENCE,
    Estimate,
    bootstrap,
    jackknife,
    percentiles,
)
from helpers.minibatch import Floats


def frechet(x: ArrayLike, y: ArrayLike) -> float:
    """Compare the means and covariances of two sets of features.

    Args:
        x: (n, d) features.
        y: (m, d) features of the same layer.

    Returns:
        |mean_x - mean_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2)), in squared
        units of the features (Heusel et al. 2017, equation 6).

    Raises:
        ValueError: different widths, fewer than 2 rows, or not finite.
    """
    pair = _checked(x, y)
    gap = pair[0].mean(0) - pair[1].mean(0)
    # tr((C_x C_y)^(1/2)) is the sum of the singular values of R_x R_y', for
    # any roots R'R = C.
    r, s = (
        np.linalg.qr((a - a.mean(0)) / np.sqrt(len(a) - 1)).R for a in pair
    )
    common = np.linalg.svd(r @ s.T, compute_uv=False).sum()
    return float(gap @ gap + (r**2).sum() + (s**2).sum() - 2 * common)


def linear_mmd(x: ArrayLike, y: ArrayLike) -> float:
    """Estimate the squared distance of two means without bias.

    Args:
        x: (n, d) features.
        y: (m, d) features of the same layer.

    Returns:
        MMD^2_u of the linear kernel (Gretton et al. 2012, equation 3), in
        squared units of the features; 0 on average for equal means.

    Raises:
        ValueError: as `frechet`.
    """
    pair = _checked(x, y)
    within = 0.0
    for a in pair:
        total = a.sum(0)
        within += (total @ total - (a**2).sum()) / (len(a) * (len(a) - 1))
    return float(within - 2 * pair[0].mean(0) @ pair[1].mean(0))


DISTANCES = {"frechet": frechet, "mmd": linear_mmd}


def distance(
    x: ArrayLike, y: ArrayLike, measure: str = "frechet", groups: int = 20
) -> Estimate:
    """Measure a distance with its interval.

    Jackknife over groups of images. It also takes away what a finite sample
    adds to the Frechet distance, to first order in 1 / n, so that two samples
    of one distribution are about 0 apart; a value may be negative.

    Args:
        x: (n, d) features, in random order.
        y: (m, d) features of the same layer, in random order.
        measure: one of DISTANCES.
        groups: into how many each set is cut; one at a time is left out.

    Raises:
        ValueError: no such measure, fewer images than twice the groups, or
            as `frechet`.
    """
    if measure not in DISTANCES:
        raise unknown("distance", measure, DISTANCES)
    of, pair = DISTANCES[measure], _checked(x, y)
    fewest = min(map(len, pair))
    if fewest < 2 * groups or groups < 2:
        raise ValueError(
            f"{groups} groups need at least {2 * groups} images on either "
            f"side, got {fewest}"
        )
    whole = of(*pair)
    left_out = np.array(
        [of(*(_without(a, g, groups) for a in pair)) for g in range(groups)]
    )
    raw = jackknife(float, [whole], [left_out])
    bias = (groups - 1) * (left_out.mean() - whole)
    return Estimate(raw.value - bias, raw.low - bias, raw.high - bias)


def gap(adapted: ArrayLike, frozen: ArrayLike) -> Estimate:
    """Measure what fine-tuning on a data set gains there, in accuracy.

    Bootstrap over images, the same ones for both models.

    Args:
        adapted: (n,) whether the fine-tuned model was right, an image each.
        frozen: (n,) likewise for the model it started from.

    Raises:
        ValueError: not the same two or more images.
    """
    right = (np.asarray(answers, np.float64) for answers in (adapted, frozen))
    return bootstrap(lambda a, b: float(np.mean(a - b)), *right)


FEWEST = 4  # pairs that a rank correlation needs for an interval


def trend(shifts: ArrayLike, values: ArrayLike) -> Estimate:
    """Correlate the ranks of a quantity with those of the shift.

    Spearman's correlation over data sets, ties at their mean rank. The
    interval is that of Fisher's transformation with the variance of Bonett
    and Wright 2000, (1 + r^2 / 2) / (n - 3): it takes the data sets for a
    sample of all that could have been chosen. A perfect order of n data sets
    gets the interval of one in which two neighbours are exchanged.

    Args:
        shifts: (n,) shift of each data set.
        values: (n,) what may go along with it.

    Returns:
        The correlation; NaN where all shifts or all values are equal.

    Raises:
        ValueError: fewer than 4 data sets, or not the same ones.
    """
    x, y = np.asarray(shifts, float), np.asarray(values, float)
    if x.ndim != 1 or x.shape != y.shape or len(x) < FEWEST:
        raise ValueError(
            f"a trend needs {FEWEST} data sets or more and a value for each, "
            f"got {x.shape} shifts and {y.shape} values"
        )
    if min(np.ptp(x), np.ptp(y)) == 0:
        return Estimate(np.nan, np.nan, np.nan)
    n, r = len(x), float(stats.spearmanr(x, y).statistic)
    most = 1 - 12 / (n * (n**2 - 1))
    kept = np.clip(r, -most, most)
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(
        (1 + kept**2 / 2) / (n - 3)
    )
    low, high = np.tanh(np.arctanh(kept) + np.array([-half, half]))
    return Estimate(r, float(min(low, r)), float(max(high, r)))


def across(
    effect: Callable[..., float],
    *right: ArrayLike,
    repeats: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Estimate a function of accuracies on several data sets.

    Percentile bootstrap of 95 %: images are drawn anew within each data set,
    jointly for all that was probed on it.

    Args:
        effect: takes one array of accuracies a data set, returns a number.
        *right: for each data set (n, ...), whether each image was right.
        repeats: number of draws.
        seed: which draws.

    Raises:
        ValueError: no data set.
    """
    if not right:
        raise ValueError("expected the answers on one data set or more")
    draw = np.random.default_rng(seed)
    known = [np.asarray(answers, np.float64) for answers in right]
    drawn = []
    for answers in known:
        n = len(answers)
        rows = n * np.arange(repeats)[:, None]
        rows = rows + draw.integers(n, size=(repeats, n))
        times = np.bincount(rows.ravel(), minlength=n * repeats)
        drawn.append(np.tensordot(times.reshape(repeats, n), answers / n, 1))
    each = [effect(*parts) for parts in zip(*drawn, strict=True)]
    return percentiles(effect(*(r.mean(0) for r in known)), each)


def _without(x: Floats, group: int, groups: int) -> Floats:
    kept: Floats = x[np.arange(len(x)) % groups != group]
    return kept


def _checked(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    shapes = f"{a.shape} and {b.shape}"
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"expected (n, d) and (m, d) features, got {shapes}")
    if min(len(a), len(b)) < 2:
        raise ValueError(f"a distance needs 2 images a side, got {shapes}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("the features hold NaN or infinite values")
    return a, b
