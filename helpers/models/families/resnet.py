"""ResNets, and the pre-activation ResNets of BiT.

The `norm` layers of BiT include the activation.
"""

from __future__ import annotations

from typing import Any

from timm.models import ResNet, ResNetV2
from torch import nn

from helpers.models.families import blocks
from helpers.models.families.family import (
    Family,
    Layers,
    Sum,
    Sums,
    Tap,
    corner,
)

# timm's names in a residual block, in forward order, v1 and pre-activation.
V1_PARTS = {
    f"{ours}{i}": Tap(f"{theirs}{i}")
    for i in (1, 2, 3)
    for ours, theirs in (("conv", "conv"), ("norm", "bn"), ("act", "act"))
}
V2_PARTS = {
    f"{kind}{i}": Tap(f"{kind}{i}")
    for i in (1, 2, 3)
    for kind in ("norm", "conv")
}
BRANCH_ENDS = ("bn2", "bn3", "se", "drop_path")


def layers(module: Any) -> Layers:
    """List the stem, the layers of every block and the last norm."""
    if hasattr(module, "layer1"):
        found = {"stem": Tap("layer1", is_input=True)}
        stages = [f"layer{i}" for i in range(1, 5)]
    else:
        found = {"stem": Tap("stem")}
        stages = [f"stages.{i}.blocks" for i in range(len(module.stages))]
    for i, stage in enumerate(stages):
        for j, block in enumerate(module.get_submodule(stage).children()):
            parts = V1_PARTS if stage.startswith("layer") else V2_PARTS
            last = "act2" if not hasattr(block, "conv3") else "act3"
            kept = {k: tap for k, tap in parts.items() if k != last}
            name = f"stages.{i}.{j}"
            found |= blocks.inside(module, f"{stage}.{j}", name, kept)
    norm = getattr(module, "norm", None)
    if norm is not None and not isinstance(norm, nn.Identity):
        found["norm"] = Tap("norm")
    return found


def sums(module: Any, layers: Layers) -> Sums:
    """List the sum of every block, before the activation that follows it."""
    found: Sums = {}
    for out, tap in layers.items():
        if not out.endswith(".out"):
            continue
        parts = dict(module.get_submodule(tap.path).named_children())
        projected = "downsample" in parts
        path = f"{tap.path}.downsample" if projected else tap.path
        end = [part for part in BRANCH_ENDS if part in parts][-1]
        acts = [act for act in ("act2", "act3") if act in parts]
        total = Tap(f"{tap.path}.{acts[-1]}", True) if acts else tap
        own = [n for n in layers if n.startswith(out.removesuffix("out"))]
        found[own[-2]] = Sum(
            Tap(path, is_input=not projected),
            Tap(f"{tap.path}.{end}"),
            total,
            "out",
            "convolutions",
        )
    return found


FAMILY = Family(
    name="resnet",
    words=("stem", *V1_PARTS, *V2_PARTS, "out", "norm"),
    recognises=lambda module: isinstance(module, (ResNet, ResNetV2)),
    layers=layers,
    sums=sums,
    attention=blocks.no_attention("a resnet"),
    centre=corner,
)
