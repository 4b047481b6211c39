"""The attention weights of single heads, inside the forward pass.

The weights are recomputed as softmax(q k' * scale) from the output of the
`qkv` projection, so they are exact with fused attention on or off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import Attention
from torch import Tensor

from helpers.features.record import record
from helpers.models.vision_model import VisionModel

NO_GRID = "the tokens of {} form no known grid of patches"
WEIGHTS_AT_ONCE = 2**25  # attention weights in memory, 128 MiB
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
        type(block.attn) is Attention for block in blocks_of(model)
    )
    if not plain:
        return (
            f"the attention of {model.spec} ({', '.join(sorted(kinds))}) "
            "may depend on more than its queries and keys (windows, rotary "
            "or relative positions); only timm's plain Attention can be read"
        )
    if model.grid is None:
        return NO_GRID.format(model.spec)
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


def patch_grid(model: VisionModel) -> tuple[int, int]:
    """Return the rows and columns of a model's patches.

    Raises:
        ValueError: its tokens form no grid.
    """
    if model.grid is None:
        raise ValueError(NO_GRID.format(model.spec))
    return model.grid


def patch_size(model: VisionModel) -> tuple[int, int]:
    """Return the height and width of a model's patches, in pixels.

    Raises:
        ValueError: its tokens form no grid.
    """
    if model.patch is None:
        raise ValueError(NO_GRID.format(model.spec))
    return model.patch


def blocks_of(model: VisionModel) -> list[Any]:
    """List the blocks of a ViT."""
    return list(model.module.get_submodule("blocks").children())


def chosen(model: VisionModel, blocks: Sequence[int] | None) -> list[int]:
    """Resolve numbers of blocks, if the attention of the model can be read.

    Raises:
        ValueError: it cannot (says why), or there is no such block.
    """
    why = obstacle(model)
    if why:
        raise ValueError(why)
    count = len(blocks_of(model))
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
        For each block the tape of `helpers.features.record`, with one entry.
    """
    rows, columns = patch_grid(model)
    tokens = model.prefix_tokens + rows * columns

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

    every = blocks_of(model)
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
