"""Gram matrices of layers, one HSIC batch at a time.

A hook forms the (n, n) Gram matrix of a layer while the forward pass runs,
so that the images go once through each model, however many of its layers are
compared and with whatever. The HSIC batch need not be the forward batch.

For `helpers.cka`. Do not use it to keep features: nothing but Gram matrices
leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from helpers.cka.hsic import MIN_BATCH, gram
from helpers.features.layer_selection import Tokens, names
from helpers.features.record import record

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel


Side = tuple["VisionModel", str, Tokens]


def whole_batches(total: int, batch_size: int, size: int) -> int:
    """Check the batch sizes; return how many images fill whole batches.

    Args:
        total: images there are.
        batch_size: images of a forward pass.
        size: images of an HSIC batch.

    Raises:
        ValueError: sizes that do not fit each other, or too few images.
    """
    if batch_size < 1 or size < MIN_BATCH:
        raise ValueError(
            f"an HSIC batch needs at least {MIN_BATCH} images and a forward "
            f"batch at least 1, got {size} and {batch_size}"
        )
    if max(size, batch_size) % min(size, batch_size):
        near = batch_size * max(1, round(size / batch_size))
        raise ValueError(
            f"hsic_batch_size must divide batch_size ({batch_size}) or be a "
            f"multiple of it, got {size}; valid: {near}"
        )
    if total < size:
        raise ValueError(
            f"{total} images do not fill one HSIC batch of {size}; give "
            "more images or a smaller hsic_batch_size or batch_size"
        )
    return total // size * size


def stream(
    sides: Sequence[Side],
    images: Images,
    used: int,
    batch_size: int,
    size: int,
) -> Iterator[list[list[Tensor]]]:
    """Run images through models and yield the Gram matrices of their layers.

    Args:
        sides: models with a selection of their layers and tokens; a model
            may come several times and runs once.
        images: the images all are shown, in the same order.
        used: how many of them, see `whole_batches`.
        batch_size: images of a forward pass.
        size: images of an HSIC batch.

    Yields:
        For each HSIC batch: one list a side, one (size, size) matrix a layer.
    """

    def reduce(x: Tensor) -> Tensor:
        return torch.stack([gram(part) for part in torch.split(x, size)])

    inside = size <= batch_size
    models = list(dict.fromkeys(model for model, _, _ in sides))
    with ExitStack() as hooks:
        tapes = [
            hooks.enter_context(record(*side, reduce if inside else None))
            for side in sides
        ]
        orders = [names(model, wanted) for model, wanted, _ in sides]
        kept: list[list[list[Tensor]]] = []  # [forward batch][side][layer]
        for where, inputs in images.batches(*models, batch_size=batch_size):
            count = min(len(where), used - int(where[0]))
            if count <= 0:
                return
            for model, x in zip(models, inputs, strict=True):
                model(x[:count])
            kept.append(
                [
                    [tape[name] for name in order]
                    for tape, order in zip(tapes, orders, strict=True)
                ]
            )
            if inside:
                for k in range(count // size):
                    yield [[g[k] for g in side] for side in kept[0]]
                kept.clear()
            elif len(kept) * batch_size == size:
                yield [
                    [gram(torch.cat(x)) for x in zip(*side, strict=True)]
                    for side in zip(*kept, strict=True)
                ]
                kept.clear()
