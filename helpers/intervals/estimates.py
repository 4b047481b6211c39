"""An effect with its 95 % interval, and intervals in closed form.

`jackknife` for functions of averages, `mean` for independent values, `share`
for answers that are right or wrong.

Do not use these for data sets or models that were chosen by hand: an interval
speaks of what was drawn at random, here images and minibatches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Estimate:
    """An effect with its confidence interval.

    Attributes:
        value: the effect.
        low: lower end of its 95 % interval.
        high: upper end.
        undefined: share of the bootstrap draws in which the effect is not a
            number; the interval is that of the others.
    """

    value: float
    low: float
    high: float
    undefined: float = 0.0

    @property
    def defined(self) -> bool:
        """Whether effect and interval are numbers."""
        return bool(np.isfinite([self.value, self.low, self.high]).all())

    def __neg__(self) -> Estimate:
        """Turn the sign of the effect."""
        return Estimate(-self.value, -self.high, -self.low, self.undefined)

    def __abs__(self) -> Estimate:
        """Drop the sign: the interval of a size, at least 0."""
        ends = sorted((abs(self.low), abs(self.high)))
        low = 0.0 if self.low < 0 < self.high else ends[0]
        return Estimate(abs(self.value), low, ends[1], self.undefined)

    def __format__(self, spec: str) -> str:
        """Format as `value [low, high]`, two decimals unless told."""
        spec = spec or ".2f"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def common(arguments: Sequence[Sized]) -> int:
    """Count the draws that all arguments share, at least two.

    Raises:
        ValueError: they differ, or there are fewer than two.
    """
    counts = [len(values) for values in arguments]
    if len(set(counts)) != 1 or counts[0] < 2:
        raise ValueError(
            "an interval needs the same two or more minibatches or images "
            f"for every argument, got {counts}"
        )
    return counts[0]


def jackknife(
    effect: Callable[..., float],
    estimates: Sequence[ArrayLike],
    leave_one_out: Sequence[ArrayLike],
) -> Estimate:
    """Estimate a function of minibatch statistics, with its interval.

    Delete-one jackknife over minibatches, jointly for all arguments, with a
    t interval of 95 % (Efron and Stein 1981). For smooth functions only: a
    count may not move when a minibatch is left out (see `estimate`).

    Args:
        effect: takes one array an argument, returns a number.
        estimates: the arguments measured on all minibatches.
        leave_one_out: for each argument its values with one minibatch left
            out, (batches, ...); the same batches in the same order.

    Raises:
        ValueError: the arguments do not come from the same batches.
    """
    pieces = [np.asarray(values, float) for values in leave_one_out]
    count = common(pieces)
    value = float(effect(*(np.asarray(e, float) for e in estimates)))
    each: NDArray[np.float64] = np.array(
        [effect(*parts) for parts in zip(*pieces, strict=True)]
    )
    spread = np.sqrt((count - 1) * np.var(each))
    half = float(stats.t.ppf(TAILS[1], count - 1) * spread)
    return Estimate(value, value - half, value + half)


def mean(values: ArrayLike) -> Estimate:
    """Estimate a mean of independent measurements, with its t interval."""
    each = np.asarray(values, float)
    left_out = (each.sum() - each) / max(len(each) - 1, 1)
    return jackknife(float, [each.mean()], [left_out])


def share(right: ArrayLike) -> Estimate:
    """Estimate an accuracy, with the interval of Wilson 1927.

    It is that of the bootstrap over images, which for a share is a binomial
    distribution, but not of length 0 where all answers are right.

    Args:
        right: (n,) whether each image was answered correctly.

    Returns:
        NaN throughout where an answer is NaN.
    """
    answers = np.asarray(right, np.float64)
    if np.isnan(answers).any():
        return Estimate(np.nan, np.nan, np.nan)
    found = stats.binomtest(int(answers.sum()), len(answers))
    ends = found.proportion_ci(CONFIDENCE, "wilson")
    return Estimate(float(answers.mean()), float(ends.low), float(ends.high))
