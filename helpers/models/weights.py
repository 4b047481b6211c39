"""Files of weights for timm models, read without executing what they hold.

Do not use it for checkpoints in their authors' own layout; these are converted
by `helpers.models.released`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import Tensor, nn


def arguments(name: str, path: Path) -> dict[str, Any]:
    """Give timm's constructor the weights of a file, with its classes.

    Args:
        name: of the timm architecture.
        path: as `read` takes it.
    """
    state = read(path)
    config = timm.get_pretrained_cfg(name)
    heads = config.classifier if config else ""  # two in a distilled DeiT
    head = f"{heads if isinstance(heads, str) else heads[0]}.weight"
    classes = len(state[head]) if head in state else 0
    overlay = {"state_dict": state, "num_classes": classes}
    return {"num_classes": classes, "pretrained_cfg_overlay": overlay}


def read(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a file without executing anything in it.

    Args:
        path: a `.safetensors` file, or a torch file that holds only tensors,
            at the top or one level down (`state_dict`, `model`).

    Raises:
        ValueError: damaged, truncated, or holding other things.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path} is damaged, truncated or not a file of weights: {error}"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        raise ValueError(f"{path} does not hold a state dict of tensors")
    return dict(content)


def fit(
    model: nn.Module, state: Mapping[str, Tensor], source: str
) -> nn.Module:
    """Load a state dict into a module; list all that does not fit."""
    wanted = model.state_dict()
    missing = sorted(wanted.keys() - state.keys())
    surplus = sorted(state.keys() - wanted.keys())
    shapes = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in sorted(wanted.keys() & state.keys())
        if state[key].shape != wanted[key].shape
    ]
    if missing or surplus or shapes:
        raise ValueError(
            f"{source} does not fit the architecture; missing keys: "
            f"{missing}; unexpected keys: {surplus}; shapes: {shapes}"
        )
    model.load_state_dict(state)
    return model
