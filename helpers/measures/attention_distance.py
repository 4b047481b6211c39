"""Distances over which heads look: the numbers, and what they are held to.

A patch stands at its centre. A head that attends to all patches alike has
the average distance of two patches, the mark against which a distance is
read.

Do not compare distances in pixels across image sizes: `relative` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from helpers.models.families.family import AttentionLayer, Grid
from helpers.runtime.arrays import Floats


@dataclass(frozen=True, eq=False)
class Distances:
    """How far the heads of some blocks look.

    Attributes:
        each: (images, blocks, heads) mean distance over the queries of an
            image, in pixels of the model's input.
        on_patches: (blocks, heads) share of the attention that falls on
            patches; the rest is on class and register tokens.
        uniforms: (blocks,) the distance of a head that looks at all patches
            alike.
        heads: how many heads each block has. Values of heads beyond these
            are NaN.
        blocks: number of each block, from 0.
        layers: name of the layer that holds each block's heads.
        depths: depth of that layer, 0 to 1.
        settings: model, images, whether weights were renormalised.
    """

    each: Floats
    on_patches: Floats
    uniforms: Floats
    heads: Sequence[int]
    blocks: Sequence[int]
    layers: Sequence[str]
    depths: Sequence[float]
    settings: dict[str, Any]

    @property
    def uniform(self) -> float:
        """What `uniforms` is in the first of the blocks.

        In other blocks it differs only where these have another grid, and
        there by less than one patch.
        """
        return float(self.uniforms[0])

    @property
    def mean(self) -> Floats:
        """(blocks, heads) distance over all images, in pixels."""
        average: Floats = self.each.mean(0)
        return average

    @property
    def values(self) -> Floats:
        """(blocks, heads) distance as a fraction of that of `uniform`."""
        return self.mean / self.uniforms[:, None]

    @property
    def leave_one_out(self) -> Floats:
        """(images, blocks, heads) `values` without one of the images."""
        rest: Floats = self.each.sum(0) - self.each
        return rest / max(len(rest) - 1, 1) / self.uniforms[:, None]

    def table(self) -> pd.DataFrame:
        """Write one row per head, block by block, from the nearest head on.

        The columns are `block`, `layer`, `depth`, `head`, `rank` (1 for the
        nearest), `distance`, `se`, `relative`, `on_patches` and `uniform`;
        the settings are in `attrs`.
        """
        count, blocks, heads = self.each.shape
        mean = self.mean
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt(np.var(self.each, axis=0) / np.float64(count - 1))
        table = pd.DataFrame(
            {
                "block": np.repeat(self.blocks, heads),
                "layer": np.repeat(self.layers, heads),
                "depth": np.repeat(self.depths, heads),
                "head": np.tile(np.arange(heads), blocks),
                "rank": mean.argsort(1).argsort(1).ravel() + 1,
                "distance": mean.ravel(),
                "se": spread.ravel(),
                "relative": self.values.ravel(),
                "on_patches": self.on_patches.ravel(),
                "uniform": np.repeat(self.uniforms, heads),
            }
        )
        table = table[table["head"] < np.repeat(self.heads, heads)]
        table = table.sort_values(["block", "rank"], ignore_index=True)
        table.attrs.update(self.settings)
        return table


def between(layer: AttentionLayer) -> tuple[Floats, float]:
    """Measure how far the keys of a block lie from its queries.

    Returns:
        Distances in pixels, (queries, keys), prefix tokens left out; of a key
        that is no patch it is 0. And their mean over all patches, whether
        they are keys or not: the distance of a head that looks everywhere.
    """
    grid = layer.query_grid or layer.grid
    size = np.multiply(layer.grid, layer.patch)
    ours, theirs = (
        _centres(grid, size / grid),
        _centres(layer.grid, layer.patch),
    )
    apart: Floats = np.linalg.norm(ours[:, None] - theirs, axis=-1)
    queries, keys = layer.queries.numpy(), layer.keys.numpy()
    kept = queries >= 0
    if keys.ndim == 1:
        return apart[queries[kept]][:, keys[keys >= 0]], float(apart.mean())
    own = apart[queries[kept, None], keys[kept].clip(0)]
    return np.where(keys[kept] < 0, 0, own), float(apart.mean())


def _centres(grid: Grid, patch: Sequence[float] | Floats) -> Floats:
    """Place the centres of patches: (patches, 2) pixels down and across."""
    places: Floats = (np.indices(grid).reshape(2, -1).T + 0.5) * np.asarray(
        patch, float
    )
    return places
