"""ConvNeXt, versions 1 and 2.

A block is one branch: a depthwise convolution, a norm and an MLP over
channels. `fc2` is the branch as it is added, after its LayerScale.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from timm.models.convnext import ConvNeXt, ConvNeXtBlock
from torch import Tensor, nn

from helpers.models.families import blocks
from helpers.models.families.family import Family, Layers, Sums, Tap

PARTS = {
    "conv1": Tap("conv_dw"),
    "norm1": Tap("norm"),
    "fc1": Tap("mlp.fc1"),
    "act": Tap("mlp.act"),
    "fc2": Tap("drop_path"),
}


def _channels_first(_: nn.Module, x: Tensor) -> Tensor:
    return x.movedim(-1, 1)


def layers(module: Any) -> Layers:
    """List the stem, the layers of every block and the last norm."""
    found = {"stem": Tap("stem")}
    for i, stage in enumerate(module.stages):
        for j, block in enumerate(stage.blocks):
            parts = dict(PARTS)
            if not block.use_conv_mlp:  # inside, channels are the last axis
                for word in ("norm1", "fc1", "act"):
                    parts[word] = replace(parts[word], read=_channels_first)
            path = f"stages.{i}.blocks.{j}"
            found |= blocks.inside(module, path, f"stages.{i}.{j}", parts)
    if not isinstance(module.norm_pre, nn.Identity):
        found["norm"] = Tap("norm_pre")
    return found


def sums(module: Any, layers: Layers) -> Sums:
    """List the one sum of every block."""
    return blocks.one_sum(
        layers, lambda path: Tap(f"{path}.shortcut"), lambda out: out
    )


def centre(module: Any, stride: float) -> float:
    """Place position 0: below a stem that overlaps or that cuts patches."""
    if len(module.stem) == 2:
        return (stride - 1) / 2
    return (stride - 4) / 2  # the stem puts i over 4 * i, then patches merge


def recognises(module: Any) -> bool:
    """Say whether all blocks are known ones."""
    return isinstance(module, ConvNeXt) and all(
        type(block) is ConvNeXtBlock
        for stage in module.stages
        for block in stage.blocks
    )


FAMILY = Family(
    name="convnext",
    words=("stem", *PARTS, "out", "norm"),
    recognises=recognises,
    layers=layers,
    sums=sums,
    attention=blocks.no_attention("a convnext"),
    centre=centre,
)
