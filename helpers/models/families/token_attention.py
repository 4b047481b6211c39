"""The attention of families whose tokens stay on one grid of patches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from helpers.models.families import blocks
from helpers.models.families.family import (
    AttentionLayer,
    Grid,
    Layout,
    Tap,
    patches_after,
)

NO_GRID = "has tokens that form no known grid of patches"
Weights = Callable[[Tensor], Tensor]
Rotation = Callable[[Tensor], Tensor]


def of_blocks(
    module: Any, layout: Layout, weights: Callable[[Any, int, Grid], Weights]
) -> list[AttentionLayer] | str:
    """Describe the attention of the modules `blocks.0.attn` ...

    Args:
        module: the model.
        layout: its tokens.
        weights: a block, its number and the grid -> what computes its
            weights, see `AttentionLayer`.
    """
    if layout.grid is None:
        return NO_GRID
    grid = layout.grid
    return on_one_grid(
        layout,
        (
            (
                blocks.qkv(block.attn, f"blocks.{i}.attn"),
                block.attn.num_heads,
                weights(block, i, grid),
            )
            for i, block in enumerate(module.blocks)
        ),
    )


def on_one_grid(
    layout: Layout, each: Iterable[tuple[Tap, int, Weights]]
) -> list[AttentionLayer] | str:
    """Describe attention from all tokens of a grid to all of them.

    Args:
        layout: the tokens.
        each: source, heads and weights of every block, see `AttentionLayer`.

    Returns:
        One record per block, or why the tokens cannot be placed.
    """
    if layout.grid is None or layout.patch is None:
        return NO_GRID
    grid, patch = layout.grid, layout.patch
    tokens = patches_after(layout.prefix_tokens, grid)
    return [
        AttentionLayer(
            f"blocks.{i}.heads",
            source,
            heads,
            weights,
            grid,
            patch,
            queries=tokens,
            keys=tokens,
        )
        for i, (source, heads, weights) in enumerate(each)
    ]


def rotate_patches(
    q: Tensor, k: Tensor, prefix: int, rotate: Rotation
) -> tuple[Tensor, Tensor]:
    """Rotate the queries and keys of patches by their positions.

    Args:
        q: (n, heads, tokens, d).
        k: (n, heads, tokens, d).
        prefix: tokens before the patches, which are not rotated.
        rotate: what is done to (n, heads, patches, d).
    """
    q, k = (
        torch.cat([x[:, :, :prefix], rotate(x[:, :, prefix:])], 2)
        for x in (q, k)
    )
    return q, k
