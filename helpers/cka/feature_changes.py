"""Features changed before they are compared: does a map survive it?

Linear CKA weighs directions by their variance, so a few loud channels or
tokens can carry a map. Each change takes such loudness away and leaves the
rest. What is loud is decided within a minibatch, of its images and tokens.

Do not read a changed map as the better one: a channel that is loud may be
what the network uses most.

Sources: Sun et al. 2024 (a few activations of enormous size); Darcet et al.
2024 (patches of high norm).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from helpers.cka.grams import Change
from helpers.features.layer_selection import depth
from helpers.features.pooled import pooled
from helpers.images.image_set import Images
from helpers.models.vision_model import VisionModel
from helpers.runtime.arrays import Floats

LOUD_CHANNELS = 3
LOUD_PATCHES = 0.02
KINDS = ("single activations", "norms of tokens")
PLACES = ("largest", "second", "third")


def without_loud_channels(x: Tensor, _: int = 0) -> Tensor:
    """Set the 3 channels of largest mean magnitude to zero.

    Args:
        x: (n, tokens, width) tokens of a minibatch.

    Returns:
        A changed copy.
    """
    loud = x.abs().mean((0, 1)).topk(min(LOUD_CHANNELS, x.shape[2])).indices
    return x.index_fill(2, loud, 0)


def standardised(x: Tensor, _: int = 0) -> Tensor:
    """Give each channel mean 0 and variance 1 over images and tokens.

    Args:
        x: (n, tokens, width) tokens of a minibatch.

    Returns:
        A changed copy; a channel that does not vary becomes 0.
    """
    spread, mean = torch.std_mean(x, (0, 1), correction=0)
    still = spread <= spread.max() * torch.finfo(x.dtype).eps
    scale = torch.where(still, torch.inf, spread)
    return (x - mean) / scale


def without_first_component(x: Tensor, _: int = 0) -> Tensor:
    """Remove the direction in which tokens vary most.

    Args:
        x: (n, tokens, width) tokens of a minibatch.

    Returns:
        A changed copy, centred.
    """
    flat = x.flatten(0, 1)
    flat = flat - flat.mean(0)
    first = torch.linalg.eigh(flat.T @ flat).eigenvectors[:, -1]
    return (flat - torch.outer(flat @ first, first)).view_as(x)


def without_loud_patches(x: Tensor, prefix: int = 0) -> Tensor:
    """Replace the 2 % of the patches of largest norm by the usual patch.

    Args:
        x: (n, tokens, width) tokens of a minibatch.
        prefix: how many tokens stand before the patches; these stay.

    Returns:
        A changed copy: a loud patch becomes the mean of the others at its
        place, which says nothing about its image.
    """
    patches = x[:, prefix:]
    norms = patches.norm(dim=2)
    count = max(1, round(LOUD_PATCHES * norms.numel()))
    loud = (norms >= norms.flatten().topk(count).values[-1])[..., None]
    others = (~loud).sum(0).clamp(min=1)
    usual = patches.masked_fill(loud, 0).sum(0) / others
    return torch.cat([x[:, :prefix], torch.where(loud, usual, patches)], 1)


CHANGES: Mapping[str, Change | None] = MappingProxyType(
    {
        "as they are": None,
        "3 channels zeroed": without_loud_channels,
        "standardised": standardised,
        "first component out": without_first_component,
        "loud patches out": without_loud_patches,
    }
)
"""The changes of the book, by what they do."""


def magnitudes(x: Tensor) -> Tensor:
    """Find the largest and the usual magnitude in the tokens of each image.

    Args:
        x: (n, tokens, width) tokens.

    Returns:
        (n, 2, 4): of single activations and of the norms of tokens, the
        three largest magnitudes and the median.
    """
    sizes = (x.abs().flatten(1), x.norm(dim=2))
    return torch.stack(
        [
            torch.cat([s.topk(3).values, s.median(1, keepdim=True).values], 1)
            for s in sizes
        ],
        1,
    )


def loudness(
    model: VisionModel, images: Images, layers: str = "out"
) -> pd.DataFrame:
    """Compare the largest magnitudes in each layer with the median.

    Args:
        model: the model.
        images: a hundred images are enough.
        layers: which layers, see `helpers.features.names`.

    Returns:
        One row per layer, `of` (`single activations`, `norms of tokens`) and
        `magnitude` (`largest`, `second`, `third`), with `model`, `layer`,
        `depth` and `times_the_median`, an average over images.
    """
    found = pooled(model, images, layers, ["each"], reduce=magnitudes)
    rows = [
        (model.name, layer, depth(model, layer), kind, place, float(times))
        for (layer, _), values in found.items()
        for kind, own in zip(KINDS, values.unbind(1), strict=True)
        for place, times in zip(
            PLACES, (own[:, :3] / own[:, 3:]).mean(0), strict=True
        )
    ]
    columns = ["model", "layer", "depth", "of", "magnitude"]
    return pd.DataFrame(rows, columns=[*columns, "times_the_median"])


def moved(x: Floats, share: float, distance: float, seed: int = 0) -> Floats:
    """Move some of the images together along one random direction.

    What can be read out of the other directions stays as it is, so that a
    linear readout which ignores this one loses nothing (Davari et al. 2022,
    section 3).

    Args:
        x: (n, width) features.
        share: which part of the images, 0 to 1; chosen at random.
        distance: how far, in units of the root mean square distance of
            images from their mean.
        seed: which images and which direction; fewer images are a part of
            more, and the direction depends on the width alone.

    Returns:
        A changed copy.

    Raises:
        ValueError: a share that is none.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share is 0 to 1, got {share}")
    direction = np.random.default_rng(seed).normal(size=x.shape[1])
    order = np.random.default_rng([seed, len(x)]).permutation(len(x))
    spread = np.sqrt(x.var(0).sum())
    away = distance * spread * direction / np.linalg.norm(direction)
    gone = order < round(share * len(x))
    return x + np.where(gone[:, None], away, 0)
