"""Spatial localisation: which part of the image a token stands for.

The CKA of one token of a layer with the pixels of one input patch asks
whether the token finds the same images alike as the patch does. For one token
and all patches that is a map over the image (Raghu et al. 2021, section 7,
figure 9). `heatmaps` measures the maps of all tokens of several layers in one
pass, and beside them those of the pixels themselves: the reference for how
local a map can be on such images. `localization_statistics` puts them into
numbers.

Do not read a map as attention or as a receptive field: it says what a token
resembles, not where it looks. Where neighbouring patches look alike, so will
their maps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from helpers.cka.comparison import Similarity
from helpers.cka.hsic import MIN_BATCH, gram
from helpers.cka.minibatch import MinibatchCKA
from helpers.features.arguments import checked, settings_of
from helpers.features.layer_selection import depth
from helpers.features.record import record
from helpers.features.token_grid import Grid, Positions, choose, cut, grids

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel


@dataclass(frozen=True, eq=False)
class TokenMaps(Similarity):
    """The CKA of every token of a layer with every patch of the image.

    `cka` is (tokens, patches). The tokens that stand at a patch are the last
    rows, in the order of the patches (row by row); class and register tokens
    come before them.

    Attributes:
        layer: canonical name.
        depth: of the layer in its model, 0 to 1.
        grid: rows and columns of the patches measured.
        pixels: the maps of the patches in the place of the tokens, on the
            same minibatches.
        settings: model, images, batch size, the layer's whole grid.
    """

    layer: str
    depth: float
    grid: Grid
    pixels: Similarity
    settings: dict[str, Any]

    @property
    def of_pixels(self) -> TokenMaps:
        """The maps of the pixels, as if they were a layer `pixels`."""
        mine = vars(self.pixels)
        return replace(self, **mine, layer="pixels", depth=0.0)

    def table(self) -> pd.DataFrame:
        """Write one row per token and patch; the settings are in `attrs`.

        The columns are `layer`, `depth`, `token` (its name), `token_row` and
        `token_column` (missing for class and register tokens), `row` and
        `column` of the patch (from 0), `cka` and `se`.
        """
        columns = self.grid[1]
        token, patch = np.indices(self.cka.shape).reshape(2, -1)
        place = token - (len(self.layers_x) - len(self.layers_y))
        at_patch = pd.Series(place, dtype="Int64").where(place >= 0)
        table = pd.DataFrame(
            {
                "layer": self.layer,
                "depth": self.depth,
                "token": np.array(self.layers_x)[token],
                "token_row": at_patch // columns,
                "token_column": at_patch % columns,
                "row": patch // columns,
                "column": patch % columns,
                "cka": self.cka.ravel(),
                "se": self.se.ravel(),
            }
        )
        table.attrs.update(self.settings)
        return table


@checked
def heatmaps(
    model: VisionModel,
    images: Images,
    layers: str = "out",
    batch_size: int = 64,
    positions: int = 64,
) -> dict[str, TokenMaps]:
    """Measure the CKA of all tokens of layers with all patches of the input.

    X is one token of a layer, (n, width), and Y the values of one patch of
    the model's input, (n, height * width * 3 of the patch). In a CNN the
    tokens are the locations of the feature map, and the patches lie on the
    same grid. Unbiased minibatch CKA, one pass for all layers.

    Args:
        model: the model.
        images: shown in minibatches; those beyond the last whole one are
            left out.
        layers: which layers, see `helpers.features.names`.
        batch_size: images of a minibatch.
        positions: where a layer has more of them, every second (or third,
            ...) row and column is measured, tokens and patches alike.

    Returns:
        Layer name to its maps, in forward order. A token or patch that does
        not vary over the images is NaN, and a warning names it.

    Raises:
        ValueError: fewer images than one minibatch or fewer than 4 in it;
            unknown layers, or layers without token positions.
    """
    if not MIN_BATCH <= batch_size <= len(images):
        raise ValueError(
            f"a minibatch needs {MIN_BATCH} to {len(images)} images (all "
            f"that are given), got batch_size={batch_size}"
        )
    prefix = _prefix_names(model)
    places = {
        name: choose(grid, positions)
        for name, grid in grids(model, layers).items()
    }
    used = len(images) // batch_size * batch_size
    maps = {
        name: MinibatchCKA([*prefix, *at.names], at.names)
        for name, at in places.items()
    }
    pixels = {at: MinibatchCKA(at.names) for at in places.values()}
    with tqdm(
        total=used, desc="token maps", unit="image", disable=None
    ) as bar:
        for x, tokens in _batches(model, images, places, batch_size):
            below = {
                at: list(map(gram, cut(x, at, model.patch))) for at in pixels
            }
            for at, engine in pixels.items():
                engine.update_grams(below[at])
            for name, engine in maps.items():
                engine.update_grams(tokens[name], below[places[name]])
            bar.update(len(x))
    return {
        name: TokenMaps(
            **vars(maps[name].compute()),
            layer=name,
            depth=depth(model, name),
            grid=at.grid,
            pixels=pixels[at].compute(),
            settings={
                "model": model.spec,
                **settings_of(images),
                "num_images": used,
                "batch_size": batch_size,
                "whole_grid": at.whole,
            },
        )
        for name, at in places.items()
    }


def _prefix_names(model: VisionModel) -> list[str]:
    cls = ["cls"] if model.has_class_token else []
    others = model.prefix_tokens - len(cls)
    return [*cls, *(f"register {i + 1}" for i in range(others))]


def _batches(
    model: VisionModel,
    images: Images,
    places: dict[str, Positions],
    batch_size: int,
) -> Iterator[tuple[Tensor, dict[str, tuple[Tensor, ...]]]]:
    """Yield the input of each minibatch and the Grams of all tokens."""
    with ExitStack() as hooks:
        tapes = {}
        for name, at in places.items():
            first = model.prefix_tokens
            chosen = [*range(first), *(first + i for i in at.tokens)]

            def reduce(x: Tensor, chosen: list[int] = chosen) -> Tensor:
                return torch.stack([gram(x[:, token]) for token in chosen])

            tapes[name] = hooks.enter_context(
                record(model, name, "each", reduce)
            )
        for _, (x,) in images.batches(
            model, batch_size=batch_size, drop_last=True
        ):
            model(x)
            yield (
                x,
                {name: tape[name].unbind() for name, tape in tapes.items()},
            )
