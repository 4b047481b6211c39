"""Model specs, and the one kind of model that the measurements take.

A spec is a string:

- `lab/vit_cls`: a model of the bundled zoo;
- `natural/vit_cls`: the same trained on photographs, by the reader;
- `vit_base_patch16_224.dino`: any timm name, with or without its tag;
- `vit_small_patch14_dinov2@weights.safetensors`: a timm architecture with
  the weights of a local file;
- `release/mae_vit_b_ft`: a checkpoint as its authors released it.

Options follow a question mark: `resnet50?random` leaves out the trained
weights, `vit_small_patch16_224?random&img_size=64` also sets the image size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from torch import Tensor, nn

from helpers import checkpoints, devices, memory, releases, taps, weights, zoo
from helpers.architectures import NATURAL
from helpers.choices import unknown

LAB = "lab/"
RELEASE = "release/"
OPTIONS = ("random", "img_size")
RANDOM_SEED = 0
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
        family: `vit`, `resnet`, `mixer` or `other`.
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
    family: str
    preprocessing: dict[str, Any]
    transform: Callable[[Image.Image], Tensor]
    prefix_tokens: int
    has_class_token: bool
    grid: tuple[int, int] | None
    patch: tuple[int, int] | None
    taps: dict[str, taps.Tap]
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


@dataclass(frozen=True)
class _Spec:
    name: str
    path: Path | None
    random: bool
    img_size: int | None


def _parse(spec: str) -> _Spec:
    base, _, query = spec.partition("?")
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if key not in OPTIONS:
            raise unknown(f"option of the model spec {spec!r}:", key, OPTIONS)
        options[key] = value
    size = options.get("img_size")
    if size is not None and not (size.isdigit() and int(size) > 0):
        raise ValueError(f"img_size in {spec!r} must be a number of pixels")
    name, at, path = base.partition("@")
    return _Spec(
        name,
        Path(path) if at else None,
        "random" in options,
        int(size) if size else None,
    )


def check(spec: str) -> str:
    """Refuse a model spec that cannot be loaded, without loading it.

    Returns:
        The spec, unchanged.

    Raises:
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
        own = want.name.removeprefix(LAB)
        if not want.random and own not in zoo.cards(own.removesuffix(bare)):
            raise FileNotFoundError(
                f"{want.name} is not trained here yet: `vitscope train {own}`"
            )
        if want.img_size or want.path:
            raise ValueError(f"{want.name} takes neither a size nor a file")
        return spec
    if want.name.startswith(RELEASE):
        releases.get(want.name.removeprefix(RELEASE))
        if want.img_size or want.path:
            raise ValueError(f"{want.name} takes neither a size nor a file")
        return spec
    name, _, tag = want.name.partition(".")
    if not timm.is_model(name):
        ours = [LAB + n for n in zoo.cards()]
        ours += [RELEASE + n for n in releases.RELEASES]
        raise unknown("model", want.name, [*ours, *timm.list_models()])
    tags = timm.list_pretrained(f"{name}.*")
    if tag and want.name not in tags:
        raise unknown("pretrained tag", want.name, tags)
    if want.path is None and not want.random and not tags:
        raise ValueError(
            f"timm has no trained weights for {name!r}; "
            f"use '{name}?random' or '{name}@file.safetensors'"
        )
    if want.path and not want.path.is_file():
        raise FileNotFoundError(f"no weights file at {want.path}")
    return spec


def untrained(spec: str) -> str:
    """Name the same architecture with untrained weights.

    Raises:
        ValueError: an unknown option.
    """
    want = _parse(spec)
    size = f"&img_size={want.img_size}" if want.img_size else ""
    return f"{want.name}?random{size}"


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
    if want.name.startswith((LAB, NATURAL)):
        name = want.name.removeprefix(LAB)
        with _fixed_seed():
            module = zoo.build(name) if want.random else zoo.load(name)
    elif want.name.startswith(RELEASE):
        name = want.name.removeprefix(RELEASE)
        source = checkpoints.build if want.random else checkpoints.load
        with _fixed_seed():
            module = source(name)
    else:
        module = _timm_model(want, spec)
    return wrap(module.eval().to(where), spec)


def wrap(module: nn.Module, spec: str) -> VisionModel:
    """Describe a timm model that is already in memory.

    Args:
        module: a timm model in eval mode.
        spec: the name it shall go by.
    """
    family = _family(module)
    prefix = int(getattr(module, "num_prefix_tokens", 0))
    patches = timm.layers.PatchEmbed
    embed = next(
        (m for m in module.children() if isinstance(m, patches)), None
    )
    size = getattr(embed, "img_size", None)  # may differ from timm's entry
    config = timm.data.resolve_model_data_config(
        module, args={"input_size": (3, *size)} if size else None
    )
    tokens = family in ("vit", "mixer")
    return VisionModel(
        spec=spec,
        module=module,
        family=family,
        preprocessing={key: config[key] for key in PREPROCESSING},
        transform=timm.data.create_transform(**config),
        prefix_tokens=prefix,
        has_class_token=getattr(module, "cls_token", None) is not None,
        grid=tuple(embed.grid_size) if embed and tokens else None,
        patch=tuple(embed.patch_size) if embed and tokens else None,
        taps=taps.taps(module, family),
        device=next(module.parameters()).device,
    )


def _family(module: nn.Module) -> str:
    kinds = timm.models
    if isinstance(module, kinds.VisionTransformer) and all(
        isinstance(block, kinds.vision_transformer.Block)
        for block in module.blocks
    ):
        return "vit"
    if isinstance(module, (kinds.ResNet, kinds.ResNetV2)):
        return "resnet"
    if isinstance(module, kinds.mlp_mixer.MlpMixer) and all(
        isinstance(block, kinds.mlp_mixer.MixerBlock)
        for block in module.blocks
    ):
        return "mixer"
    return "other"


def _timm_model(want: _Spec, spec: str) -> nn.Module:
    arguments: dict[str, Any] = {}
    if want.img_size:
        arguments["img_size"] = want.img_size
    if want.path:
        arguments |= weights.arguments(want.name, want.path)
    try:
        with _fixed_seed():
            model: nn.Module = timm.create_model(
                want.name, pretrained=not want.random, **arguments
            )
    except RuntimeError as error:
        if want.path is None:
            raise
        raise ValueError(
            f"{want.path} does not fit {want.name}: {error}"
        ) from error
    except TypeError as error:
        if want.img_size is None:
            raise
        raise ValueError(f"{want.name} has no img_size option") from error
    except OSError as error:
        raise ConnectionError(
            f"the weights of {spec!r} could not be fetched ({error}); "
            f"use '{want.name}@file.safetensors' or '{want.name}?random'"
        ) from error
    return model


@contextmanager
def _fixed_seed() -> Iterator[None]:
    """Untrained weights are the same at every load."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        yield
