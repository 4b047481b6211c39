"""All other networks: the points that timm lists as their features."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from helpers.models.families import blocks
from helpers.models.families.family import (
    AttentionLayer,
    Family,
    Layers,
    Layout,
    Sums,
    Tap,
)


def _channels_first(_: nn.Module, x: Tensor) -> Tensor:
    return x.movedim(-1, 1) if x.ndim == 4 else x


def layers(module: Any) -> Layers:
    """List timm's feature points, as `<module>.out`."""
    info = getattr(module, "feature_info", [])
    last = getattr(module, "output_fmt", "NCHW") == "NHWC"
    read = _channels_first if last else None
    return {
        f"{entry['module']}.out": Tap(entry["module"], read=read)
        for entry in info
        if entry.get("module")
    }


def layout(module: Any) -> Layout:
    """Count prefix tokens; no grid of patches is known."""
    return replace(blocks.token_layout(module), grid=None, patch=None)


def no_sums(module: Any, layers: Layers) -> Sums | str:
    """Say why there are none."""
    return (
        "is of no family whose skip connections are known (such as ViT, "
        "ResNet and Mixer)"
    )


def no_attention(module: Any) -> list[AttentionLayer] | str:
    """Say why there is none, or none that can be read."""
    kinds = {
        f"{type(m).__module__.removeprefix('timm.')}.{type(m).__name__}"
        for m in module.modules()
        if "attention" in type(m).__name__.lower()
        and not type(m).__name__.startswith("AttentionPool")
    }
    if not kinds:
        return "has no attention"
    return (
        f"has an attention ({', '.join(sorted(kinds))}) that may depend on "
        "more than its queries and keys (windows, rotary or relative "
        "positions), in a family that is not known"
    )


FAMILY = Family(
    name="generic",
    words=("out",),
    recognises=lambda module: True,
    layers=layers,
    sums=no_sums,
    attention=no_attention,
    layout=layout,
)
