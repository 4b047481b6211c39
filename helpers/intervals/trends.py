"""Intervals of what goes along with shift, or what fine-tuning gains.

Do not use `trend` for data sets that follow from each other, such as the
severities of one corruption: it takes them for independent draws.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from helpers.intervals.estimates import CONFIDENCE, Estimate
from helpers.intervals.resampling import bootstrap


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
