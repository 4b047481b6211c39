"""Gram matrices kept: for questions that ask for the same ones many times.

A map needs each Gram matrix once, and `cka.measure` forgets it at once. Which
images a map rests on, and what it would be by chance, is asked again and
again. Do not keep them for minibatches of a thousand images and many layers:
12 layers of 1,024 images take 1.6 MB in minibatches of 32, 50 MB in one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from tqdm import tqdm

from helpers.cka.comparison import Similarity
from helpers.cka.hsic import check_grams, gram, u_products
from helpers.cka.minibatch import divide
from helpers.cka.streaming import whole_batches
from helpers.features.arguments import checked
from helpers.features.layer_selection import Tokens, names
from helpers.features.record import record
from helpers.images.image_set import Images
from helpers.models.vision_model import VisionModel

Change = Callable[[Tensor, int], Tensor]
"""Takes the tokens of a minibatch (n, tokens, width) and how many of them
stand before the patches; returns them changed."""


@dataclass(frozen=True, eq=False)
class Grams:
    """The Gram matrices of the layers of one model.

    Attributes:
        layers: names of the layers, or their numbers from 1.
        values: for each minibatch (layers, n, n), on the CPU.
        images: for each minibatch (n,) the positions of its images.
    """

    layers: Sequence[str | int]
    values: Sequence[Tensor]
    images: Sequence[Tensor]

    def without(self, images: ArrayLike) -> Grams:
        """Leave images out, by position; their minibatches get smaller.

        Raises:
            ValueError: fewer than 4 images would remain in a minibatch.
        """
        gone = torch.as_tensor(np.asarray(images, np.int64))
        kept = [~torch.isin(own, gone) for own in self.images]
        values = [
            g[:, k][:, :, k] for g, k in zip(self.values, kept, strict=True)
        ]
        for value in values:
            check_grams(value)
        left = [i[k] for i, k in zip(self.images, kept, strict=True)]
        return replace(self, values=values, images=left)

    def cut(self, size: int) -> Grams:
        """Cut minibatches into smaller ones: blocks of the same matrices.

        Raises:
            ValueError: a size that does not divide every minibatch.
        """
        sizes = sorted({len(own) for own in self.images})
        if size < 1 or any(n % size for n in sizes):
            raise ValueError(
                f"{size} images do not divide minibatches of {sizes}"
            )
        values = [
            g[:, i : i + size, i : i + size]
            for g in self.values
            for i in range(0, g.shape[1], size)
        ]
        images = [part for i in self.images for part in torch.split(i, size)]
        return replace(self, values=values, images=images)

    def each(self) -> list[Grams]:
        """Return every minibatch as a set of its own."""
        return [
            replace(self, values=[g], images=[i])
            for g, i in zip(self.values, self.images, strict=True)
        ]


def of_features(features: Sequence[ArrayLike], batch_size: int) -> Grams:
    """Make the Gram matrices of features that are at hand.

    Args:
        features: one (n, ...) array a layer, of the same images.
        batch_size: images in a minibatch, at least 4; an incomplete last one
            is left out.

    Raises:
        ValueError: fewer images than one minibatch.
    """
    layers = [torch.as_tensor(np.asarray(layer)) for layer in features]
    used = whole_batches(len(layers[0]), batch_size, batch_size)
    parts = torch.split(torch.arange(used), batch_size)
    values = [torch.stack([gram(x[part]) for x in layers]) for part in parts]
    return Grams(range(1, len(layers) + 1), values, parts)


def collect(
    models: Mapping[str, VisionModel],
    images: Images,
    layers: str = "out",
    tokens: Tokens = "all",
    batch_size: int = 32,
) -> dict[str, Grams]:
    """Run images through models and keep the Gram matrices of their layers.

    Args:
        models: any name -> model.
        images: the images all are shown, in the same order.
        layers: as in `cka.measure`.
        tokens: as in `cka.measure`.
        batch_size: images in a minibatch, at least 4; an incomplete last one
            is left out.

    Returns:
        Name -> Gram matrices.

    Raises:
        ValueError: as `cka.measure`.
    """
    (found,) = _collect(
        models, images, {"": None}, layers, tokens, batch_size
    ).values()
    return found


def collect_changed(
    models: Mapping[str, VisionModel],
    images: Images,
    changes: Mapping[str, Change | None],
    layers: str = "out",
    batch_size: int = 32,
) -> dict[str, dict[str, Grams]]:
    """Keep the Gram matrices of features, changed in several ways.

    One forward pass serves all changes; tokens are flattened after them.

    Args:
        models: as in `collect`.
        images: as in `collect`.
        changes: any name -> change (see `helpers.cka.feature_changes`), or
            None for the features as they are.
        layers: as in `collect`; they need token positions.
        batch_size: as in `collect`.

    Returns:
        Name of the change -> name of the model -> Gram matrices.

    Raises:
        ValueError: as `cka.measure`, or a layer without token positions.
    """
    return _collect(models, images, changes, layers, "each", batch_size)


@checked
def _collect(
    models: Mapping[str, VisionModel],
    images: Images,
    changes: Mapping[str, Change | None],
    layers: str,
    tokens: Tokens,
    batch_size: int,
) -> dict[str, dict[str, Grams]]:
    used = whole_batches(len(images), batch_size, batch_size)

    def reduce(prefix: int) -> Callable[[Tensor], Tensor]:
        return lambda x: torch.stack(
            [gram(c(x, prefix) if c else x).cpu() for c in changes.values()]
        )

    kept: dict[str, list[Tensor]] = {name: [] for name in models}
    parts = torch.split(torch.arange(used), batch_size)
    with ExitStack() as hooks:
        tapes = {
            name: hooks.enter_context(
                record(model, layers, tokens, reduce(model.prefix_tokens))
            )
            for name, model in models.items()
        }
        bar = hooks.enter_context(
            tqdm(total=used, desc="CKA", unit="image", disable=None)
        )
        for where, inputs in images.part(slice(used)).batches(
            *models.values(), batch_size=batch_size
        ):
            for (name, model), x in zip(models.items(), inputs, strict=True):
                model(x)
                order = names(model, layers)
                tape = [tapes[name][layer] for layer in order]
                kept[name].append(torch.stack(tape, 1))
            bar.update(len(where))
    return {
        change: {
            name: Grams(
                names(model, layers), [g[k] for g in kept[name]], parts
            )
            for name, model in models.items()
        }
        for k, change in enumerate(changes)
    }


def similarity(x: Grams, y: Grams) -> Similarity:
    """Measure minibatch CKA on Gram matrices that are there.

    Minibatches may differ in size, as after `Grams.without`: HSIC_1 is
    unbiased in each, so their mean is.

    Returns:
        The map that `cka.measure` makes of the same images.

    Raises:
        ValueError: Gram matrices of different minibatches.
    """
    check_pair(x, y)
    products = [
        [h.numpy() for h in u_products(a, b)]
        for a, b in zip(x.values, y.values, strict=True)
    ]
    cka, left_out = divide(*map(np.stack, zip(*products, strict=True)))
    size = max(map(len, x.images))
    return Similarity(cka, left_out, size, x.layers, y.layers)


def check_pair(x: Grams, y: Grams) -> None:
    """Raise ValueError for different images or minibatches."""
    same = len(x.images) == len(y.images) and all(
        torch.equal(a, b) for a, b in zip(x.images, y.images, strict=True)
    )
    if not same:
        sizes = [
            f"{sum(map(len, g.images))} in {len(g.images)}" for g in (x, y)
        ]
        raise ValueError(
            "both sides need the same images in the same minibatches, got "
            f"{sizes[0]} and {sizes[1]} minibatches"
        )
