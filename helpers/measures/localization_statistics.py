"""What a map of tokens and patches says, as numbers: effects behind claims.

Each function takes the (tokens, patches) matrix of one layer as
`helpers.measures.localization` measures it and returns one number;
`claims.estimate` adds the interval. The tokens that stand at a patch are the
last rows, in the order of the patches. Undefined values are left out, and so
are tokens whose own patch has none. Do not use them on a single patch:
nothing is left to compare with.

Source: Raghu et al. 2021, section 7 (figures 9, 10 and D.1 to D.3). The paper
describes its figures in words; turning words into these numbers is the book's
doing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from helpers.cka.statistics import level
from helpers.intervals.resampling import estimate
from helpers.measures.localization import TokenMaps
from helpers.runtime.arrays import Bools, Floats


def own(c: Floats) -> Floats:
    """Return the CKA of each token with its own patch, (patches,)."""
    values: Floats = np.diag(_spatial(c))
    return values


def own_mean(c: Floats, among: Bools | None = None) -> float:
    """Average the CKA of tokens with their own patch; see `contrast`."""
    return level(own(c)[_chosen(c, among)])


def contrast(c: Floats, among: Bools | None = None) -> float:
    """Divide the CKA of tokens with their own patch by that with any patch.

    Args:
        c: (tokens, patches) a map.
        among: (patches,) the tokens to average; by default all that stand at
            a patch.

    Returns:
        The ratio of two means over tokens: 1 where all patches are alike to
        them, the number of patches where each resembles its own alone; NaN
        where the mean over all patches is not positive.
    """
    mean = level(_spatial(c)[_chosen(c, among)])
    return own_mean(c, among) / mean if mean > 0 else math.nan


def locality(c: Floats, pixels: Floats, among: Bools | None = None) -> float:
    """Compare the contrast of tokens with that of the pixels themselves.

    Contrast grows with the number of patches and falls the more neighbouring
    patches look alike; this puts layers of different grids on one scale.

    Args:
        c: (tokens, patches) a map.
        pixels: (patches, patches) the map of the pixels.
        among: see `contrast`.

    Returns:
        (contrast - 1) / (contrast of the pixels - 1): 0 for tokens to which
        all patches are alike, 1 for tokens as local as their own pixels; NaN
        where either is undefined or the pixels have no contrast.
    """
    reference = contrast(pixels, among) - 1
    return (contrast(c, among) - 1) / reference if reference > 0 else math.nan


def found(c: Floats, among: Bools | None = None) -> float:
    """Return the share of tokens that resemble their own patch most.

    Args:
        c: (tokens, patches) a map.
        among: see `contrast`.
    """
    maps = _spatial(c)
    best = np.where(np.isnan(maps), -np.inf, maps).argmax(1)
    return level(
        (best == np.arange(len(best)))[_chosen(c, among)].astype(float)
    )


def edge_pull(c: Floats, grid: tuple[int, int]) -> float:
    """Tell how much tokens at the edge prefer distant patches at the edge.

    Args:
        c: (tokens, patches) a map.
        grid: its rows and columns.

    Returns:
        Mean CKA of the tokens at the edge with the other patches at the edge
        minus with those inside, the token's neighbours left out of both; NaN
        on a grid too small for that.
    """
    at = np.indices(grid).reshape(2, -1)
    apart = np.abs(at[:, :, None] - at[:, None, :]).max(0) > 1
    edge, maps = edges(grid), _spatial(c)
    outer, inner = (
        level(maps[apart & np.outer(edge, side)]) for side in (edge, ~edge)
    )
    return outer - inner


def edges(grid: tuple[int, int]) -> Bools:
    """Mark the patches at the border of a grid, (patches,)."""
    inside = np.zeros(grid, bool)
    inside[1:-1, 1:-1] = True
    return ~inside.ravel()


MEASURES: dict[str, Callable[[Floats, Floats], float]] = {
    "locality": locality,
    "contrast": lambda c, _: contrast(c),
    "own patch": lambda c, _: own_mean(c),
    "found": lambda c, _: found(c),
}
"""What `summary` lists, of a layer's map and that of the pixels."""


def summary(maps: Mapping[str, TokenMaps]) -> pd.DataFrame:
    """Put the maps of each layer into a few numbers.

    Args:
        maps: what `localization.heatmaps` returned.

    Returns:
        One row per layer and measure: `layer`, `depth`, `measure` (one of
        `MEASURES`), `value` between `low` and `high` (see
        `claims.estimate`); NaN where undefined.
    """
    return pd.DataFrame(
        {
            "layer": layer,
            "depth": m.depth,
            "measure": measure,
            **vars(estimate(effect, m, m.pixels)),
        }
        for layer, m in maps.items()
        for measure, effect in MEASURES.items()
    )


def _spatial(c: Floats) -> Floats:
    """Leave out the rows of class and register tokens."""
    spatial: Floats = c[len(c) - c.shape[1] :]
    return spatial


def _chosen(c: Floats, among: Bools | None) -> Bools:
    defined: Bools = np.isfinite(own(c))
    return defined if among is None else defined & among
