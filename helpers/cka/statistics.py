"""What a CKA map says, as numbers: the effects behind the claims.

Each function takes a map, a matrix of CKA with the layers of one model as
rows and those of another (or the same) as columns, from first to last, and
returns one number in units of CKA, a share, or a depth. They are read by
`claims.estimate`, which adds the interval. Do not use them on maps of a few
layers: a third or a quarter must hold at least one.

A layer that does not vary over the images has no CKA (NaN). `level` and all
that ask for the most similar layer leave such pairs out; the others pass the
NaN on.

Sources: Raghu et al. 2021, sections 4 and 8 (figures 1, 2 and 12) and
appendix G; Shekhar et al. 2022, sections 2.1, 2.2 and 2.5 (figures 1, 2, 5 and
6). The papers describe their figures in words; turning words into these
numbers is the book's doing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from helpers.runtime.arrays import Floats


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
    _, best, _ = _matches(c[half:] if upper else c[:half])
    return level(depths[best])


def top_gap(c: Floats) -> float:
    """Compare how well the columns are matched by any row.

    Returns:
        Mean of the best CKA over the first two thirds of the columns, minus
        that over the last third.
    """
    cut = 2 * c.shape[1] // 3
    low, high = (_matches(part.T)[2] for part in (c[:, :cut], c[:, cut:]))
    return level(low) - level(high)


def diagonal(c: Floats) -> Floats:
    """Return the CKA of layers of equal number, as a map of one row.

    Raises:
        ValueError: the models have different numbers of layers.
    """
    if c.shape[0] != c.shape[1]:
        raise ValueError(
            "layers of equal number correspond only in models with as many "
            f"layers; the map has {c.shape[0]} rows and {c.shape[1]} columns"
        )
    return np.diag(c)[None]


def level(c: Floats) -> float:
    """Average CKA over all pairs that have one; NaN where none has."""
    known = c[~np.isnan(c)]
    return float(known.mean()) if known.size else float("nan")


def best_match(c: Floats) -> float:
    """Average the CKA of each early row with its most similar column.

    Over the first two thirds of the rows. The best of many noisy values
    lies above zero even where nothing is alike.
    """
    return level(_matches(c[: 2 * len(c) // 3])[2])


def early_agreement(c: Floats) -> float:
    """Average CKA of layers of equal number, first three quarters."""
    return float(diagonal(c)[0, : 3 * len(c) // 4].mean())


def late_agreement(c: Floats) -> float:
    """Average CKA of layers of equal number, last quarter."""
    return float(diagonal(c)[0, 3 * len(c) // 4 :].mean())


def late_drop(c: Floats) -> float:
    """Subtract the last quarter of the diagonal from the rest, in the mean."""
    return early_agreement(c) - late_agreement(c)


def apart(c: Floats) -> float:
    """Compare pairs of blocks among the early ones with pairs that cross over.

    Returns:
        Mean CKA of the first three quarters of the rows with as many of the
        columns, minus that of the first three quarters of either side with
        the last quarter of the other. Blocks of equal number are left out.
    """
    cut = 3 * len(c) // 4
    early = c[:cut, :cut][~np.eye(cut, dtype=bool)]
    crossing = np.concatenate([c[:cut, cut:].ravel(), c[cut:, :cut].ravel()])
    return level(early) - level(crossing)


def counterparts(c: Floats, third: int | None = None) -> float:
    """Average CKA of layers of equal number in two models.

    Args:
        c: the map of two models with the same layers.
        third: 0 for the first third of the layers, 1 for the middle one, 2
            for the last; all layers by default.
    """
    (pairs,) = diagonal(c)
    return level(pairs if third is None else np.array_split(pairs, 3)[third])


def fading(c: Floats) -> float:
    """Subtract the last third of the diagonal from the first, in the mean."""
    return counterparts(c, 0) - counterparts(c, 2)


def alignment(c: Floats, reach: int = 1) -> float:
    """Count the rows whose most similar column has nearly their number.

    Args:
        c: the map.
        reach: how far the number may be off.

    Returns:
        The share of such rows among the first three quarters.
    """
    row, best, _ = _matches(c[: 3 * len(c) // 4])
    return level((np.abs(best - row) <= reach).astype(float))


def twins_found(c: Floats) -> float:
    """Count the rows whose most similar column has exactly their number."""
    row, best, _ = _matches(c)
    return level((best == row).astype(float))


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


def _matches(
    c: Floats,
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Find the most similar column of each row that has one.

    Returns:
        Numbers of the rows, of their best columns, and the CKA of the two.
    """
    rows = np.flatnonzero(~np.isnan(c).all(1))
    best = np.where(np.isnan(c), -np.inf, c)[rows].argmax(1)
    return rows, best, c[rows, best]
