"""Pooled features of an image set, kept in memory.

For measures that need all images at once (regression, CCA, a readout). Do not
use it with `tokens="all"` or `"each"` on many images: features of that size
belong into a reduction inside the hook, see `helpers.features.record`.
"""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor
from tqdm import tqdm

from helpers.features.arguments import checked
from helpers.features.layer_selection import Tokens
from helpers.features.record import Reduce, record
from helpers.images.image_set import Images
from helpers.models.vision_model import VisionModel
from helpers.runtime import parallel
from helpers.runtime.arrays import Floats


@checked
def extract(
    model: VisionModel,
    images: Images,
    layers: str = "out",
    tokens: Tokens = "mean",
    batch_size: int = 256,
) -> dict[str, Floats]:
    """Run images through a model and keep one vector per image and layer.

    Args:
        model: the model.
        images: n images.
        layers: which layers, see `helpers.features.names`.
        tokens: how tokens become one vector, see `helpers.features.record`.
        batch_size: images of a forward pass.

    Returns:
        Layer name to (n, width) float64 features, in the order of `images`.
    """
    found = pooled(model, images, layers, [tokens], batch_size)
    return {layer: x.double().numpy() for (layer, _), x in found.items()}


@checked
def pooled(
    model: VisionModel,
    images: Images,
    layers: str = "out",
    tokens: Sequence[Tokens] = ("mean",),
    batch_size: int = 256,
    reduce: Reduce | None = None,
) -> dict[tuple[str, Tokens], Tensor]:
    """Keep several vectors an image and layer, of one forward pass.

    The processes of a `torchrun` share the images, see
    `helpers.runtime.parallel`.

    Args:
        model: the model.
        images: n images.
        layers: which layers, see `helpers.features.names`.
        tokens: ways in which tokens become one vector, see
            `helpers.features.record`.
        batch_size: images of a forward pass.
        reduce: makes of the chosen tokens what is kept, inside the hook.

    Returns:
        (layer, tokens) to (n, width) float32 features (or of the shape that
        `reduce` makes) in main memory, in forward order and in the order of
        `images`.

    Raises:
        ValueError: as `record`, or batches of varying numbers of tokens.
    """
    kept: dict[tuple[str, Tokens], Tensor] = {}
    if not parallel.alone():
        images = images.part(parallel.share(len(images)))
    with (
        ExitStack() as hooks,
        tqdm(total=len(images), desc="features", disable=None) as bar,
    ):
        tapes = {
            choice: hooks.enter_context(record(model, layers, choice, reduce))
            for choice in tokens
        }
        for where, (x,) in images.batches(model, batch_size=batch_size):
            model(x)
            for layer in next(iter(tapes.values()), {}):
                for choice, tape in tapes.items():
                    value, key = tape[layer], (layer, choice)
                    if key not in kept:
                        shape = (len(images), *value.shape[1:])
                        kept[key] = torch.empty(shape)
                    if value.shape[1:] != kept[key].shape[1:]:
                        raise ValueError(
                            f"{layer} of {model.spec} has another number of "
                            f"tokens in some batches ({tuple(value.shape)} "
                            f"after {tuple(kept[key].shape)}); choose "
                            "tokens='mean'"
                        )
                    kept[key][int(where[0]) : int(where[-1]) + 1] = value
            bar.update(len(where))
    if parallel.alone():
        return kept
    parts = [part for part in parallel.gather(kept) if part]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
