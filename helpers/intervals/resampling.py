"""Bootstrap intervals: images or minibatches drawn with replacement.

The one bootstrap of the book. `draws` says which rows enter a draw and
`percentiles` turns the values of the draws into an interval; what stands
between them depends on the data: a function of CKA maps (`estimate`), of
answers to images (`bootstrap`), of accuracies on several image sets
(`across`), or values that were computed on draws already (`interval`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from helpers.intervals.estimates import TAILS, Estimate, common
from helpers.runtime.arrays import Floats, Ints

MOST_UNDEFINED = 0.5


@runtime_checkable
class Map(Protocol):
    """What is asked of a map, such as `cka.measure` makes it."""

    @property
    def cka(self) -> Floats:
        """The map, on all minibatches."""

    @property
    def leave_one_out(self) -> Floats:
        """(batches, ...) the map with one minibatch left out."""


def draws(
    count: int, repeats: int, generator: np.random.Generator
) -> Iterator[Ints]:
    """Draw `count` rows with replacement, again and again: (count,) each."""
    for _ in range(repeats):
        yield generator.integers(count, size=count)


def times_drawn(
    count: int, repeats: int, generator: np.random.Generator
) -> Floats:
    """Count how often each row stands in a draw: (repeats, count)."""
    return np.array(
        [
            np.bincount(rows, minlength=count)
            for rows in draws(count, repeats, generator)
        ],
        np.float64,
    )


def percentiles(value: float, drawn: ArrayLike) -> Estimate:
    """Make an estimate of a value and what it was in draws of the data.

    Draws in which the value is not finite are left out and reported as a
    share. The interval is NaN where that share is above a half.
    """
    each = np.asarray(drawn, np.float64)
    known = each[np.isfinite(each)]
    undefined = 1 - len(known) / len(each)
    if undefined > MOST_UNDEFINED:
        return Estimate(float(value), np.nan, np.nan, undefined)
    low, high = np.quantile(known, TAILS)
    return Estimate(float(value), float(low), float(high), undefined)


def estimate(
    effect: Callable[..., float],
    *maps: Map,
    repeats: int = 400,
    seed: int = 0,
) -> Estimate:
    """Estimate a function of CKA maps that share their minibatches.

    Percentile bootstrap of 95 % over minibatches. A map is a smooth function
    of what each minibatch adds to it, so a draw of it is the map plus a
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
    count = common([m.leave_one_out for m in maps])
    matrices = [np.asarray(m.cka, float) for m in maps]
    # with pseudo-value i less its mean: (count - 1) (mean of all - map i)
    parts = [
        (count - 1) * (m.leave_one_out.mean(0) - m.leave_one_out) for m in maps
    ]
    wider = stats.t.ppf(TAILS[0], count - 1) / stats.norm.ppf(TAILS[0])
    wider *= np.sqrt(count / (count - 1))
    times = times_drawn(count, repeats, np.random.default_rng(seed))
    each = [
        effect(
            *(
                matrix + np.tensordot(weight, part, 1)
                for matrix, part in zip(matrices, parts, strict=True)
            )
        )
        for weight in wider * times / count
    ]
    return percentiles(effect(*matrices), each)


def bootstrap(
    effect: Callable[..., float],
    *per_image: ArrayLike,
    repeats: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Estimate a function of what was measured on each image.

    Percentile bootstrap of 95 % (Efron 1979) over images, the same ones for
    all arguments, so that a difference of two models on the same images is a
    paired one.

    Args:
        effect: takes the arguments, returns a number.
        *per_image: arrays (n, ...), one row per image, the same images in the
            same order (right or wrong in each layer, say).
        repeats: number of draws.
        seed: which draws.

    Raises:
        ValueError: arrays of different images, or fewer than two.
    """
    arrays = [np.asarray(values) for values in per_image]
    chosen = draws(common(arrays), repeats, np.random.default_rng(seed))
    each = [effect(*(values[rows] for values in arrays)) for rows in chosen]
    return percentiles(effect(*arrays), each)


def across(
    effect: Callable[..., float],
    *right: ArrayLike,
    repeats: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Estimate a function of accuracies on several data sets.

    Percentile bootstrap of 95 % over the images within each data set, jointly
    for all that was probed on it.

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
    generator = np.random.default_rng(seed)
    known = [np.asarray(answers, np.float64) for answers in right]
    drawn = [
        np.tensordot(
            times_drawn(len(answers), repeats, generator),
            answers / len(answers),
            1,
        )
        for answers in known
    ]
    each = [effect(*parts) for parts in zip(*drawn, strict=True)]
    return percentiles(effect(*(r.mean(0) for r in known)), each)


def interval(drawn: Floats) -> Estimate:
    """Estimate a function of skills (see `helpers.probes.skill`).

    Args:
        drawn: (1 + repeats,) its value on the test images, then on each draw
            of them.
    """
    return percentiles(drawn[0], drawn[1:])


def curve(drawn: Floats) -> pd.DataFrame:
    """Estimate a function of skills block by block.

    Args:
        drawn: (1 + repeats, blocks), as `interval` takes them.

    Returns:
        One row per block: `block` from 1, `value`, `low`, `high`.
    """
    table = pd.DataFrame([vars(interval(column)) for column in drawn.T])
    table.insert(0, "block", np.arange(1, len(table) + 1))
    return table
