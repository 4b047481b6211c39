"""What a map would be by chance: the null of permuted images.

Pair the images of one model with the wrong images of the other, and whatever
the two know of images is gone; what remains is what the estimator, the width
of the layers and the number of images make of nothing. Images are permuted
within minibatches, by one permutation for all layers, so that the layers
depend on each other as they do. So the null also holds for anything that is
searched among the cells of a map: a best match, or the nearest of several
models. The Gram matrices are there, a permutation reorders them.

Do not read a small p as a large similarity: with a thousand images hardly
any pair of networks is independent. The calibrated value has a size.

Source: Gröger et al. 2026, sections 5 and 6, algorithms 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from helpers.cka.grams import Grams, check_pair
from helpers.cka.hsic import u_centred
from helpers.cka.minibatch import ratio
from helpers.cka.permuted import double_centred, neighbours, orders, products
from helpers.runtime.arrays import Floats

PERMUTATIONS = 200
LEVEL = 0.05


@dataclass(frozen=True)
class Calibrated:
    """A number that was searched in a map, set against chance.

    Attributes:
        value: the number.
        p: the share of maps by chance, the measured one among them, in which
            it is at least as large.
        threshold: what chance exceeds in one of twenty maps.
        calibrated: how far the value lies between threshold and 1; 0 where
            it is below.
    """

    value: float
    p: float
    threshold: float
    calibrated: float


@dataclass(frozen=True, eq=False)
class Null:
    """A map, and what it is with the images permuted.

    Attributes:
        observed: (layers of x, layers of y) the map; NaN where undefined.
        values: (permutations, layers of x, layers of y).
        seed: which permutations.
        layers_x: names of the layers of x.
        layers_y: names of the layers of y.
    """

    observed: Floats
    values: Floats
    seed: int
    layers_x: list[str]
    layers_y: list[str]

    def p(self) -> Floats:
        """Return p of each cell, as if it alone had been looked at."""
        return _p(self.observed, self.values)

    def threshold(self, level: float = LEVEL) -> Floats:
        """Return what chance exceeds in a share `level` of the maps."""
        return _threshold(self.observed, self.values, level)

    def calibrated(self, level: float = LEVEL) -> Floats:
        """Scale each cell so that chance is 0 and the same layer 1."""
        return _calibrated(self.observed, self.threshold(level))

    def table(self, level: float = LEVEL) -> pd.DataFrame:
        """Write one row per cell.

        The columns are `layer_x`, `layer_y`, `value`, `chance` (the mean of
        the null), `threshold`, `calibrated` and `p`.
        """
        columns = {
            "value": self.observed,
            "chance": self.values.mean(0),
            "threshold": self.threshold(level),
            "calibrated": self.calibrated(level),
            "p": self.p(),
        }
        table = pd.DataFrame({k: v.ravel() for k, v in columns.items()})
        names = pd.MultiIndex.from_product(
            [self.layers_x, self.layers_y], names=["layer_x", "layer_y"]
        )
        return table.set_index(names).reset_index()


def permutation_null(
    x: Grams,
    y: Grams,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    biased: bool = False,
) -> Null:
    """Measure a CKA map with the images of y permuted, many times.

    Args:
        x: Gram matrices of the layers of x, see `helpers.cka.grams`.
        y: those of y, of the same images in the same minibatches.
        permutations: how many; the smallest p is one over one more.
        seed: which ones. Nulls of one seed and the same minibatches share
            their permutations, see `calibrate`.
        biased: take the biased HSIC_0 in place of HSIC_1.

    Returns:
        The map, unpermuted and permuted. The self-HSICs are the same in all.

    Raises:
        ValueError: different images or minibatches, or no permutation.
    """
    centre = double_centred if biased else u_centred
    return _null(x, y, centre, permutations, seed)


def neighbour_null(
    x: Grams,
    y: Grams,
    k: int = 5,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Null:
    """Measure a map of mutual nearest neighbours with images permuted.

    Args:
        x: as in `permutation_null`.
        y: likewise.
        k: neighbours of an image in its minibatch.
        permutations: as in `permutation_null`.
        seed: likewise.

    Returns:
        The share of the k nearest neighbours of an image in a layer of x
        that are among those in a layer of y (Huh et al. 2024, section 2);
        Euclidean distances, which the Gram matrices hold.

    Raises:
        ValueError: as `permutation_null`; no or too many neighbours.
    """
    fewest = min(map(len, x.images))
    if not 0 < k < fewest:
        raise ValueError(f"expected 1 to {fewest - 1} neighbours, got {k}")
    return _null(x, y, lambda grams: neighbours(grams, k), permutations, seed)


def calibrate(
    effect: Callable[..., float], *nulls: Null, level: float = LEVEL
) -> Calibrated:
    """Set a number that maps were searched for against chance.

    Args:
        effect: takes the matrices of the maps, returns a number of at most 1
            that is larger the more alike the layers are: a maximum, a best
            match of `helpers.cka.statistics`.
        *nulls: the maps. Several must share their permutations; their x is
            then the model whose relatives are searched.
        level: of the threshold.

    Raises:
        ValueError: maps with different permutations.
    """
    seeds = {(null.seed, len(null.values)) for null in nulls}
    if len(seeds) > 1:
        raise ValueError(
            "maps are searched together only with the same permutations; got "
            f"(seed, permutations) {sorted(seeds)}"
        )
    observed = np.array(effect(*(null.observed for null in nulls)))
    by_chance = np.array(
        [
            effect(*maps)
            for maps in zip(*(null.values for null in nulls), strict=True)
        ]
    )
    threshold = _threshold(observed, by_chance, level)
    return Calibrated(
        float(observed),
        float(_p(observed, by_chance)),
        float(threshold),
        float(_calibrated(observed, threshold)),
    )


def _null(
    x: Grams,
    y: Grams,
    centre: Callable[[Tensor], Tensor],
    permutations: int,
    seed: int,
) -> Null:
    check_pair(x, y)
    if permutations < 1:
        raise ValueError(f"expected 1 permutation or more, got {permutations}")
    generator = torch.Generator().manual_seed(seed)
    total: Tensor | float = 0.0
    own_x: Tensor | float = 0.0
    own_y: Tensor | float = 0.0
    for a, b in zip(x.values, y.values, strict=True):
        n = a.shape[1]
        one = torch.arange(n)[None]  # the images as they are, first
        drawn = torch.cat([one, orders(n, permutations, generator)])
        u, v = (centre(grams).double() for grams in (a, b))
        scale = 1 / (n * (n - 3))
        total = total + products(u, v, drawn) * scale
        own_x = own_x + u.square().sum((1, 2)) * scale
        own_y = own_y + v.square().sum((1, 2)) * scale
    maps = ratio(*(np.asarray(h) for h in (total, own_x, own_y)))
    names = ([str(layer) for layer in side.layers] for side in (x, y))
    return Null(maps[0], maps[1:], seed, *names)


def _p(observed: Floats, values: Floats) -> Floats:
    p = (1 + (values >= observed).sum(0)) / (len(values) + 1)
    return np.where(np.isnan(observed), np.nan, p)


def _threshold(observed: Floats, values: Floats, level: float) -> Floats:
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, got {level}")
    every = np.sort(np.concatenate([observed[None], values]), axis=0)
    threshold: Floats = every[math.ceil((1 - level) * len(every)) - 1]
    return threshold


def _calibrated(observed: Floats, threshold: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip((observed - threshold) / (1 - threshold), 0, 1)
