"""Centred kernel alignment (CKA) of layers, unbiased, in minibatches.

CKA asks whether two layers find the same images alike: it correlates their
(n, n) Gram matrices. A minibatch leaves only HSIC values behind, so any
number of images fits:

    CKA = mean_b HSIC_1(K_b, L_b)
          / sqrt(mean_b HSIC_1(K_b, K_b) * mean_b HSIC_1(L_b, L_b))

HSIC_1 is unbiased and may be negative; it is averaged first and divided
last, and nothing is clipped (Shekhar et al. 2022, equations 2-4; Nguyen et
al. 2021, section 2).

Do not read CKA as "the same function" or "the same neurons": it ignores
rotations and scale, and the directions of most variance dominate it. Do not
compare values across tokens or image sets.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from helpers.hsic import MIN_BATCH, gram, hsic1
from helpers.layers import Tokens, depth, names, record
from helpers.minibatch import Floats, MinibatchCKA, Similarity

if TYPE_CHECKING:
    from helpers.images import Images
    from helpers.models import VisionModel

__all__ = [
    "Comparison",
    "MinibatchCKA",
    "Similarity",
    "compare",
    "gram",
    "hsic1",
    "measure",
]

Side = tuple["VisionModel", str, Tokens]


@dataclass(frozen=True, eq=False)
class Comparison(Similarity):
    """The CKA of the layers of two models, and how it was measured.

    Attributes:
        depths_x: (layers of x,) depth of each in its model, 0 to 1.
        depths_y: the same of y.
        settings: models, images, layers, tokens, batch sizes, cost.
    """

    depths_x: Floats
    depths_y: Floats
    settings: dict[str, Any]

    def table(self) -> pd.DataFrame:
        """Write one row a pair of layers; the settings are in `attrs`.

        The columns are `layer_x`, `layer_y`, `cka`, `se`, `depth_x` and
        `depth_y`.
        """
        table = super().table()
        table["depth_x"] = np.repeat(self.depths_x, len(self.layers_y))
        table["depth_y"] = np.tile(self.depths_y, len(self.layers_x))
        table.attrs.update(self.settings)
        return table


def compare(
    model_x: VisionModel,
    model_y: VisionModel | None,
    images: Images,
    layers: str | tuple[str, str] = "out",
    tokens: Tokens | tuple[Tokens, Tokens] = "all",
    batch_size: int = 32,
    hsic_batch_size: int | None = None,
) -> pd.DataFrame:
    """Measure the CKA of all pairs of layers of two models, as a table.

    The arguments and errors are those of `measure`, the columns those of
    `Comparison.table`.
    """
    found = measure(
        model_x, model_y, images, layers, tokens, batch_size, hsic_batch_size
    )
    return found.table()


def measure(
    model_x: VisionModel,
    model_y: VisionModel | None,
    images: Images,
    layers: str | tuple[str, str] = "out",
    tokens: Tokens | tuple[Tokens, Tokens] = "all",
    batch_size: int = 32,
    hsic_batch_size: int | None = None,
) -> Comparison:
    """Measure the CKA of all pairs of layers of two models, in one pass.

    Gram matrices are formed inside the forward pass; within one model that
    pass runs once. Images beyond the last whole HSIC batch are left out.

    Args:
        model_x: the first model.
        model_y: the second; None or `model_x` for one model with itself.
        images: the images both are shown, in the same order.
        layers: which layers, see `helpers.layers.names`; a pair for a choice
            a model.
        tokens: which tokens, see `helpers.layers.record`; or a pair.
        batch_size: images of a forward pass.
        hsic_batch_size: images of a Gram matrix: a divisor of `batch_size`
            (its value by default), or a multiple, for which the features of
            one HSIC batch are kept in memory.

    Returns:
        The map with its standard errors, by the delete-one jackknife over
        HSIC batches, and its settings.

    Raises:
        ValueError: batch sizes that do not fit each other, fewer images than
            one HSIC batch, unknown layers or tokens, features that are NaN
            or infinite.
    """
    start = time.perf_counter()
    size = batch_size if hsic_batch_size is None else hsic_batch_size
    used = _images_used(len(images), batch_size, size)
    model_y = model_x if model_y is None else model_y
    layers_x, layers_y = layers if isinstance(layers, tuple) else [layers] * 2
    tokens_x, tokens_y = tokens if isinstance(tokens, tuple) else [tokens] * 2
    sides: list[Side] = [
        (model_x, layers_x, tokens_x),
        (model_y, layers_y, tokens_y),
    ]
    names_x, names_y = names(model_x, layers_x), names(model_y, layers_y)
    engine = MinibatchCKA(names_x, names_y)
    if sides[0] == sides[1]:
        sides.pop()
    with tqdm(total=used, desc="CKA", unit="image", disable=None) as bar:
        for grams in _gram_batches(sides, images, used, batch_size, size):
            engine.update_grams(*grams)
            bar.update(size)
    result = engine.compute()
    return Comparison(
        **vars(result),
        depths_x=np.array([depth(model_x, name) for name in names_x]),
        depths_y=np.array([depth(model_y, name) for name in names_y]),
        settings={
            "model_x": model_x.spec,
            "model_y": model_y.spec,
            "images": images.spec,
            "split": images.split,
            "num_images": used,
            "dropped_images": len(images) - used,
            "layers": layers,
            "tokens": tokens,
            "batch_size": batch_size,
            "hsic_batch_size": size,
            "hsic_batches": result.batches,
            "device": str(model_x.device),
            "seconds": time.perf_counter() - start,
        },
    )


def _gram_batches(
    sides: list[Side], images: Images, used: int, batch_size: int, size: int
) -> Iterator[list[list[Tensor]]]:
    """Yield the Gram matrices of each HSIC batch: one list a side."""

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


def _images_used(total: int, batch_size: int, size: int) -> int:
    """Check the batch sizes; return how many images fill whole batches."""
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
