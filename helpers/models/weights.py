"""Files of weights for timm models, read without executing what they hold.

Do not use it for checkpoints in their authors' own layout; these are converted
by `helpers.models.released`.
"""

from __future__ import annotations

import argparse
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

CONTAINERS = ("state_dict", "model_state_dict", "model")
WRAPPERS = ("module.", "_orig_mod.", "model.")
"""Prefixes of DataParallel, `torch.compile` and Lightning."""

# What training scripts store beside the weights: options and numpy numbers.
HARMLESS: list[Any] = [
    argparse.Namespace,
    *(
        (np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar")
        for core in ("core", "_core")
    ),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64")),
]


def arguments(name: str, path: Path) -> dict[str, Any]:
    """Give timm's constructor the weights of a file, with its classes.

    Args:
        name: of the timm architecture.
        path: as `read` takes it.

    Raises:
        ValueError: as `read`, or a head that is no matrix.
    """
    state = read(path)
    config = timm.get_pretrained_cfg(name)
    heads = config.classifier if config else ""  # two in a distilled DeiT
    head = f"{heads if isinstance(heads, str) else heads[0]}.weight"
    if head in state and not state[head].ndim:
        raise ValueError(
            f"{path} does not fit {name}: {head} is a single number; expected "
            "(classes, width)"
        )
    classes = len(state[head]) if head in state else 0
    overlay = {"state_dict": state, "num_classes": classes}
    return {"num_classes": classes, "pretrained_cfg_overlay": overlay}


def content(path: Path) -> Any:
    """Read what a file holds without executing anything in it.

    Args:
        path: a `.safetensors` file, or a torch file of tensors, plain
            options (numbers, text, `argparse.Namespace`) and containers.

    Raises:
        ValueError: damaged, truncated, or holding other things.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        with torch.serialization.safe_globals(HARMLESS):
            return torch.load(
                path,
                map_location="cpu",
                weights_only=True,
                mmap=zipfile.is_zipfile(path),
            )
    except Exception as error:
        # Not chained: torch's own message advises to execute the file.
        raise ValueError(f"{path} {_reason(str(error))}") from None


def _reason(message: str) -> str:
    """Say why a file was refused, in words that lead nobody into danger."""
    if named := re.search(r"GLOBAL ([\w.]+)", message):
        return (
            f"is not a file of weights alone: it names {named[1]}, and what "
            "is neither a tensor nor a plain option may execute code; where "
            "you trust its author, save torch.save(model.state_dict(), FILE)"
        )
    if "weights_only" in message or "TorchScript" in message:
        message = "it holds other things than tensors and plain options"
    return f"is damaged, truncated or not a file of weights: {message}"


def read(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a file without executing anything in it.

    Args:
        path: as `content` takes it, with the state dict at the top or below
            one of CONTAINERS. Prefixes that wrappers put before all names
            (`module.` of DataParallel and the like) are taken off.

    Raises:
        ValueError: as `content`, or no state dict of tensors.
    """
    found = content(path)
    for key in CONTAINERS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    entries = dict(found) if isinstance(found, dict) else {}
    odd = [
        f"{key!r} is of type {type(value).__name__}"
        for key, value in entries.items()
        if not (isinstance(key, str) and isinstance(value, Tensor))
    ]
    if odd or not entries:
        raise ValueError(
            f"{path} does not hold a state dict of tensors, neither at its "
            f"top nor under {', '.join(CONTAINERS)}: "
            + (", ".join(odd[:4]) or f"it is an empty {type(found).__name__}")
        )
    for prefix in WRAPPERS * 2:  # they may be nested
        if all(key.startswith(prefix) for key in entries):
            entries = {k.removeprefix(prefix): v for k, v in entries.items()}
    return entries


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


def open_branches(module: nn.Module) -> None:
    """Set gains that start at 0, and so close a branch, to 1.

    Of norms and scales: ResNets, RegNets and Swin v2 begin with such.
    """
    for name, gain in module.named_parameters():
        scales = name.rpartition(".")[2] in ("weight", "gamma")
        if scales and gain.ndim == 1 and not gain.is_meta and not gain.any():
            nn.init.ones_(gain)
