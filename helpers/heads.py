"""Single heads: their attention weights, and what they pass on.

The weights are recomputed as softmax(q k' * scale) from the output of the
`qkv` projection, so they are exact with fused attention on or off. What a
head passes on are its columns of the `heads` layer, the input of the output
projection; a subset of heads is a subset of these columns, and its Gram
matrix the sum of theirs.

Do not use it to judge what a head is needed for: the output projection and
the heads beside it decide that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from timm.models.vision_transformer import Attention
from torch import Tensor
from tqdm import tqdm

from helpers.cka import Comparison, MinibatchCKA, gram
from helpers.images import Images
from helpers.layers import depth, names, record
from helpers.models import VisionModel

WEIGHTS_AT_ONCE = 2**25  # attention weights in memory, 128 MiB
Heads = tuple[int, ...]
Reduce = Callable[[Attention, Tensor], Tensor]


def obstacle(model: VisionModel) -> str | None:
    """Say why the attention of a model cannot be read; None where it can."""
    if model.family in ("resnet", "mixer"):
        return f"{model.spec} has no attention: it is a {model.family}"
    kinds = {
        f"{type(m).__module__.removeprefix('timm.')}.{type(m).__name__}"
        for m in model.module.modules()
        if "attention" in type(m).__name__.lower()
        and not type(m).__name__.startswith("AttentionPool")
    }
    if not kinds:
        return f"{model.spec} has no attention"
    plain = model.family == "vit" and all(
        type(block.attn) is Attention for block in _blocks(model)
    )
    if not plain:
        return (
            f"the attention of {model.spec} ({', '.join(sorted(kinds))}) "
            "may depend on more than its queries and keys (windows, rotary "
            "or relative positions); only timm's plain Attention can be read"
        )
    if model.grid is None:
        return f"the tokens of {model.spec} form no known grid of patches"
    return None


def weights(attention: Attention, qkv: Tensor) -> Tensor:
    """Compute softmax attention from the projected queries and keys.

    Args:
        attention: timm's Attention of a block.
        qkv: (n, tokens, 3 * heads * width) output of its `qkv` projection.

    Returns:
        (n, heads, tokens, tokens) weights in float32; each row, the keys of
        one query, sums to 1.
    """
    n, count, _ = qkv.shape
    shape = n, count, 3, attention.num_heads, attention.head_dim
    q, k, _ = qkv.reshape(shape).permute(2, 0, 3, 1, 4)
    q, k = attention.q_norm(q).float(), attention.k_norm(k).float()
    found: Tensor = (q * attention.scale @ k.transpose(-2, -1)).softmax(-1)
    return found


def _blocks(model: VisionModel) -> list[Any]:
    return list(model.module.get_submodule("blocks").children())


def chosen(model: VisionModel, blocks: Sequence[int] | None) -> list[int]:
    """Resolve numbers of blocks, if the attention of the model can be read.

    Raises:
        ValueError: it cannot (says why), or there is no such block.
    """
    why = obstacle(model)
    if why:
        raise ValueError(why)
    count = len(_blocks(model))
    wanted = range(count) if blocks is None else blocks
    wrong = [i for i in wanted if not -count <= i < count]
    if wrong or not len(wanted):
        raise ValueError(
            f"{model.spec} has blocks 0 to {count - 1} (or -{count} to -1); "
            f"got {wrong or 'none'}"
        )
    return [i % count for i in wanted]


@contextmanager
def listen(
    model: VisionModel,
    blocks: Sequence[int],
    reduce: Reduce,
) -> Iterator[list[dict[str, Tensor]]]:
    """Run a reduction inside the forward pass, where attention is known.

    Args:
        model: a ViT whose attention can be read.
        blocks: numbers of blocks.
        reduce: takes the attention module of a block and the output of its
            `qkv` projection (n, tokens, 3 * width), returns (n, ...).

    Yields:
        For each block the tape of `helpers.layers.record`, with one entry.
    """
    assert model.grid
    tokens = model.prefix_tokens + model.grid[0] * model.grid[1]

    def in_parts(attention: Attention, qkv: Tensor) -> Tensor:
        if qkv.shape[1] != tokens:
            raise ValueError(
                f"{model.spec} was shown images of another size: "
                f"{qkv.shape[1]} tokens, expected {tokens}"
            )
        size = max(1, WEIGHTS_AT_ONCE // (attention.num_heads * tokens**2))
        return torch.cat(
            [reduce(attention, q) for q in torch.split(qkv, size)]
        )

    every = _blocks(model)
    with ExitStack() as hooks:
        yield [
            hooks.enter_context(
                record(
                    model,
                    f"blocks.{i}.qkv",
                    "each",
                    partial(in_parts, every[i].attn),
                )
            )
            for i in blocks
        ]


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


def compare(
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
        model: a ViT.
        other: the other model, a ResNet in the paper.
        images: the images both are shown.
        subsets: numbers of heads, from 0.
        layers: which layers of `other`, see `helpers.layers.names`.
        block: number of the block whose heads are taken.
        batch_size: images of a minibatch.

    Returns:
        The map: subsets as rows, named like `0+3`, layers as columns.

    Raises:
        ValueError: a model without readable heads, no such block, head or
            layer, no subset, or fewer images than a minibatch.
    """
    start = time.perf_counter()
    (number,) = chosen(model, [block])
    count = _blocks(model)[number].attn.num_heads
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
    tap, columns = f"blocks.{number}.heads", names(other, layers)
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
            "images": images.spec,
            "split": images.split,
            "num_images": used,
            "dropped_images": len(images) - used,
            "block": number,
            "layers": layers,
            "batch_size": batch_size,
            "seconds": time.perf_counter() - start,
        },
    )
