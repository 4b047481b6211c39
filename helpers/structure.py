"""What a CKA map says, as numbers: the effects behind the claims.

Each function takes a map, a matrix of CKA with the layers of one model as
rows and those of another (or the same) as columns, from first to last, and
returns one number in units of CKA, a share, or a depth. They are read by
`claims.estimate`, which adds the interval. Do not use them on maps of a few
layers: a third or a quarter must hold at least one.

Sources: Raghu et al. 2021, section 4 (figures 1 and 2); Shekhar et al. 2022,
section 2.1 (figure 1). The papers describe their figures in words; turning
words into these numbers is the book's doing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from helpers.minibatch import Floats


def uniformity(c: Floats) -> float:
    """Average CKA over all pairs of different layers of one model."""
    return float(c[~np.eye(len(c), dtype=bool)].mean())


def ends(c: Floats) -> float:
    """Average CKA of the first third of the layers with the last third."""
    third = len(c) // 3
    return float(c[:third, -third:].mean())


def stages(
    layers: Sequence[str], parts: int | None = None
) -> NDArray[np.int64]:
    """Tell which stage each layer belongs to.

    Args:
        layers: canonical names; the first number in a name is its stage or
            block. Layers before the first numbered one count to the first,
            layers behind the last to the last.
        parts: cut that many blocks into so many parts of equal length; by
            default every number is a part of its own.

    Returns:
        (layers,) numbers from 0.
    """
    words = [name.split(".") for name in layers]
    numbers = [int(w[1]) if len(w) > 1 else None for w in words]
    known = [n for n in numbers if n is not None]
    last = max(known)
    filled, current = [], min(known)
    for number in numbers:
        current = current if number is None else number
        filled.append(current)
    return np.array(filled) * (parts or last + 1) // (last + 1)


def contrast(c: Floats, stage: NDArray[np.int64]) -> float:
    """Average CKA of layers of one stage minus that across stages."""
    same = stage[:, None] == stage[None, :]
    others = ~np.eye(len(c), dtype=bool)
    return float(c[same & others].mean() - c[~same].mean())


def matched_depth(c: Floats, depths: Floats, upper: bool) -> float:
    """Average the depth of the most similar column over half of the rows.

    Args:
        c: the map.
        depths: (columns,) depth of the column layers, in [0, 1].
        upper: the upper half of the rows, not the lower one.
    """
    half = len(c) // 2
    rows = c[half:] if upper else c[:half]
    return float(depths[rows.argmax(1)].mean())


def top_gap(c: Floats) -> float:
    """Compare how well the columns are matched by any row.

    Returns:
        Mean of the best CKA over the first two thirds of the columns, minus
        that over the last third.
    """
    best = c.max(0)
    cut = 2 * len(best) // 3
    return float(best[:cut].mean() - best[cut:].mean())


def early_agreement(c: Floats) -> float:
    """Average CKA of layers of equal number, first three quarters."""
    return float(np.diag(c)[: 3 * len(c) // 4].mean())


def late_drop(c: Floats) -> float:
    """Subtract the last quarter of the diagonal from the rest, in the mean."""
    return early_agreement(c) - float(np.diag(c)[3 * len(c) // 4 :].mean())


def alignment(c: Floats, reach: int = 1) -> float:
    """Count the rows whose most similar column has nearly their number.

    Args:
        c: the map.
        reach: how far the number may be off.

    Returns:
        The share of such rows among the first three quarters.
    """
    best = c[: 3 * len(c) // 4].argmax(1)
    return float(np.mean(np.abs(best - np.arange(len(best))) <= reach))


def twins_found(c: Floats) -> float:
    """Count the rows whose most similar column has exactly their number."""
    return float(np.mean(c.argmax(1) == np.arange(len(c))))


def lean(c: Floats, first_quarter: bool) -> float:
    """Tell to which half of the rows a part of the columns leans.

    Args:
        c: the map.
        first_quarter: take the first quarter of the columns, not the rest.

    Returns:
        Mean CKA with the second half of the rows minus with the first.
    """
    cut, half = c.shape[1] // 4, len(c) // 2
    part = c[:, :cut] if first_quarter else c[:, cut:]
    return float(part[half:].mean() - part[:half].mean())


def across(c: Floats, stage: NDArray[np.int64], cut: int) -> float:
    """Average CKA of the layers before a block with the layers behind it.

    Args:
        c: a map of one model.
        stage: the block of each layer, see `stages`.
        cut: the number of the block; its own layers count to neither side.

    Returns:
        The mean; NaN where one side has no layers.
    """
    part = c[np.ix_(stage < cut, stage > cut)]
    return float(part.mean()) if part.size else float("nan")


def within(c: Floats, stage: NDArray[np.int64], cut: int) -> float:
    """Average CKA of different layers on one side of a block.

    Args:
        c: as in `across`.
        stage: likewise.
        cut: likewise.

    Returns:
        The mean over the pairs of both sides.
    """
    side = np.sign(stage - cut)
    same = np.equal.outer(side, side) & ~np.eye(len(c), dtype=bool)
    return float(c[same & (side != 0)].mean())
