"""Effective receptive fields: which pixels a position of a layer answers to.

The field of a layer is the absolute gradient of each of its channels at one
position with respect to every value of the input,

    E(p) = mean_i mean_c sum_rgb | d z_c(x_i) / d x_i[rgb, p] |,

averaged over channels c and images i (after Luo et al. 2016; Raghu et
al. 2021, section 5, figures 6 and C.1-C.4). The input is the normalised
image, so fields of models with different preprocessing differ in scale; read
their shape. The absolute value is taken channel by channel: the gradient of
the sum of the channels, one backward pass in all, lets them cancel.

Do not use it to explain one prediction: it says where a layer is sensitive,
not which evidence it uses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from helpers.features.arguments import checked, settings_of
from helpers.features.layer_selection import depth, names
from helpers.features.record import record
from helpers.measures.field_statistics import Fields
from helpers.measures.layer_positions import Point, centres_of, take_position
from helpers.runtime import memory

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel


def branches(model: VisionModel) -> dict[str, str]:
    """Name what a block adds to its skip connection, and the sums.

    Returns:
        The last part of a branch's canonical name -> that of the sum it goes
        into, in forward order: `attn` and `fc2` into `mid` and `out` in a
        ViT, `mix` and `fc2` in a Mixer, the last norm or convolution of a
        block into `out` in a ResNet, and none in families whose sums are not
        known.
    """
    sums = model.family.sums(model.module, model.taps)
    if isinstance(sums, str):
        return {}
    return {name.rsplit(".", 1)[-1]: each.into for name, each in sums.items()}


@checked
def fields(
    model: VisionModel,
    images: Images,
    layers: str = "out",
    position: Point = (0.5, 0.5),
    channels: int | None = None,
    patch: tuple[int, int] | None = None,
    batch_size: int = 16,
    seed: int = 0,
) -> Fields:
    """Measure the effective receptive fields of a position of each layer.

    A backward pass serves `batch_size` pairs of image and channel at once
    (fewer where memory is short), and stops at the input: no gradient of a
    parameter is computed.

    Args:
        model: the model, in eval mode.
        images: the images to average over; the papers take 32.
        layers: which layers, see `helpers.features.names`.
        position: how far down and right in the image, as fractions; the
            cell of a layer's grid that covers this point is taken. In the
            centre of an even grid, which has no middle cell, that is row
            h // 2, column w // 2.
        channels: by default all channels of a layer. A number draws that
            many without replacement, separately for each layer and image; the
            field stays unbiased, and its standard error over images then
            covers the draw too. Layers with fewer channels use all.
        patch: height and width in pixels of the square that counts as the
            centre's own patch; by default the patch of the model, or for
            one without patches a sixteenth of the image's width.
        batch_size: gradients computed at once.
        seed: which channels are drawn.

    Raises:
        ValueError: unknown layers, a position outside the image, a number
            of channels below 1, or a layer without positions.
    """
    start = time.perf_counter()
    if not all(0 <= fraction < 1 for fraction in position):
        raise ValueError(
            f"a position is two fractions from 0 to below 1, got {position}"
        )
    if channels is not None and channels < 1:
        raise ValueError(f"channels must be positive or None, got {channels}")
    chosen = names(model, layers)
    generator = torch.Generator().manual_seed(seed)
    kept: dict[str, list[Tensor]] = {name: [] for name in chosen}
    centres: dict[str, tuple[float, float]] = {}
    with tqdm(
        total=len(images) * len(chosen), desc="fields", disable=None
    ) as bar:
        for _, (x,) in images.batches(model, batch_size=batch_size):
            centres = centres or centres_of(model, layers, x[:1], position)

            @cache
            def draw(_: str, width: int, n: int = len(x)) -> Tensor:
                noise = torch.rand(n, width, generator=generator)
                return noise.argsort(1)[:, : min(channels or width, width)]

            pick = partial(take_position, model, x.shape[2:], position)
            of_batch = partial(_of_batch, model, layers, x, pick, draw)
            found = memory.fitting(batch_size, of_batch)
            for name in chosen:
                kept[name].append(found[name])
                bar.update(len(x))
    maps = torch.stack([torch.cat(kept[name]) for name in chosen]).numpy()
    return Fields(
        layers=tuple(chosen),
        depths=np.array([depth(model, name) for name in chosen]),
        maps=maps,
        centres=np.array([centres[name] for name in chosen]),
        patch=patch or model.patch or (maps.shape[3] // 16,) * 2,
        settings={
            "model": model.spec,
            **settings_of(images),
            "layers": layers,
            "position": position,
            "channels": channels or "all",
            "batch_size": batch_size,
            "seed": seed,
            "device": str(model.device),
            "seconds": time.perf_counter() - start,
        },
    )


def _of_batch(
    model: VisionModel,
    layers: str,
    x: Tensor,
    pick: Callable[[Tensor], Tensor],
    draw: Callable[[str, int], Tensor],
    size: int,
) -> dict[str, Tensor]:
    """Measure the fields of each image of a batch.

    Args:
        model: the model.
        layers: which layers.
        x: (n, 3, h, w).
        pick: takes one position out of a layer.
        draw: layer and its width -> (n, k) channels of each image.
        size: pairs of image and channel at once.

    Returns:
        Layer name to (n, h, w), in main memory.
    """
    found: dict[str, list[Tensor]] = {n: [] for n in names(model, layers)}
    for rows in torch.split(torch.arange(len(x)), size):
        copies = max(1, size // len(rows))
        inputs = x[rows].repeat(copies, 1, 1, 1).requires_grad_()
        with (
            torch.enable_grad(),
            record(model, layers, "each", pick) as tape,
        ):
            model.module(inputs)
        for name, fields in found.items():
            z = tape.pop(name)
            drawn = draw(name, z.shape[1])[rows].to(z.device)
            field = _absolute_gradients(z, inputs, drawn, copies)
            fields.append((field / drawn.shape[1]).cpu())
    return {name: torch.cat(fields) for name, fields in found.items()}


@torch.enable_grad()
def _absolute_gradients(
    z: Tensor, inputs: Tensor, drawn: Tensor, copies: int
) -> Tensor:
    """Sum absolute gradients over channels and colours.

    Args:
        z: (copies * n, d) outputs, image i in rows i, n + i, ...
        inputs: (copies * n, 3, h, w) what they were computed from.
        drawn: (n, k) the channels of each image.
        copies: how often each image was repeated.

    Returns:
        (n, h, w).
    """
    n = len(drawn)
    field = inputs.new_zeros(n, *inputs.shape[2:])
    for part in torch.split(drawn, copies, dim=1):
        seeds = part.T.flatten()  # as many as there are copies, or fewer
        rows = torch.arange(len(seeds), device=z.device)
        (gradient,) = torch.autograd.grad(
            z[rows, seeds].sum(), inputs, retain_graph=True
        )
        field += gradient.abs().sum(1).view(copies, *field.shape).sum(0)
    return field
