"""When layers move: effects of a course of maps, one map for each step.

The maps compare a network at several steps of a training with one and the
same network, its own start or another. `halfway` puts a time to each layer,
on the scale of doublings, since a training does most of its work early.

Do not read a time where nothing moves: a layer that ends where it began has
none (NaN), and one that hardly moves has a time that is mostly noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.cka.statistics import diagonal, level
from helpers.runtime.arrays import Floats

LEAST = 1e-6
"""Change of CKA below which a layer has not moved."""


def halfway(steps: Sequence[int], maps: Sequence[Floats]) -> Floats:
    """Find when each layer has made half of its whole change.

    Args:
        steps: increasing, the first 0.
        maps: for each step the CKA of all layers with those of the other
            network; layers of equal number correspond.

    Returns:
        (layers,) log2(1 + step), interpolated between the steps on that
        scale, at which the CKA of a layer first has half of the difference
        between its last and its first value; NaN where both are equal.

    Raises:
        ValueError: another number of maps than steps, fewer than two, or
            steps that do not increase.
    """
    if len(steps) != len(maps) or len(steps) < 2:
        raise ValueError(
            f"a course has a map for each of two or more steps, got "
            f"{len(maps)} maps for {len(steps)} steps"
        )
    times = np.log2(1 + np.asarray(steps, float))
    if (np.diff(times) <= 0).any():
        raise ValueError(f"the steps must increase, got {list(steps)}")
    course = np.concatenate([diagonal(c) for c in maps])
    whole = course[-1] - course[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        done = (course - course[0]) / whole
    found = np.full(course.shape[1], np.nan)
    for layer in np.flatnonzero(np.abs(whole) > LEAST):
        share = done[:, layer]
        after = int(np.argmax(share >= 0.5))
        low, high = share[after - 1], share[after]
        part = (0.5 - low) / (high - low)
        found[layer] = times[after - 1] + part * (
            times[after] - times[after - 1]
        )
    return found


def rise(first: Floats, last: Floats) -> float:
    """Return the change of the mean CKA from one map to a later one."""
    return level(last) - level(first)


def rise_over(
    first: Floats, last: Floats, other_first: Floats, other_last: Floats
) -> float:
    """Subtract the `rise` of another course, or of another part of one."""
    return rise(first, last) - rise(other_first, other_last)


def head_start(steps: Sequence[int], maps: Sequence[Floats]) -> float:
    """Tell by how many doublings the last third of the layers is earlier.

    Args:
        steps: as in `halfway`.
        maps: likewise.

    Returns:
        Mean of `halfway` over the first third of the layers minus over the
        last third.
    """
    first, _, last = np.array_split(halfway(steps, maps), 3)
    return level(first) - level(last)
