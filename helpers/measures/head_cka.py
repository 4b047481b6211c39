"""What single heads pass on, compared with layers of another model.

What a head passes on are its columns of the `heads` layer, the input of the
output projection; a subset of heads is a subset of these columns, and its
Gram matrix the sum of theirs.

Do not use it to judge what a head is needed for: the output projection and
the heads beside it decide that.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from helpers.cka.comparison import Comparison
from helpers.cka.hsic import gram
from helpers.cka.minibatch import MinibatchCKA
from helpers.features.arguments import checked, settings_of
from helpers.features.layer_selection import depth, names
from helpers.features.record import record
from helpers.images.image_set import Images
from helpers.measures.attention_weights import attention_layers
from helpers.models.vision_model import VisionModel

Heads = tuple[int, ...]


def windows(order: Sequence[int], width: int) -> list[Heads]:
    """List all runs of neighbours in an order of heads.

    Raises:
        ValueError: a width below 1 or above the number of heads.
    """
    if not 1 <= width <= len(order):
        raise ValueError(
            f"a window of {width} heads does not fit {len(order)} heads; "
            f"valid: 1 to {len(order)}"
        )
    starts = range(len(order) - width + 1)
    return [tuple(order[i : i + width]) for i in starts]


def growing(order: Sequence[int]) -> list[Heads]:
    """List the first head of an order, the first two, and so on to all."""
    return [tuple(order[:count]) for count in range(1, len(order) + 1)]


@checked
def measure(
    model: VisionModel,
    other: VisionModel,
    images: Images,
    subsets: Sequence[Sequence[int]],
    layers: str,
    block: int = 0,
    batch_size: int = 32,
) -> Comparison:
    """Measure the CKA of subsets of heads with layers of another model.

    Raghu et al. 2021, figure 5. All tokens, or all positions of a map, are
    flattened. Images beyond the last whole minibatch are left out.

    Args:
        model: a model whose attention can be read.
        other: the other model, a ResNet in the paper.
        images: the images both are shown.
        subsets: numbers of heads, from 0.
        layers: which layers of `other`, see `helpers.features.names`.
        block: number of the block whose heads are taken.
        batch_size: images of a minibatch.

    Returns:
        The map: subsets as rows, named like `0+3`, layers as columns.

    Raises:
        ValueError: a model without readable heads, no such block, head or
            layer, no subset, or fewer images than a minibatch.
    """
    start = time.perf_counter()
    ((number, layer),) = attention_layers(model, [block]).items()
    tap, count = layer.layer, layer.heads
    wrong = [s for s in subsets if not set(s) <= set(range(count)) or not s]
    if wrong or not subsets:
        raise ValueError(
            f"heads of {model.spec} are numbered 0 to {count - 1}, and a "
            f"subset has one or more; got {wrong or 'no subset'}"
        )
    if len(images) < batch_size:
        raise ValueError(
            f"{len(images)} images do not fill a minibatch of {batch_size}"
        )
    columns = names(other, layers)
    rows = ["+".join(map(str, subset)) for subset in subsets]

    def each(x: Tensor) -> Tensor:
        return torch.stack([gram(part) for part in x.chunk(count, -1)])

    engine = MinibatchCKA(rows, columns)
    used = len(images) // batch_size * batch_size
    bar = tqdm(total=used, desc="heads", unit="image", disable=None)
    with (
        bar,
        record(model, tap, "each", each) as ours,
        record(other, layers, "all", gram) as theirs,
    ):
        for where, (x, y) in images.batches(
            model, other, batch_size=batch_size, drop_last=True
        ):
            model(x)
            other(y)
            grams = [ours[tap][list(subset)].sum(0) for subset in subsets]
            engine.update_grams(grams, [theirs[name] for name in columns])
            bar.update(len(where))
    return Comparison(
        **vars(engine.compute()),
        depths_x=np.full(len(rows), depth(model, tap)),
        depths_y=np.array([depth(other, name) for name in columns]),
        settings={
            "model_x": model.spec,
            "model_y": other.spec,
            **settings_of(images),
            "num_images": used,
            "dropped_images": len(images) - used,
            "block": number,
            "layers": layers,
            "batch_size": batch_size,
            "seconds": time.perf_counter() - start,
        },
    )
