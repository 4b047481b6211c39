"""Claims about every cell: minima and maxima with honest intervals.

"The gap persists at all depths" is a claim about the smallest of many gaps.
The smallest of noisy estimates lies below the smallest truth, so bootstrapping
it refutes true claims. These intervals come from the cells' own instead, by
the intersection-union test (Berger 1982): the claim holds where each cell
holds at the usual level, whatever their number and however they depend on
each other, and fails where one cell fails at a level that is divided by their
number (Bonferroni).

Do not use them for averages over cells, which an effect can compute itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import stats

from helpers.intervals.estimates import TAILS, Estimate


def smallest(cells: Iterable[Estimate], spare: int = 0) -> Estimate:
    """Estimate the smallest of several effects.

    Args:
        cells: the effects, each with its 95 % interval.
        spare: how many of the smallest do not count: with 1 the estimate is
            of the second smallest, and a claim holds where all cells but one
            hold (a partial conjunction, Benjamini and Heller 2008).

    Returns:
        The effect and an interval that covers the true one in at least 95 %
        of all samples. One undefined cell makes it NaN.

    Raises:
        ValueError: no more cells than are spared.
    """
    each = list(cells)
    if not 0 <= spare < len(each):
        raise ValueError(
            f"expected more cells than the {spare} that are spared, got "
            f"{len(each)}"
        )
    undefined = max(cell.undefined for cell in each)
    if not all(cell.defined for cell in each):
        return Estimate(np.nan, np.nan, np.nan, undefined)
    down, up = _wider(spare + 1), _wider(len(each) - spare)
    lows = [c.value - down * (c.value - c.low) for c in each]
    highs = [c.value + up * (c.high - c.value) for c in each]
    value, low, high = (
        sorted(ends)[spare] for ends in ([c.value for c in each], lows, highs)
    )
    return Estimate(value, low, high, undefined)


def largest(cells: Iterable[Estimate], spare: int = 0) -> Estimate:
    """Estimate the largest of several effects; see `smallest`."""
    return -smallest((-cell for cell in cells), spare)


def _wider(tests: int) -> float:
    """Return by how much an interval widens when its level is shared."""
    normal = stats.norm.ppf([TAILS[0] / tests, TAILS[0]])
    return float(normal[0] / normal[1])
