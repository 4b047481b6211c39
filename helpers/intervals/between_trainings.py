"""Intervals that also cover the chance of training.

An interval over images says what other images would give with the same
weights. Another training of the same recipe gives other weights, and with
them another effect. With two or three trainings the spread of one claim's
effect is hardly known (its t interval has one or two degrees of freedom), so
the claims of a page are pooled: the spread between trainings is taken to be
the same multiple of the standard error over images for all of them.

The multiple is the mean square of differences between trainings that were
measured on the same images. These differences hold some of the chance of
images as well, which makes the intervals rather too long than too short.

Do not use it for models that differ in anything but chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers.intervals.estimates import TAILS, Estimate


@dataclass(frozen=True)
class Spread:
    """How far trainings lie apart.

    Attributes:
        ratio: standard deviation between trainings, as a multiple of the
            standard error over images.
        freedom: degrees of freedom that it was estimated with; those of
            claims about the same models are not independent.
    """

    ratio: float
    freedom: int


def spread(claims: Iterable[Sequence[Estimate]]) -> Spread:
    """Pool the spread between trainings over claims.

    Args:
        claims: for each claim its effect in each training. Claims with one
            training, or with an interval of no length, do not count.

    Returns:
        A ratio of 0 with no degree of freedom where none counts.
    """
    squares, freedom = 0.0, 0
    for trainings in claims:
        error = np.mean([_error(found) for found in trainings])
        if len(trainings) > 1 and error > 0:
            each = np.array([found.value for found in trainings]) / error
            squares += float(((each - each.mean()) ** 2).sum())
            freedom += len(trainings) - 1
    return Spread(float(np.sqrt(squares / max(freedom, 1))), freedom)


def widen(
    estimate: Estimate, trainings: Sequence[Estimate], pooled: Spread
) -> Estimate:
    """Add the variance between trainings to an interval over images.

    Args:
        estimate: the effect of one training.
        trainings: its effect in each training, that one included.
        pooled: from the claims that it shares its models with.

    Returns:
        The same effect; each half of its interval is the root of the sum of
        two squares. Where the interval over images has no length, the spread
        is that of the claim's own trainings.
    """
    error, freedom = _error(estimate), pooled.freedom
    between = pooled.ratio * error
    if error == 0 or not freedom:
        between = float(np.std([t.value for t in trainings], ddof=1))
        freedom = len(trainings) - 1
    reach = float(stats.t.ppf(TAILS[1], freedom)) * between
    value = estimate.value
    down = float(np.hypot(value - estimate.low, reach))
    up = float(np.hypot(estimate.high - value, reach))
    return Estimate(value, value - down, value + up, estimate.undefined)


def _error(estimate: Estimate) -> float:
    """Read the standard error off a 95 % interval."""
    normal = 2 * stats.norm.ppf(TAILS[1])
    return float((estimate.high - estimate.low) / normal)
