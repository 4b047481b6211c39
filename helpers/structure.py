"""What a CKA map says, as numbers: the effects behind the claims.

Each function takes a map, a matrix of CKA with the layers of one model as
rows and those of another (or the same) as columns, from first to last, and
returns one number in units of CKA, a share, or a depth. They are read by
`claims.estimate`, which adds the interval. Do not use them on maps of a few
layers: a third or a quarter must hold at least one.

Sources: Raghu et al. 2021, section 4 (figures 1 and 2), section 8 (figure
12), appendices G and H; Shekhar et al. 2022, section 2.1 (figure 1). The
papers describe their figures in words; turning words into these numbers is
the book's doing.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
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


def thinned(table: pd.DataFrame, by: str, most: int = 100) -> pd.DataFrame:
    """Keep so few layers of each map that it can be drawn.

    Args:
        table: rows of several maps, as `Comparison.table` writes them.
        by: the column that tells the maps apart.
        most: the number of layers a side that are kept at most.

    Returns:
        The rows of every k-th layer of a side, the first among them.
    """
    kept = []
    for _, part in table.groupby(by, sort=False):
        for side in ("layer_x", "layer_y"):
            layers = part[side].unique()
            chosen = layers[:: -(-len(layers) // most)]
            part = part[part[side].isin(chosen)]
        kept.append(part)
    return pd.concat(kept)


def matched_depth(c: Floats, depths: Floats, upper: bool) -> float:
    """Average the depth of the most similar column over half of the rows.

    Args:
        c: the map.
        depths: (columns,) depth of the column layers, in [0, 1].
        upper: the upper half of the rows, not the lower one.

    Returns:
        The average; NaN where a row has no defined value.
    """
    half = len(c) // 2
    rows = c[half:] if upper else c[:half]
    if np.isnan(rows).all(1).any():
        return float("nan")
    return float(depths[np.nanargmax(rows, axis=1)].mean())


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


def counterparts(c: Floats, third: int | None = None) -> float:
    """Average CKA of layers of equal number in two models.

    Args:
        c: the map of two models with the same layers.
        third: 0 for the first third of the layers, 1 for the middle one, 2
            for the last; all layers by default.

    Raises:
        ValueError: the models do not have the same number of layers.
    """
    if c.shape[0] != c.shape[1]:
        raise ValueError(
            f"the models have {c.shape[0]} and {c.shape[1]} layers; layers "
            "of equal number correspond only in models of one architecture"
        )
    parts = np.array_split(np.diag(c), 3)
    return float((np.diag(c) if third is None else parts[third]).mean())


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
