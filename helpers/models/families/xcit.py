"""XCiT: attention between channels, and convolutions between patches.

Cross-covariance attention weighs channels by channels, so there is no
distance between patches to measure. A block has three branches: `attn`, the
convolutions `local` among neighbouring patches, and the MLP; `mid` is the sum
after the first, `mixed` that after the second. The class token joins in two
last blocks, which are not listed, and `norm` is read without it.
"""

from __future__ import annotations

from typing import Any

from timm.models.xcit import XCABlock, Xcit

from helpers.models.families import blocks
from helpers.models.families.family import (
    AttentionLayer,
    Family,
    Layers,
    Layout,
    Sum,
    Sums,
    Tap,
    corner,
)

PARTS = {
    "ln1": Tap("norm1"),
    "qkv": Tap("attn.qkv"),
    "heads": Tap("attn.proj", is_input=True),
    "attn": Tap("drop_path1"),
    "mid": Tap("norm3", is_input=True),
    "local": Tap("drop_path3"),
    "mixed": Tap("norm2", is_input=True),
    "ln2": Tap("norm2"),
    "fc1": Tap("mlp.fc1"),
    "act": Tap("mlp.act"),
    "fc2": Tap("drop_path2"),
}


def layers(module: Any) -> Layers:
    """List the layers of every block of patches."""
    found = blocks.blocks(module, PARTS)
    return found | {"norm": Tap("norm", read=blocks.without_class_token)}


def layout(module: Any) -> Layout:
    """Find the patches; there is no class token among them."""
    high, wide = module.patch_embed.img_size
    patch = int(module.patch_embed.patch_size)
    return Layout(0, False, (high // patch, wide // patch), (patch, patch))


def sums(module: Any, layers: Layers) -> Sums:
    """List the three sums of every block."""
    found: Sums = {}
    for name, out in layers.items():
        block, _, word = name.rpartition(".")
        if word != "out":
            continue
        skip = Tap(out.path, is_input=True)
        mid, mixed = layers[f"{block}.mid"], layers[f"{block}.mixed"]
        attn, local = layers[f"{block}.attn"], layers[f"{block}.local"]
        found[f"{block}.attn"] = Sum(
            skip, attn, mid, "mid", "attention", f"{out.path}.norm1"
        )
        found[f"{block}.local"] = Sum(
            mid, local, mixed, "mixed", "convolutions", inner=True
        )
        found[f"{block}.fc2"] = Sum(
            mixed, layers[f"{block}.fc2"], out, "out", "MLP"
        )
    return found


def no_attention(module: Any) -> list[AttentionLayer] | str:
    """Say why there are no weights between patches."""
    return (
        "has attention between channels (cross-covariance), which has no "
        "distance between patches"
    )


FAMILY = Family(
    name="xcit",
    words=("embed", *PARTS, "out", "norm"),
    recognises=lambda module: (
        isinstance(module, Xcit)
        and all(type(block) is XCABlock for block in module.blocks)
    ),
    layers=layers,
    sums=sums,
    attention=no_attention,
    layout=layout,
    centre=corner,
)
