"""What many families share: layers of blocks, and tokens on one grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import timm
from torch import nn

from helpers.models.families.family import (
    AttentionLayer,
    Layers,
    Layout,
    Sum,
    Sums,
    Tap,
)

TOKEN_BLOCK = (
    "ln1",
    "qkv",
    "heads",
    "attn",
    "mid",
    "ln2",
    "fc1",
    "act",
    "fc2",
    "out",
)
"""The layers of a block of a vision transformer, in forward order."""
NO_GRID = "has tokens that form no known grid of patches"


def inside(
    module: nn.Module, path: str, name: str, parts: Mapping[str, Tap]
) -> Layers:
    """List the layers of one block.

    Args:
        module: the model.
        path: of the block.
        name: canonical name of the block.
        parts: last part of a layer's name -> the tap, its path as seen from
            the block. Where the block has no such module there is no layer.
            The block's output is `out` and need not be told.
    """
    present = dict(module.get_submodule(path).named_modules())
    return {
        f"{name}.{word}": Tap(
            f"{path}.{tap.path}".rstrip("."), tap.is_input, tap.read
        )
        for word, tap in {**parts, "out": Tap("")}.items()
        if tap.path in present
    }


def blocks(module: nn.Module, parts: Mapping[str, Tap]) -> Layers:
    """List the layers of a model whose blocks are `blocks.0`, `blocks.1` ...

    They lie between `embed`, what the first block takes, and `norm`, the norm
    after the last block where there is one.
    """
    found = {"embed": Tap("blocks.0", is_input=True)}
    for i, _ in enumerate(module.get_submodule("blocks").children()):
        found |= inside(module, f"blocks.{i}", f"blocks.{i}", parts)
    if not isinstance(module.get_submodule("norm"), nn.Identity):
        found["norm"] = Tap("norm")
    return found


def token_layout(module: Any) -> Layout:
    """Find the tokens of a model whose patches stay on one grid."""
    kind = timm.layers.PatchEmbed
    embed: Any = next(
        (m for m in module.children() if isinstance(m, kind)), None
    )
    return Layout(
        int(getattr(module, "num_prefix_tokens", 0)),
        getattr(module, "cls_token", None) is not None,
        tuple(embed.grid_size) if embed else None,
        tuple(embed.patch_size) if embed else None,
    )


def two_sums(
    layers: Layers, first: str, kind: str, entry: str = "norm1"
) -> Sums:
    """List the sums of blocks that add two branches one after the other.

    Args:
        layers: of the model; a block has `mid` and `fc2`.
        first: the layer that is the first branch.
        kind: what that branch is.
        entry: the first module of the first branch, as seen from the block.
    """
    found: Sums = {}
    for name, out in layers.items():
        block, _, word = name.rpartition(".")
        if word == "out":
            mid, branch = layers[f"{block}.mid"], layers[f"{block}.{first}"]
            skip, start = Tap(out.path, is_input=True), f"{out.path}.{entry}"
            found[f"{block}.{first}"] = Sum(
                skip, branch, mid, "mid", kind, start
            )
            last = layers[f"{block}.fc2"]
            found[f"{block}.fc2"] = Sum(mid, last, out, "out", "MLP")
    return found


def no_attention(
    kind: str,
) -> Callable[[nn.Module], list[AttentionLayer] | str]:
    """Say of a whole family that it has no attention.

    Args:
        kind: what its members are, such as `a resnet`.
    """
    return lambda module: f"has no attention: it is {kind}"
