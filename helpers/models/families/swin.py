"""Swin Transformers, versions 1 and 2.

Attention stays inside windows, which every second block shifts; a query's
keys are the patches of its own window, on the same side of the image's edge.
All layers are read as maps, (n, channels, rows, columns), with every patch in
its place. Version 2 has its norms at the end of each branch, so its blocks
have no `ln1` and `ln2`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.models import SwinTransformer, SwinTransformerV2
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from helpers.models.families import blocks
from helpers.models.families.family import (
    AttentionLayer,
    Family,
    Grid,
    Layers,
    Sums,
    Tap,
    softmax,
    split_heads,
)

WORDS = (
    *("embed", "ln1", "qkv", "heads", "attn", "mid"),
    *("ln2", "fc1", "act", "fc2", "out", "norm"),
)
MOST = 4.6052  # log of 100, the largest scale of version 2


def order(block: Any) -> Tensor:
    """Number the patches as they lie in the windows of a block.

    Returns:
        (windows, tokens) the patch of each token; -1 for padding.
    """
    rows, columns = block.input_resolution
    (high, wide), shift = block.window_size, block.shift_size
    places = torch.arange(rows * columns, device="cpu").view(rows, columns)
    places = places.roll([-step for step in shift], (0, 1))
    padding = (0, -columns % wide, 0, -rows % high)
    places = pad(places, padding, value=-1)
    windows = places.unfold(0, high, high).unfold(1, wide, wide)
    return windows.reshape(-1, high * wide)


def from_windows(
    block: Any, grid: Grid, module: nn.Module, x: Tensor
) -> Tensor:
    """Put tokens of windows into their places on a map.

    Args:
        block: whose windows these are.
        grid: rows and columns of its patches.
        module: what the tensor belongs to.
        x: (n * windows, tokens, width), or what `module` makes it of where
            that is its attention.

    Returns:
        (n, width, rows, columns).
    """
    places = order(block).flatten()
    tokens = x.reshape(-1, len(places), x.shape[-1])
    back = places.argsort()[(places < 0).sum() :].to(x.device)
    return as_map(grid, module, tokens[:, back])


def as_map(grid: Grid, _: nn.Module, x: Tensor) -> Tensor:
    """Bring (n, rows, columns, d), or a list of patches, to a map."""
    return x.reshape(len(x), *grid, -1).movedim(-1, 1)


def together(windows: int, tap: Tap, module: nn.Module, x: Tensor) -> Tensor:
    """Join the windows of an image to (n, windows * tokens, d)."""
    x = tap.read(module, x) if tap.read else x
    return x.reshape(len(x) // windows, -1, x.shape[-1])


def weights(block: Any, windows: int, qkv: Tensor) -> Tensor:
    """Compute the attention inside windows.

    Args:
        block: timm's block.
        windows: number of windows of an image.
        qkv: (n, windows * tokens, 3 * width).

    Returns:
        (n, heads, windows * tokens, tokens) in float32: for each query the
        keys of its window.
    """
    attention = block.attn
    inside = qkv.reshape(len(qkv) * windows, -1, qkv.shape[-1])
    q, k, _ = split_heads(inside, attention.num_heads)
    if hasattr(attention, "logit_scale"):  # version 2
        q, k = normalize(q, dim=-1), normalize(k, dim=-1)
        scale = attention.logit_scale.clamp(max=MOST).exp()
        table = attention.cpb_mlp(attention.relative_coords_table)
        bias = 16 * table.view(-1, attention.num_heads).sigmoid()
    else:
        scale, bias = attention.scale, attention.relative_position_bias_table
    area = inside.shape[1]
    bias = bias[attention.relative_position_index.flatten()]
    bias = bias.view(area, area, -1).permute(2, 0, 1)
    if any(block.shift_size):
        bias = bias + block.attn_mask[:, None]  # (windows, heads, t, t)
        bias = bias.repeat(len(qkv), 1, 1, 1)
    found = softmax(q, k, scale, bias)
    found = found.reshape(len(qkv), windows, *found.shape[1:])
    return found.transpose(1, 2).flatten(2, 3)


def attention_layers(module: Any) -> list[AttentionLayer] | str:
    """Read the attention of every block, with the keys of every query."""
    found = []
    for name, path, block in _blocks(module):
        if block.dynamic_mask:
            return "has windows that depend on the size of each image"
        windows = order(block)
        tap = blocks.qkv(block.attn, f"{path}.attn")
        fine, grid = module.patch_embed.grid_size, block.input_resolution
        patch = module.patch_embed.patch_size
        found.append(
            AttentionLayer(
                f"{name}.heads",
                Tap(
                    tap.path,
                    tap.is_input,
                    partial(together, len(windows), tap),
                ),
                block.attn.num_heads,
                partial(weights, block, len(windows)),
                tuple(grid),
                tuple(
                    p * round(a / b)
                    for p, a, b in zip(patch, fine, grid, strict=True)
                ),
                queries=windows.flatten(),
                keys=windows.repeat_interleave(windows.shape[1], 0),
            )
        )
    return found


def layers(module: Any) -> Layers:
    """List the layers of every block of every stage, as maps."""
    first = partial(as_map, module.patch_embed.grid_size)
    found = {"embed": Tap("layers.0", True, first)}
    last = first
    for name, path, block in _blocks(module):
        grid = tuple(block.input_resolution)
        last, inner = partial(as_map, grid), partial(from_windows, block, grid)
        qkv = blocks.qkv(block.attn, "attn")
        parts = {
            "qkv": Tap(qkv.path, qkv.is_input, partial(_read, qkv, inner)),
            "heads": Tap("attn.proj", True, inner),
            "attn": Tap("drop_path1", read=last),
            "mid": Tap("mlp", True, last),
            "fc1": Tap("mlp.fc1", read=last),
            "act": Tap("mlp.act", read=last),
            "fc2": Tap("drop_path2", read=last),
            "out": Tap("", read=last),
        }
        if isinstance(module, SwinTransformer):
            parts |= {
                "ln1": Tap("norm1", read=last),
                "mid": Tap("norm2", True, last),
                "ln2": Tap("norm2", read=last),
            }
        kept = {word: parts[word] for word in WORDS if word in parts}
        found |= blocks.inside(module, path, name, kept)
    return found | {"norm": Tap("norm", read=last)}


def _read(tap: Tap, then: Any, module: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = then(module, tap.read(module, x) if tap.read else x)
    return found


def _blocks(module: Any) -> list[tuple[str, str, Any]]:
    """List canonical name, path and module of every block."""
    return [
        (f"stages.{i}.{j}", f"layers.{i}.blocks.{j}", block)
        for i, stage in enumerate(module.layers)
        for j, block in enumerate(stage.blocks)
    ]


def sums(module: Any, layers: Layers) -> Sums:
    """List the two sums of every block."""
    before = isinstance(module, SwinTransformer)
    entry = "norm1" if before else "_attn"
    return blocks.two_sums(layers, "attn", "attention", entry)


FAMILY = Family(
    name="swin",
    words=WORDS,
    recognises=lambda module: isinstance(
        module, (SwinTransformer, SwinTransformerV2)
    ),
    layers=layers,
    sums=sums,
    attention=attention_layers,
)
