"""Does a CKA map fall into two blocks, or fade with distance?

Two ways to explain the map of one model with itself: a cut somewhere, with
the same similarity within each part and another across, or one that
depends on how far apart two layers lie. Each is judged by the share of the
variance that it explains. Do not compare maps of few layers: every distance
of the second way is an average of its own.

`grid` asks for the fine pattern in such a map instead: whether layers of one
kind resemble each other across blocks.

Source: Raghu et al. 2021, appendix H, which sees two blocks in Mixers
(figure H.1); the numbers are the book's doing.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from helpers.cka.statistics import level
from helpers.runtime.arrays import Floats


def cuts(c: Floats) -> range:
    """Tell where a map may be cut in two: a twelfth on either side, or two.

    Returns:
        Numbers of layers below the cut.
    """
    least = max(2, len(c) // 12)
    return range(least, len(c) - least + 1)


def two_blocks(c: Floats, cut: int) -> float:
    """Tell how much of a map is explained by two blocks of layers.

    Args:
        c: the map of one model with itself.
        cut: the number of layers in the first block.

    Returns:
        Share of the variance of the pairs of different layers that three
        averages explain: within the first block, within the second, across.
    """
    second = np.arange(len(c)) >= cut
    return _explained(c, second[:, None].astype(int) + second)


def gradual(c: Floats) -> float:
    """Tell how much of a map is explained by how far apart two layers lie.

    Returns:
        Share of the variance of the pairs of different layers that their
        averages explain, one for each distance in the list of layers.
    """
    order = np.arange(len(c))
    return _explained(c, np.abs(order[:, None] - order))


def best_cut(c: Floats) -> int:
    """Find the cut for which `two_blocks` is largest."""
    return max(cuts(c), key=lambda cut: two_blocks(c, cut))


def blockiness(c: Floats) -> float:
    """Subtract what distance explains from what the best two blocks do."""
    return two_blocks(c, best_cut(c)) - gradual(c)


def grid(c: Floats, layers: Sequence[str]) -> float:
    """Average CKA of like layers of two blocks minus that of unlike ones.

    Args:
        c: a map of one model.
        layers: its canonical names, `blocks.3.attn` and the like; names
            without a number count to no block.

    Returns:
        The difference, each pair of blocks with the same weight in both
        terms; NaN for a model without two kinds of layers in two blocks.
    """
    words = [re.split(r"\.(\d+)\.", name) for name in layers]
    inner = [i for i, parts in enumerate(words) if len(parts) == 3]
    block = np.array([words[i][1] for i in inner])
    kind = np.array([words[i][2] for i in inner])
    apart = block[:, None] != block
    like = kind[:, None] == kind
    part = c[np.ix_(inner, inner)]
    return level(part[apart & like]) - level(part[apart & ~like])


def _explained(c: Floats, group: NDArray[np.int64]) -> float:
    others = ~np.eye(len(c), dtype=bool)
    values, groups = c[others], group[others]
    sums = np.bincount(groups, values)
    counts = np.bincount(groups)
    means = sums / np.maximum(counts, 1)
    variance = np.var(values)
    if not variance > 0:
        return float("nan")
    return float(1 - np.mean((values - means[groups]) ** 2) / variance)
