"""Hiera: attention inside mask units, and queries that are pooled.

Tokens are kept in an order in which those of a mask unit lie together; all
layers are read as maps, (n, channels, rows, columns), with every patch in its
place. The first block of a stage pools its queries, so that they stand for
coarser patches than its keys, and pools its skip connection as well.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.models.hiera import Hiera
from torch import Tensor, nn

from helpers.models.families import blocks
from helpers.models.families.family import (
    AttentionLayer,
    Family,
    Grid,
    Layers,
    Sum,
    Sums,
    Tap,
    softmax,
)


def before(block: Any, i: int) -> int:
    """Return the block whose output has the order that block i takes."""
    return i - 1 if block.attn.q_stride > 1 else i


def as_map(reroll: Any, i: int, _: nn.Module, x: Tensor) -> Tensor:
    """Bring (n, patches, d), in the order of block i, to a map."""
    found: Tensor = reroll(x, i)
    return found.movedim(-1, 1)


def patches(reroll: Any, i: int) -> tuple[Tensor, Grid]:
    """Number the patches in the order of block i, and tell their grid."""
    grid = tuple(reroll.schedule[i][1])
    tokens = torch.arange(grid[0] * grid[1], device="cpu")
    places = reroll(tokens.view(1, -1, 1), i).flatten()
    return places.argsort(), grid


def pooled(block: Any, then: Any, module: nn.Module, x: Tensor) -> Tensor:
    """Pool the skip connection of the first block of a stage.

    Args:
        block: timm's block.
        then: brings the result to a map.
        module: the projection of the skip, or the block itself.
        x: (n, tokens, d) what comes out of the one, or goes into the other.
    """
    parts = x.reshape(len(x), block.attn.q_stride, -1, x.shape[-1])
    most = parts.amax(1)
    if block.proj is None:
        most = torch.cat([most, parts.mean(1)], -1)
    found: Tensor = then(module, most)
    return found


def weights(attention: Any, windows: int, qkv: Tensor) -> Tensor:
    """Compute the attention inside mask units.

    Args:
        attention: timm's attention of a block.
        windows: number of mask units; 1 where attention is global.
        qkv: (n, tokens, 3 * width), token by token of each mask unit in turn.

    Returns:
        (n, heads, queries, keys) in float32, for each query the keys of its
        mask unit.
    """
    n, heads = len(qkv), attention.heads
    parts = qkv.reshape(n, -1, windows, 3, heads, attention.head_dim)
    q, k, _ = parts.permute(3, 0, 4, 2, 1, 5).unbind(0)
    q = q.reshape(*q.shape[:3], attention.q_stride, -1, q.shape[-1]).amax(3)
    found = softmax(q, k, attention.scale)  # (n, heads, windows, q, k)
    return found.transpose(2, 3).flatten(2, 3)


def attention_layers(module: Any) -> list[AttentionLayer] | str:
    """Read the attention of every block, with the keys of every query."""
    found = []
    for i, block in enumerate(module.blocks):
        attention = block.attn
        keys, grid = patches(module.reroll, before(block, i))
        queries, query_grid = patches(module.reroll, i)
        windows = 1
        if attention.use_mask_unit_attn:
            size = attention.q_stride * attention.window_size
            windows = len(keys) // size
        units = keys.view(-1, windows).T  # (windows, keys)
        full = module.tokens_spatial_shape
        high, wide = (
            stride * whole // size
            for stride, whole, size in zip(
                module.patch_stride, full, grid, strict=True
            )
        )
        found.append(
            AttentionLayer(
                f"blocks.{i}.heads",
                Tap(f"blocks.{i}.attn.qkv"),
                attention.heads,
                partial(weights, attention, windows),
                grid,
                (high, wide),
                queries=queries,
                keys=units.repeat(len(queries) // windows, 1),
                query_grid=query_grid,
                tokens=len(keys),
            )
        )
    return found


def layers(module: Any) -> Layers:
    """List the layers of every block, as maps."""
    found = {"embed": Tap("blocks.0", True, partial(as_map, module.reroll, 0))}
    for i, block in enumerate(module.blocks):
        first = partial(as_map, module.reroll, before(block, i))
        then = partial(as_map, module.reroll, i)
        parts = {
            "ln1": Tap("norm1", read=first),
            "qkv": Tap("attn.qkv", read=first),
            "heads": Tap("attn.proj", True, then),
            "attn": Tap("drop_path1", read=then),
            "mid": Tap("norm2", True, then),
            "ln2": Tap("norm2", read=then),
            "fc1": Tap("mlp.fc1", read=then),
            "act": Tap("mlp.act", read=then),
            "fc2": Tap("drop_path2", read=then),
            "out": Tap("", read=then),
        }
        found |= blocks.inside(module, f"blocks.{i}", f"blocks.{i}", parts)
    return found


def sums(module: Any, layers: Layers) -> Sums:
    """List the two sums of every block."""
    found = blocks.two_sums(layers, "attn", "attention")
    for i, block in enumerate(module.blocks):
        if not block.do_expand:
            continue
        name = f"blocks.{i}"
        read = partial(pooled, block, partial(as_map, module.reroll, i))
        skip = (
            Tap(name, True, read)
            if block.proj is None
            else Tap(f"{name}.proj", read=read)
        )
        found[f"{name}.attn"] = Sum(
            skip,
            layers[f"{name}.attn"],
            layers[f"{name}.mid"],
            "mid",
            "attention",
            inner=True,
        )
    return found


FAMILY = Family(
    name="hiera",
    words=blocks.TOKEN_WORDS,
    recognises=lambda module: (
        isinstance(module, Hiera) and len(module.patch_stride) == 2
    ),
    layers=layers,
    sums=sums,
    attention=attention_layers,
    # The patches overlap and lie over pixel 4 * i; later ones are merged.
    centre=lambda module, stride: (stride - module.patch_stride[0]) / 2,
    image_size=lambda module: (
        module.tokens_spatial_shape[0] * module.patch_stride[0],
        module.tokens_spatial_shape[1] * module.patch_stride[1],
    ),
)
