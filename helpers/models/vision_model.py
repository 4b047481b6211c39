"""The one kind of model that the measurements take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import timm
import torch
from PIL import Image
from torch import Tensor, nn

from helpers.models.families.family import Family, Grid, Tap
from helpers.models.families.recognition import recognise
from helpers.models.usable import unwrapped
from helpers.runtime import memory

LAB = "lab/"
RELEASE = "release/"
PREPROCESSING = (
    *("input_size", "mean", "std"),
    *("interpolation", "crop_pct", "crop_mode"),
)


@dataclass(frozen=True, eq=False)
class VisionModel:
    """A model with all that a measurement must know of it.

    Attributes:
        spec: the string it was loaded from.
        module: the timm model, in eval mode.
        family: what is known of its architecture; `family.name` is `vit`,
            `resnet`, `mixer` ... or `generic`.
        preprocessing: input size, mean, std, interpolation and crop, as the
            checkpoint needs them.
        transform: from a PIL image to a normalised (3, h, w) tensor.
        prefix_tokens: class and register tokens before the patch tokens.
        has_class_token: whether token 0 is a class token.
        grid: patch tokens (rows, columns), None where there are none.
        patch: patch size in pixels (height, width), None likewise.
        taps: canonical layer name -> where it is, in forward order.
        device: where the parameters are.
    """

    spec: str
    module: nn.Module
    family: Family
    preprocessing: dict[str, Any]
    transform: Callable[[Image.Image], Tensor]
    prefix_tokens: int
    has_class_token: bool
    grid: Grid | None
    patch: Grid | None
    taps: dict[str, Tap]
    device: torch.device

    @property
    def name(self) -> str:
        """The spec without its folder, for titles and legends."""
        return self.spec.removeprefix(LAB).removeprefix(RELEASE)

    @property
    def num_parameters(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.module.parameters())

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Run a forward pass without gradients: (n, 3, h, w) -> (n, k).

        A batch that is too large for the device goes in parts.
        """
        return memory.forward(self.module, x)


def wrap(module: nn.Module, spec: str) -> VisionModel:
    """Describe a timm model that is already in memory.

    Args:
        module: a timm model in eval mode; see `helpers.models.usable`.
        spec: the name it shall go by.

    Raises:
        TypeError: no module.
        ValueError: a module that cannot be measured; says why.
    """
    module = unwrapped(module)
    family = recognise(module)
    size = family.image_size(module)  # may differ from timm's entry
    config = timm.data.resolve_model_data_config(
        module, args={"input_size": (3, *size)} if size else None
    )
    return VisionModel(
        spec=spec,
        module=module,
        family=family,
        preprocessing={key: config[key] for key in PREPROCESSING},
        transform=timm.data.create_transform(**config),
        **vars(family.layout(module)),
        taps=family.layers(module),
        device=next(module.parameters()).device,
    )
