"""Which modules can be measured: wrappers come off, the rest is refused.

A measurement hooks the layers of the module itself, feeds it RGB pictures and
computes in float32 or better. What cannot be measured like that is refused
here, by name, and not by an error from deep inside a forward pass.
"""

from typing import Any

import torch
from torch import nn

from helpers.runtime.errors import wrong_kind

WRAPPERS = (["_orig_mod"], ["module"])  # torch.compile and DataParallel
HALF = (torch.float16, torch.bfloat16)


def unwrapped(module: object) -> nn.Module:
    """Return the module to measure.

    Args:
        module: a model, also compiled by `torch.compile` or inside
            `DataParallel`; then the model inside is returned, which shares
            its weights. Of a model of images and text in `transformers`,
            the part that sees.

    Raises:
        TypeError: something else than a module.
        ValueError: a module without parameters, in half precision, of
            another number of input channels than 3, or one that takes
            patches in place of pictures.
    """
    if not isinstance(module, nn.Module):
        hint = "a torch.nn.Module (models.load takes the name of one)"
        raise wrong_kind("model", module, hint)
    while list(module._modules) in WRAPPERS:
        (module,) = module.children()
    if type(module).__module__.startswith("transformers."):
        module = _vision_part(module)
    kinds = {parameter.dtype for parameter in module.parameters()}
    if not kinds:
        raise ValueError(
            f"{type(module).__name__} has no parameters; there is nothing "
            "in it to measure"
        )
    if half := kinds.intersection(HALF):
        raise ValueError(
            f"{type(module).__name__} is in half precision ({half.pop()}), "
            "but is measured in float32: give module.float()"
        )
    channels = _input_channels(module)
    if channels != 3:
        raise ValueError(
            f"{type(module).__name__} takes images of {channels} channel(s), "
            "but pictures are RGB: make it with in_chans=3"
        )
    return module


def _vision_part(module: nn.Module) -> nn.Module:
    """Return the part of a model of `transformers` that sees."""
    for name in ("vision_model", "timm_model"):  # beside a text model; inside
        inner = getattr(module, name, None)
        if isinstance(inner, nn.Module):
            return _vision_part(inner)
    config: Any = getattr(module, "config", None)
    if getattr(config, "model_type", "") == "siglip2_vision_model":
        raise ValueError(
            f"{type(module).__name__} takes patches in varying numbers "
            "(NaFlex), not pictures of one size, and has no common grid; "
            "choose a SigLIP of one size, such as "
            "vit_base_patch16_siglip_224.v2_webli of timm"
        )
    return module


def _input_channels(module: nn.Module) -> int:
    """Return the channels of a timm model's first convolution, if known."""
    config: Any = getattr(module, "pretrained_cfg", None) or {}
    first = config.get("first_conv") or ()
    names = (first,) if isinstance(first, str) else first
    layers = dict(module.named_modules())
    convolutions = [layers[name] for name in names if name in layers]
    return int(getattr((convolutions or [None])[0], "in_channels", 3))
