"""EfficientNet and MobileNet: blocks of pointwise and depthwise convolutions.

Convolutions are numbered in forward order, whatever their kind; a `norm`
includes its activation. Blocks that change the size or width of the map have
no skip connection. The hybrids among MobileNetV4 have attention blocks.
"""

from __future__ import annotations

from typing import Any

from timm.layers import Conv2dSame
from timm.models import EfficientNet, MobileNetV3
from timm.models._efficientnet_blocks import MobileAttention
from torch import nn

from helpers.models.families import blocks
from helpers.models.families.family import (
    AttentionLayer,
    Family,
    Layers,
    Sums,
    Tap,
)

WORDS = (
    *("stem", "norm1", "conv1", "conv2", "norm2", "conv3", "norm3"),
    *("se", "conv4", "norm4", "attn", "out", "final"),
)


def _parts(block: Any) -> dict[str, Tap]:
    """Name the convolutions and norms of a block in forward order."""
    if isinstance(block, MobileAttention):
        return {"norm1": Tap("norm"), "attn": Tap("layer_scale")}
    parts: dict[str, Tap] = {}
    count = 0
    for name, part in block.named_children():
        kind = type(part)
        if kind is nn.Identity or name in ("drop_path", "aa", "layer_scale"):
            continue
        if name == "se":
            parts["se"] = Tap("se")
        elif hasattr(part, "conv") and hasattr(part, "bn"):
            count += 1
            parts[f"conv{count}"] = Tap(f"{name}.conv")
            parts[f"norm{count}"] = Tap(f"{name}.bn")
        elif name.startswith("conv"):
            count += 1
            parts[f"conv{count}"] = Tap(name)
        elif name.startswith("bn"):
            parts[f"norm{count}"] = Tap(name)
    return parts


def layers(module: Any) -> Layers:
    """List the stem, the layers of every block and what ends the network."""
    found = {"stem": Tap("bn1")}
    for i, stage in enumerate(module.blocks):
        for j, block in enumerate(stage):
            found |= blocks.inside(
                module, f"blocks.{i}.{j}", f"stages.{i}.{j}", _parts(block)
            )
    last = getattr(module, "bn2", None)
    if last is not None and not isinstance(last, nn.Identity):
        found["final"] = Tap("bn2")
    return found


def sums(module: Any, layers: Layers) -> Sums:
    """List the sum of every block that has one."""

    def skip(path: str) -> Tap:
        attends = isinstance(module.get_submodule(path), MobileAttention)
        # Its skip starts after a convolution that encodes positions.
        return Tap(f"{path}.norm" if attends else path, is_input=True)

    return {
        name: each
        for name, each in blocks.one_sum(layers, skip, lambda out: out).items()
        if module.get_submodule(each.total.path).has_skip
    }


def attention(module: Any) -> list[AttentionLayer] | str:
    """Say why there is none."""
    if any(isinstance(m, MobileAttention) for m in module.modules()):
        return (
            "has attention in some blocks only, between maps of two sizes, "
            "which is not read"
        )
    return "has no attention: it is an efficientnet"


def centre(module: Any, stride: float) -> float:
    """Place position 0: padding is on both sides, or behind the image."""
    same = any(isinstance(m, Conv2dSame) for m in module.modules())
    return stride - 1 if same else 0.0


FAMILY = Family(
    name="efficientnet",
    words=WORDS,
    recognises=lambda module: (
        isinstance(module, (EfficientNet, MobileNetV3))
        and all(
            hasattr(block, "has_skip") and hasattr(block, "drop_path")
            for stage in module.blocks
            for block in stage
        )
    ),
    layers=layers,
    sums=sums,
    attention=attention,
    centre=centre,
)
