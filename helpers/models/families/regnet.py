"""RegNet X, Y, Z and V.

`norm` layers include the activation, except the last of a block. Some blocks
of RegNet Z change the size of the map and have no skip connection. In RegNet
V the skip starts after the first norm.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from timm.models.regnet import Bottleneck, PreBottleneck, RegNet
from torch import nn

from helpers.models.families import blocks
from helpers.models.families.family import (
    Family,
    Layers,
    Sums,
    Tap,
    corner,
)

AFTER = {
    **{
        f"{ours}{i}": Tap(f"conv{i}.{theirs}")
        for i in (1, 2)
        for ours, theirs in (("conv", "conv"), ("norm", "bn"))
    },
    "se": Tap("se"),
    "conv3": Tap("conv3.conv"),
    "norm3": Tap("conv3.bn"),
}
BEFORE = {
    **{
        f"{kind}{i}": Tap(f"{kind}{i}")
        for i in (1, 2)
        for kind in ("norm", "conv")
    },
    "se": Tap("se"),
    "norm3": Tap("norm3"),
    "conv3": Tap("conv3"),
}
STAGES = ("s1", "s2", "s3", "s4")


def layers(module: Any) -> Layers:
    """List the stem, the layers of every block and what ends the network."""
    found = {"stem": Tap("stem")}
    for i, stage in enumerate(STAGES):
        for j, (name, block) in enumerate(
            module.get_submodule(stage).named_children()
        ):
            parts = dict(BEFORE if type(block) is PreBottleneck else AFTER)
            if isinstance(block.se, nn.Identity):
                parts.pop("se")
            found |= blocks.inside(
                module, f"{stage}.{name}", f"stages.{i}.{j}", parts
            )
    if not isinstance(module.final_conv, nn.Identity):
        found["final"] = Tap("final_conv")
    return found


def sums(module: Any, layers: Layers) -> Sums:
    """List the sum of every block that has one, before its activation."""

    def total(out: Tap) -> Tap:
        block = module.get_submodule(out.path)
        if type(block) is PreBottleneck:
            return out
        return replace(out, path=f"{out.path}.act3", is_input=True)

    found = blocks.one_sum(
        layers, lambda path: Tap(f"{path}.downsample"), total
    )
    return {
        name: each
        for name, each in found.items()
        if each.skip.path in dict(module.named_modules())
    }


FAMILY = Family(
    name="regnet",
    words=("stem", *AFTER, "out", "final"),
    recognises=lambda module: (
        isinstance(module, RegNet)
        and all(
            type(block) in (Bottleneck, PreBottleneck)
            for stage in STAGES
            for block in module.get_submodule(stage).children()
        )
    ),
    layers=layers,
    sums=sums,
    attention=blocks.no_attention("a regnet"),
    centre=corner,
)
