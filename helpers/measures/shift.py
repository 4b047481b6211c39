"""How far an image set is from another, as the features of a model see it.

Two distances that need no label: the Frechet distance between the Gaussians
fitted to two sets of features, and the squared maximum mean discrepancy (MMD)
of a linear kernel, which is the squared distance of their means. Odonnat et
al. 2026 order data sets by shift without measuring it; these are this book's
measures. Where a model was fine-tuned on the data set, the accuracy that this
gains (`helpers.intervals.trends.gap`) is a third; it says what the shift
costs, not how far it is.

Do not compare distances across models or layers: they have the units of the
features, squared.
"""

import numpy as np
from numpy.typing import ArrayLike

from helpers.intervals.estimates import Estimate, jackknife
from helpers.runtime.arrays import Floats
from helpers.runtime.errors import unknown


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
