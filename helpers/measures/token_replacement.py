"""Put other content into tokens of a running network, and see what changes.

What a network does without the content of some tokens says what it uses them
for. The content goes, the tokens stay: a mean keeps what is the same for all
images, noise of the same mean and spread keeps the amount, and the tokens of
another image keep what any image would bring.

A change says that the network relies on the content at that depth, not that
it is stored nowhere else; networks were not trained for such inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from helpers.features.arguments import checked
from helpers.features.layer_selection import names
from helpers.features.record import hook
from helpers.runtime.arrays import Floats
from helpers.runtime.errors import unknown

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel

MEAN, NOISE, ANOTHER = "their mean", "noise", "another image's"
WAYS = (MEAN, NOISE, ANOTHER)


@checked
@contextmanager
def replaced(
    model: VisionModel,
    layer: str,
    tokens: Sequence[int],
    way: str,
    seed: int = 0,
) -> Iterator[None]:
    """Replace tokens of a layer in the forward passes inside a `with`.

    Args:
        model: a model with tokens.
        layer: name of the layer, such as `blocks.5.out`; the later layers
            see what is put there.
        tokens: positions, prefix tokens first.
        way: `their mean` over the images of the forward pass, `noise` of the
            same mean and standard deviation in every channel, or `another
            image's` tokens, those of the next image.
        seed: of the noise.

    Raises:
        ValueError: an unknown way or layer, several layers, positions that
            the layer lacks, or a forward pass of a single image.
    """
    if way not in WAYS:
        raise unknown("way to replace tokens", way, WAYS)
    (*others, name) = names(model, layer)
    tap = model.taps[name]
    if others or tap.read or tap.is_input:
        raise ValueError(
            f"tokens can be replaced in one layer that a module puts out, "
            f"such as blocks.0.out, not in {layer!r} of {model.spec}"
        )
    draw = torch.Generator().manual_seed(seed)
    at = list(tokens)

    def put(x: Tensor) -> Tensor:
        if len(x) < 2:
            raise ValueError(
                "a mean, and another image, need two images or more in a "
                "forward pass; choose another batch_size"
            )
        if x.ndim != 3 or not all(0 <= i < x.shape[1] for i in at):
            raise ValueError(
                f"{name} of {model.spec} has shape {tuple(x.shape)}; the "
                f"positions {at} are not all among its tokens"
            )
        x = x.clone()
        old = x[:, at]
        mean = old.mean(0, keepdim=True).expand_as(old)
        if way == MEAN:
            new = mean
        elif way == NOISE:
            noise = torch.randn(old.shape, generator=draw).to(old)
            new = mean + noise * old.std(0, keepdim=True)
        else:
            new = old.roll(1, 0)
        x[:, at] = new
        return x

    module = model.module.get_submodule(tap.path)
    handle = hook(module, tap.is_input, put, first=True)
    try:
        yield
    finally:
        handle.remove()


@checked
def damage(
    model: VisionModel,
    images: Images,
    layers: str,
    tokens: Mapping[str, Sequence[int]],
    ways: Sequence[str] = WAYS,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[tuple[str, str, str], Floats]:
    """Measure how far the output moves when tokens are replaced.

    Args:
        model: as in `replaced`.
        images: n images; those beyond the last whole batch are left out.
        layers: which layers, one at a time, see `helpers.features.names`.
        tokens: any name -> positions that are replaced together.
        ways: as in `replaced`; several, one at a time.
        batch_size: images of a forward pass.
        seed: as in `replaced`.

    Returns:
        Layer, name of the tokens and way -> (images,) squared change of the
        model's output (its logits, or its features where it has no
        classifier), in units of the output's variance over images: 0 where
        nothing changes, on average 2 where the output becomes that of
        another image.

    Raises:
        ValueError: as `replaced`, too few images for a batch, or an output
            that is the same for all images.
    """
    cases = list(product(names(model, layers), tokens, ways))
    before: list[Tensor] = []
    after: dict[tuple[str, str, str], list[Tensor]] = {c: [] for c in cases}
    for where, (x,) in images.batches(
        model, batch_size=batch_size, drop_last=True
    ):
        before.append(model(x).double().cpu())
        draw = seed + int(where[0])
        for layer, name, way in cases:
            with replaced(model, layer, tokens[name], way, draw):
                after[layer, name, way].append(model(x).double().cpu())
    if not before:
        raise ValueError(
            f"{len(images)} images do not fill a batch of {batch_size}"
        )
    old = torch.cat(before)
    spread = (old - old.mean(0)).square().sum(1).mean()
    if not spread > 0:
        raise ValueError(
            f"the output of {model.spec} is the same for all images"
        )
    return {
        case: ((torch.cat(new) - old).square().sum(1) / spread).numpy()
        for case, new in after.items()
    }
