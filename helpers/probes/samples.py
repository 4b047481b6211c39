"""Pooled features of a data set with its labels, from one pass over it.

A sample has a bank, to which probes are fitted, and test images. Do not use
it for features that keep their positions: these are reduced inside the hook,
see `helpers.features.record`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from helpers import features, images
from helpers.features.arguments import checked
from helpers.features.layer_selection import Tokens, depth
from helpers.probes.targets import labels, targets_of

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel


Pooled = dict[tuple[str, Tokens], Tensor]


@dataclass(frozen=True, eq=False)
class Sample:
    """Pooled features of a data set.

    Attributes:
        spec: the image set.
        target: what its labels are.
        bank: (layer, tokens) to (m, width) features of training images.
        bank_labels: (m,) their classes.
        test: likewise (n, width), of test images.
        labels: (n,) their classes.
        depths: layer to how deep it lies, 0 to 1.
        device: where probes are fitted.
    """

    spec: str
    target: str
    bank: Pooled
    bank_labels: Tensor
    test: Pooled
    labels: Tensor
    depths: dict[str, float]
    device: torch.device


def sample(
    model: VisionModel,
    spec: str,
    layers: str = "out",
    tokens: Sequence[Tokens] = ("mean",),
    target: str = "garment",
    num_train: int = 1000,
    num_images: int = 500,
    batch_size: int = 250,
    seed: int = 0,
) -> Sample:
    """Pool the images of a data set, given by its spec.

    Args:
        model: the model.
        spec: image set.
        layers: which layers, see `helpers.features.names`.
        tokens: ways of pooling, see `helpers.features.record`.
        target: what is to be read out; the class where the images do not
            have it.
        num_train: training images, or all where there are fewer.
        num_images: test images, likewise.
        batch_size: images of a forward pass.
        seed: which images are drawn.

    Raises:
        ValueError: unknown image set, layers, tokens or target, or a class
            without a training image.
    """
    bank = at_most(spec, "train", num_train, seed)
    test = at_most(spec, "test", num_images, seed)
    (target,) = targets_of(bank, target)
    return pool(model, bank, test, layers, tokens, target, batch_size)


def at_most(spec: str, split: str, most: int, seed: int = 0) -> Images:
    """Draw images of a split, or take all where there are fewer."""
    try:
        return images.load(spec, split, most, seed)
    except images.TooFewError as error:
        return images.load(spec, split, error.there, seed)


@checked
def pool(
    model: VisionModel,
    bank: Images,
    test: Images,
    layers: str = "out",
    tokens: Sequence[Tokens] = ("mean",),
    target: str = "class",
    batch_size: int = 250,
) -> Sample:
    """Pool images, as `sample` does with those that it draws.

    Args:
        model: the model.
        bank: training images.
        test: test images.
        layers: which layers.
        tokens: ways of pooling.
        target: what is to be read out.
        batch_size: images of a forward pass.

    Raises:
        ValueError: as in `sample`, or other classes in the test images.
    """
    truth = labels(bank, test, target)
    kept = [
        features.pooled(model, part, layers, tokens, batch_size)
        for part in (bank, test)
    ]
    return Sample(
        *(test.spec, target, kept[0], truth[0], kept[1], truth[1]),
        depths={layer: depth(model, layer) for layer, _ in kept[0]},
        device=model.device,
    )
