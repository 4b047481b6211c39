"""Read the layers of a model without its registers and outliers.

A measure of flattened tokens counts each token by its length, so that a few
long ones may rule it; registers stand for no patch at all. Here a model is
described as if its layers lacked such tokens, for any measure to take.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from helpers.features.arguments import checked
from helpers.measures import norms
from helpers.models.families.family import Tap

if TYPE_CHECKING:
    from helpers.models.vision_model import VisionModel


@checked
def without(
    model: VisionModel,
    registers: bool = True,
    times: float | None = norms.TIMES,
) -> VisionModel:
    """Describe a model whose layers are read without some of their tokens.

    The network computes what it always does. Only what a measurement is
    given changes: register tokens are left out, and outliers become 0, so
    that they add nothing to a Gram matrix of flattened tokens.

    Args:
        model: a model with tokens on one grid.
        registers: leave out register tokens.
        times: leave out patches longer than so many medians; None: keep all.

    Returns:
        A description of the same module, for `cka.measure` and others.

    Raises:
        ValueError: tokens that form no grid, or a threshold that is not
            positive.
    """
    if model.grid is None:
        raise ValueError(
            f"{model.spec} has no tokens on one grid to choose among; choose "
            "a vision transformer"
        )
    if times is not None:
        norms.positive(times)
    first, last = int(model.has_class_token), model.prefix_tokens
    cut = (first, last) if registers else (last, last)

    def read(tap: Tap, module: nn.Module, x: Tensor) -> Tensor:
        x = tap.read(module, x) if tap.read else x
        if times is not None:
            x = torch.where(_outliers(x, last, times)[..., None], 0.0, x)
        return torch.cat([x[:, : cut[0]], x[:, cut[1] :]], 1)

    return replace(
        model,
        taps={
            name: replace(tap, read=partial(read, tap))
            for name, tap in model.taps.items()
        },
        prefix_tokens=last - cut[1] + cut[0],
    )


def _outliers(x: Tensor, prefix: int, times: float) -> Tensor:
    lengths = x.float().norm(dim=-1).double().cpu().numpy()
    found = norms.long(lengths, prefix, times)
    return torch.from_numpy(found).to(x.device)
