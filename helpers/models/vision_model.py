"""The one kind of model that the measurements take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
from PIL import Image
from torch import Tensor, nn

import helpers.models.input_preparation as input_preparation
import helpers.models.own_modules as own_modules
from helpers.models.families import generic
from helpers.models.families.family import Family, Grid, Tap
from helpers.models.families.recognition import recognise
from helpers.models.usable import unwrapped
from helpers.runtime import memory

LAB = "lab/"
RELEASE = "release/"


@dataclass(frozen=True, eq=False)
class VisionModel:
    """A model with all that a measurement must know of it.

    Attributes:
        spec: the string it was loaded from.
        module: the model, in eval mode.
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
        """Run a forward pass without gradients: (n, 3, h, w) -> (n, ...).

        A batch that is too large for the device goes in parts. Of a model
        that gives a dictionary or a tuple, the first tensor in it.
        """
        return memory.forward(self.module, x)


def wrap(
    module: nn.Module,
    spec: str = "",
    *,
    preprocessing: Any = None,
    layers: Sequence[str] | None = None,
) -> VisionModel:
    """Describe a model that is already in memory, of timm or of your own.

    Args:
        module: a model of timm, `transformers` or torchvision, or any module
            that takes a batch of pictures (n, 3, h, w); see
            `helpers.models.usable`. It is put into eval mode.
        spec: the name it shall go by; that of its class by default.
        preprocessing: how its pictures are prepared, see
            `helpers.models.input_preparation`; a model of timm knows.
        layers: paths of the modules to measure, see
            `helpers.models.own_modules`, in place of the layers that the
            model's family lists. Its attention and skip connections are then
            left out.

    Raises:
        TypeError: no module, or layers that are no list.
        ValueError: a module that cannot be measured; says why.

    Examples:
        >>> from torchvision.models import ResNet18_Weights, resnet18
        >>> how = ResNet18_Weights.DEFAULT.transforms()
        >>> model = wrap(resnet18(), preprocessing=how)
        >>> list(model.taps)[:2]
        ['layer1.0.out', 'layer1.1.out']
    """
    module = unwrapped(module).eval()
    spec = spec or type(module).__name__
    if preprocessing is not None or not hasattr(module, "pretrained_cfg"):
        own: Any = module  # where timm notes it as well
        known = getattr(module, "pretrained_cfg", {})
        told = input_preparation.settings(preprocessing, spec)
        own.pretrained_cfg = {**known, **told}
    family = recognise(module) if layers is None else generic.FAMILY
    # May differ from timm's entry, not from what was told.
    size = None if preprocessing else family.image_size(module)
    config = timm.data.resolve_model_data_config(
        module, args={"input_size": (3, *size)} if size else None
    )
    taps = family.layers(module) if layers is None else {}
    if not taps:
        taps = own_modules.layers_of(module, config["input_size"], layers)
    return VisionModel(
        spec=spec,
        module=module,
        family=family,
        preprocessing={key: config[key] for key in input_preparation.SETTINGS},
        transform=timm.data.create_transform(**config),
        **vars(family.layout(module)),
        taps=taps,
        device=next(module.parameters()).device,
    )
