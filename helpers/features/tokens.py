"""Features of single tokens and of pooled ones, on one grid for all layers.

In a CNN the tokens are the positions of the last layer's grid: lower, larger
maps are split into patches and averaged over that grid, so that their width
comes near that of the last layer (Raghu et al. 2021, appendix A).

All images times all positions stay in memory: choose few positions of a
large model, or pooled features alone, as `helpers.features.pooled` gives them.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pixel_unshuffle

from helpers.features.arguments import checked
from helpers.features.record import record
from helpers.features.token_grid import Grid, Positions, grids

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel


FIRST, MEAN, REST = "first token", "mean of all", "mean without first"
POOLED = (FIRST, MEAN, REST)


@checked
def tokens_of(
    model: VisionModel,
    images: Images,
    layers: str,
    at: Positions,
    batch_size: int = 64,
    split: bool = True,
) -> dict[str, Tensor]:
    """Keep the pooled tokens of images, and those at some positions.

    Args:
        model: the model.
        images: n images.
        layers: which layers.
        at: which positions.
        batch_size: images of a forward pass.
        split: whether larger maps of a CNN are split before they are
            averaged; a map of the last width or more never is.

    Returns:
        Layer name to (n, pooled + positions, width), in the order of
        `POOLED` and of the positions; on the CPU.
    """
    kept: dict[str, list[Tensor]] = {}
    shapes = grids(model, layers)
    with ExitStack() as hooks:
        tapes = {
            name: hooks.enter_context(
                record(
                    model,
                    name,
                    "each",
                    partial(
                        _pooled, model=model, map_grid=grid, at=at, split=split
                    ),
                )
            )
            for name, grid in shapes.items()
        }
        for _, (x,) in images.batches(model, batch_size=batch_size):
            model(x)
            for name, tape in tapes.items():
                kept.setdefault(name, []).append(tape[name])
    return {name: torch.cat(kept.pop(name)) for name in list(kept)}


def split_and_pool(maps: Tensor, grid: Grid, width: int) -> Tensor:
    """Bring a feature map to a smaller grid, keeping some of its detail.

    Args:
        maps: (n, c, h, w).
        grid: rows and columns of the last layer.
        width: of the last layer. The map is split into p x p patches, their
            positions become channels, p as large as `width` allows; then
            averages are taken over the grid.

    Returns:
        (n, c * p * p, *grid).
    """
    c, h, w = maps.shape[1:]
    p = max(1, min(int((width / c) ** 0.5), h // grid[0], w // grid[1]))
    split = pixel_unshuffle(maps[..., : h - h % p, : w - w % p], p)
    return adaptive_avg_pool2d(split, grid)


def last_grid(model: VisionModel, layers: str) -> Grid:
    """Return the grid of the last of some layers."""
    return list(grids(model, layers).values())[-1]


def _pooled(
    x: Tensor,
    model: VisionModel,
    map_grid: Grid,
    at: Positions,
    split: bool,
) -> Tensor:
    """Reduce the tokens of a layer inside its hook."""
    if model.grid is None:
        maps = x.transpose(1, 2).reshape(len(x), -1, *map_grid)
        # A module that does not tell its width keeps that of each layer.
        width: Any = getattr(model.module, "num_features", maps.shape[1])
        width = width if split else 0
        x = split_and_pool(maps, at.whole, width).flatten(2).transpose(1, 2)
    single = x[:, [model.prefix_tokens + i for i in at.tokens]]
    pooled = [x[:, 0], x.mean(1), x[:, 1:].mean(1)]
    return torch.cat([torch.stack(pooled, 1), single], 1).cpu()
