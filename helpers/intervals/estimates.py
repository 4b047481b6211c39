"""How sure a measured number is: an interval for each kind of data.

One function for each kind of data: `estimate` for functions of CKA maps,
`mean` and `bootstrap` for independent values and images, `share` for answers
that are right or wrong. Pages reach them through `helpers.claims`.

Do not use these for data sets or models that were chosen by hand: an interval
speaks of what was drawn at random, here images and minibatches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from helpers.runtime.arrays import Floats

CONFIDENCE = 0.95
TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


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


class Map(Protocol):
    """What is asked of a map, such as `cka.measure` makes it."""

    @property
    def cka(self) -> Floats:
        """The map, on all minibatches."""

    @property
    def leave_one_out(self) -> Floats:
        """(batches, ...) the map with one minibatch left out."""


def _common(arguments: Sequence[Sized]) -> int:
    """Count the draws that all arguments share, at least two."""
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
    count = _common(pieces)
    value = float(effect(*(np.asarray(e, float) for e in estimates)))
    each: NDArray[np.float64] = np.array(
        [effect(*parts) for parts in zip(*pieces, strict=True)]
    )
    spread = np.sqrt((count - 1) * np.var(each))
    half = float(stats.t.ppf(TAILS[1], count - 1) * spread)
    return Estimate(value, value - half, value + half)


def estimate(
    effect: Callable[..., float],
    *maps: Map,
    repeats: int = 400,
    seed: int = 0,
) -> Estimate:
    """Estimate a function of CKA maps that share their minibatches.

    Percentile bootstrap of 95 % over minibatches. A map is a smooth function
    of what each minibatch adds to it, so it is drawn anew as the map plus a
    resampled mean of its jackknife pseudo-values (Efron 1982, chapter 6).
    Unlike the jackknife of the effect itself this holds for effects that move
    in steps, such as counts and places of a maximum: one minibatch less may
    move none of them, although other images would. For an effect linear in
    the maps it is the t interval, for which deviations are widened.

    Args:
        effect: takes the matrices of the maps, returns a number.
        *maps: what `cka.measure` returned, on the same images.
        repeats: number of draws.
        seed: which draws.

    Raises:
        ValueError: the maps do not come from the same batches.
    """
    count = _common([m.leave_one_out for m in maps])
    matrices = [np.asarray(m.cka, float) for m in maps]
    # with pseudo-value i less its mean: (count - 1) (mean of all - map i)
    parts = [
        (count - 1) * (m.leave_one_out.mean(0) - m.leave_one_out) for m in maps
    ]
    wider = stats.t.ppf(TAILS[0], count - 1) / stats.norm.ppf(TAILS[0])
    wider *= np.sqrt(count / (count - 1))
    draw = np.random.default_rng(seed)
    each = []
    for _ in range(repeats):
        weight = wider * np.bincount(
            draw.integers(count, size=count), minlength=count
        )
        drawn = [
            matrix + np.tensordot(weight / count, part, 1)
            for matrix, part in zip(matrices, parts, strict=True)
        ]
        each.append(effect(*drawn))
    return percentiles(effect(*matrices), each)


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
    count = _common(arrays)
    draw = np.random.default_rng(seed)
    each = []
    for _ in range(repeats):
        rows = draw.integers(count, size=count)
        each.append(effect(*(values[rows] for values in arrays)))
    return percentiles(effect(*arrays), each)


def percentiles(value: float, draws: ArrayLike) -> Estimate:
    """Make an estimate of a value and what it was in draws of the data."""
    low, high = np.quantile(np.asarray(draws, np.float64), TAILS)
    return Estimate(float(value), float(low), float(high))
