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
BRANCH_ENDS = ("conv2", "conv3", "bn2", "bn3", "se", "drop_path")
"""In forward order; blocks of selective kernels have a norm in each `conv`."""
LAST_ACTS = ("act", "act2", "act3")


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


def sums(module: Any, layers: Layers) -> Sums | str:
    """List the sum of every block, before the activation that follows it."""
    if isinstance(module, ResNet) and hasattr(module.layer1[0], "relu"):
        return (
            "has residual sums that no hook can take out: the activation "
            "after a sum also runs inside the branch (Res2Net)"
        )

    def having(path: str, names: tuple[str, ...]) -> list[str]:
        own = dict(module.get_submodule(path).named_children())
        return [f"{path}.{name}" for name in names if name in own]

    def skip(path: str) -> Tap:
        projected = having(path, ("downsample",))
        return Tap(projected[0]) if projected else Tap(path, is_input=True)

    def total(out: Tap) -> Tap:
        acts = having(out.path, LAST_ACTS)
        return Tap(acts[-1], is_input=True) if acts else out

    def branch(path: str) -> Tap:
        return Tap(having(path, BRANCH_ENDS)[-1])

    return blocks.one_sum(layers, skip, total, branch)


FAMILY = Family(
    name="resnet",
    words=("stem", *V1_PARTS, *V2_PARTS, "out", "norm"),
    recognises=lambda module: isinstance(module, (ResNet, ResNetV2)),
    layers=layers,
    sums=sums,
    attention=blocks.no_attention("a resnet"),
    centre=corner,
)
