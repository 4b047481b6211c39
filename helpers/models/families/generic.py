"""All other networks: their blocks, and what timm lists as their features.

Blocks are the modules that timm calls `blocks.0`, `blocks.1` ...; where there
are none, the layers are timm's feature points.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
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


def channels_first(width: int, _: nn.Module, x: Tensor) -> Tensor:
    """Bring a map to (n, width, rows, columns) if its width comes last."""
    last = x.ndim == 4 and x.shape[1] != width and x.shape[-1] == width
    return x.movedim(-1, 1) if last else x


def layers(module: Any) -> Layers:
    """List every block, and feature points that hold none, as `<path>.out`."""
    info = getattr(module, "feature_info", [])
    points = {
        entry["module"]: entry["num_chs"]
        for entry in info
        if entry.get("module")
    }
    kept: list[str] = []
    for path in _in_forward_order(module):
        block = re.search(r"(^|\.)blocks\.\d+$", path)
        holds = any(other.startswith(f"{path}.") for other in kept)
        if (block or path in points) and not holds:
            kept.append(path)
    found = {}
    for path in kept:
        widths = [
            width
            for point, width in points.items()
            if f"{path}.".startswith(f"{point}.")
        ]
        read = partial(channels_first, widths[-1]) if widths else None
        found[f"{path}.out"] = Tap(path, read=read)
    return found


def _in_forward_order(module: nn.Module, path: str = "") -> Iterator[str]:
    """Yield paths of modules, each after those that it holds."""
    for name, part in module.named_children():
        yield from _in_forward_order(part, f"{path}{name}.")
        yield f"{path}{name}"


def layout(module: Any) -> Layout:
    """Count prefix tokens; no grid of patches is known.

    A class token that only joins after the layers, as in VOLO, is none.
    """
    found = blocks.token_layout(module)
    first = found.has_class_token and found.prefix_tokens > 0
    return replace(found, has_class_token=first, grid=None, patch=None)


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
