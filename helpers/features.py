"""Pooled features of an image set, kept in memory.

For measures that need all images at once (regression, CCA, a readout). Do not
use it with `tokens="all"` or `"each"` on many images: features of that size
belong into a reduction inside the hook, see `helpers.layers.record`.
"""

import torch
from torch import Tensor

from helpers.images import Images
from helpers.layers import Tokens, record
from helpers.minibatch import Floats
from helpers.models import VisionModel


def extract(
    model: VisionModel,
    images: Images,
    layers: str = "out",
    tokens: Tokens = "mean",
    batch_size: int = 256,
) -> dict[str, Floats]:
    """Run images through a model and keep one vector an image and layer.

    Args:
        model: the model.
        images: n images.
        layers: which layers, see `helpers.layers.names`.
        tokens: how tokens become one vector, see `helpers.layers.record`.
        batch_size: images of a forward pass.

    Returns:
        Layer name to (n, width) float64 features, in the order of `images`.
    """
    kept: dict[str, list[Tensor]] = {}
    for _, (x,) in images.batches(model, batch_size=batch_size):
        with record(model, layers, tokens) as tape:
            model(x)
        for name, value in tape.items():
            kept.setdefault(name, []).append(value.cpu().double())
    return {name: torch.cat(parts).numpy() for name, parts in kept.items()}
