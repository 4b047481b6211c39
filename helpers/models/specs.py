"""From a model spec to a model.

A spec is a string:

- `lab/vit_cls`: a model of the bundled zoo;
- `lab/vit_cls@second/vit_cls.safetensors`: the same with the weights of
  another training;
- `natural/vit_cls`: the same trained on photographs, by the reader;
- `vit_base_patch16_224.dino`: any timm name, with or without its tag;
- `vit_small_patch14_dinov2@weights.safetensors`: a timm architecture with
  the weights of a local file;
- `release/mae_vit_b_ft`: a checkpoint as its authors released it;
- `hf:facebook/dinov2-small`: a model of the Hugging Face hub that the library
  `transformers` builds, or a folder with one.

Options follow a question mark: `resnet50?random` leaves out the trained
weights, `resnet50?random=1` draws other ones, and
`vit_small_patch16_224?random&img_size=64` also sets the image size. An
untrained model has gains of 1 where timm starts with 0, as in the last norm of
a ResNet's branch: a branch that adds nothing has no features to compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

import helpers.models.hub_models as hub_models
import helpers.models.own_modules as own_modules
import helpers.models.released as released
import helpers.models.releases as releases
import helpers.models.weights as weights
import helpers.models.zoo as zoo
from helpers.lab.architectures import NATURAL
from helpers.models.vision_model import LAB, RELEASE, VisionModel, wrap
from helpers.runtime import devices
from helpers.runtime.errors import unknown, wrong_kind

OPTIONS = ("random", "img_size")


@dataclass(frozen=True)
class _Spec:
    name: str
    path: Path | None
    random: int | None
    img_size: int | None


def _parse(spec: str) -> _Spec:
    if not isinstance(spec, str):
        hint = "a string; models.wrap takes a module that is in memory"
        raise wrong_kind("model spec", spec, hint)
    base, _, query = spec.partition("?")
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if key not in OPTIONS:
            raise unknown(f"option of the model spec {spec!r}:", key, OPTIONS)
        options[key] = value
    size, draw = options.get("img_size"), options.get("random")
    if size is not None and not (size.isdigit() and int(size) > 0):
        raise ValueError(f"img_size in {spec!r} must be a number of pixels")
    if draw and not draw.isdigit():
        raise ValueError(f"random in {spec!r} must be a seed, like random=1")
    name, at, path = base.partition("@")
    return _Spec(
        name,
        Path(path) if at else None,
        None if draw is None else int(draw or 0),
        int(size) if size else None,
    )


def check(spec: str) -> str:
    """Refuse a model spec that cannot be loaded, without loading it.

    Returns:
        The spec, unchanged.

    Raises:
        TypeError: it is no string.
        ValueError: unknown name or option; names the nearest valid ones.
        FileNotFoundError: the weights file is not there.
    """
    want = _parse(spec)
    if want.name.startswith((LAB, NATURAL)):
        family = LAB if want.name.startswith(LAB) else NATURAL
        bare = want.name.removeprefix(family)
        if bare not in zoo.NAMES:
            names = [family + name for name in zoo.NAMES]
            raise unknown("model", want.name, names)
        if want.img_size:
            raise ValueError(f"{want.name} has no img_size option")
        if want.path and not want.path.is_file():
            raise FileNotFoundError(f"no weights file at {want.path}")
        own = want.name.removeprefix(LAB)
        known = want.path or own in zoo.cards(own.removesuffix(bare))
        if want.random is None and not known:
            raise FileNotFoundError(
                f"{want.name} is not trained here yet: `vitscope train {own}`"
            )
        return spec
    elsewhere = {RELEASE: releases.get, hub_models.PREFIX: hub_models.check}
    for prefix, find in elsewhere.items():
        if want.name.startswith(prefix):
            find(want.name.removeprefix(prefix))
            if want.img_size or want.path:
                raise ValueError(
                    f"{want.name} takes neither a size nor a file"
                )
            return spec
    name, _, tag = want.name.partition(".")
    if not timm.is_model(name):
        ours = [LAB + n for n in zoo.cards()]
        ours += [RELEASE + n for n in releases.RELEASES]
        raise unknown("model", want.name, [*ours, *timm.list_models()])
    tags = timm.list_pretrained(f"{name}.*")
    if tag and want.name not in tags:
        raise unknown("pretrained tag", want.name, tags)
    if want.path is None and want.random is None and not tags:
        raise ValueError(
            f"timm has no trained weights for {name!r}; "
            f"use '{name}?random' or '{name}@file.safetensors'"
        )
    if want.path and not want.path.is_file():
        raise FileNotFoundError(f"no weights file at {want.path}")
    return spec


def untrained(spec: str, draw: int = 0) -> str:
    """Name the same architecture with untrained weights.

    Args:
        spec: of any model.
        draw: of the weights.

    Raises:
        ValueError: an unknown option.
    """
    want = _parse(spec)
    size = f"&img_size={want.img_size}" if want.img_size else ""
    seed = f"={draw}" if draw else ""
    return f"{want.name}?random{seed}{size}"


def is_untrained(spec: str) -> bool:
    """Tell whether a spec leaves out the trained weights."""
    return _parse(spec).random is not None


def load(spec: str, device: str | torch.device | None = None) -> VisionModel:
    """Load a model from its spec.

    Args:
        spec: see the module's description.
        device: where to put it; the best one here by default.

    Raises:
        ValueError: unknown spec, a device that is not here, or a checkpoint
            that is damaged or does not fit (missing and unexpected keys
            listed).
        FileNotFoundError: the weights file is not there.
        ConnectionError: the weights could not be fetched.
    """
    want = _parse(check(spec))
    where = devices.named(device) if device else devices.pick()
    prepared = None
    if want.name.startswith((LAB, NATURAL)):
        name = want.name.removeprefix(LAB)
        with _fixed_seed(want.random):
            module = zoo.build(name)
        if want.path and want.random is None:
            state = weights.read(want.path)
            weights.fit(module, state, str(want.path))
        elif want.random is None:
            module = zoo.load(name)
    elif want.name.startswith(RELEASE):
        name = want.name.removeprefix(RELEASE)
        source = released.build if want.random is not None else released.load
        with _fixed_seed(want.random):
            module = source(name)
    elif want.name.startswith(hub_models.PREFIX):
        repo = want.name.removeprefix(hub_models.PREFIX)
        with _fixed_seed(want.random):
            module, prepared = hub_models.load(repo, want.random is None)
    else:
        module = _timm_model(want, spec)
    if want.random is not None:
        weights.open_branches(module)
    return wrap(module.to(where), spec, preprocessing=prepared)


def _timm_model(want: _Spec, spec: str) -> nn.Module:
    arguments: dict[str, Any] = {}
    if want.img_size:
        arguments["img_size"] = want.img_size
    if want.path:
        arguments |= weights.arguments(want.name, want.path)
    try:
        with _fixed_seed(want.random):
            model: nn.Module = timm.create_model(
                want.name, pretrained=want.random is None, **arguments
            )
    except Exception as error:
        if isinstance(error, TypeError) and want.img_size:
            raise ValueError(f"{want.name} has no img_size option") from error
        if want.img_size and not isinstance(error, OSError):
            raise ValueError(
                f"{want.name} cannot be made for images of {want.img_size} "
                f"pixels ({error}); choose a size that its patches and "
                "windows divide"
            ) from error
        if want.path:
            raise ValueError(
                f"{want.path} does not fit {want.name}: {error}"
            ) from error
        if not isinstance(error, OSError):
            raise
        raise ConnectionError(
            f"the weights of {spec!r} could not be fetched ({error}); "
            f"use '{want.name}@file.safetensors' or '{want.name}?random'"
        ) from error
    if want.img_size and not next(model.parameters()).is_meta:
        usual = timm.data.resolve_model_data_config(model)["input_size"][-1]
        hint = f"its patches and windows must divide them, as they do {usual}"
        size = (3, want.img_size, want.img_size)
        own_modules.run(model.eval(), size, hint)
        own: Any = model  # not every model notes its size itself
        own.pretrained_cfg = {**own.pretrained_cfg, "input_size": size}
    return model


@contextmanager
def _fixed_seed(draw: int | None) -> Iterator[None]:
    """Untrained weights of one draw are the same at every load."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw or 0)
        yield
