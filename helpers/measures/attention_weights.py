"""The attention weights of single heads, inside the forward pass.

The weights are recomputed from the tensors that attention starts from, the
way the model's family says, so they are exact with fused attention on or off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from helpers.features.record import record
from helpers.models.families.family import AttentionLayer
from helpers.models.vision_model import VisionModel

WEIGHTS_AT_ONCE = 2**25  # attention weights in memory, 128 MiB
Reduce = Callable[[AttentionLayer, Tensor], Tensor]


def obstacle(model: VisionModel) -> str | None:
    """Say why the attention of a model cannot be read; None where it can."""
    found = model.family.attention(model.module)
    return f"{model.spec} {found}" if isinstance(found, str) else None


def attention_layers(
    model: VisionModel, blocks: Sequence[int] | None = None
) -> dict[int, AttentionLayer]:
    """Find the attention of blocks, if that of the model can be read.

    Args:
        model: the model.
        blocks: their numbers, negative ones from the end; all by default.

    Returns:
        Number of each block, from 0 -> how its attention is read.

    Raises:
        ValueError: it cannot (says why), or there is no such block.
    """
    every = model.family.attention(model.module)
    if isinstance(every, str):
        raise ValueError(f"{model.spec} {every}")
    count = len(every)
    wanted = range(count) if blocks is None else blocks
    wrong = [i for i in wanted if not -count <= i < count]
    if wrong or not len(wanted):
        raise ValueError(
            f"{model.spec} has blocks 0 to {count - 1} (or -{count} to -1); "
            f"got {wrong or 'none'}"
        )
    return {i % count: every[i] for i in wanted}


def on_patches(layer: AttentionLayer, weights: Tensor) -> Tensor:
    """Leave out what comes from tokens that are no patch, or falls on them.

    Args:
        layer: whose weights these are.
        weights: (n, heads, queries, keys).

    Returns:
        (n, heads, queries, keys) without the rows of prefix tokens. Where
        queries have keys of their own, weights on no patch become 0; else
        their columns are left out as well.
    """
    if layer.keys.ndim == 1:
        first = int((layer.queries < 0).sum())
        return weights[:, :, first:, int((layer.keys < 0).sum()) :]
    kept = layer.queries >= 0
    return weights[:, :, kept] * (layer.keys[kept] >= 0).to(weights.device)


@contextmanager
def listen(
    model: VisionModel,
    layers: Sequence[AttentionLayer],
    reduce: Reduce,
) -> Iterator[list[dict[str, Tensor]]]:
    """Run a reduction inside the forward pass, where attention is known.

    Args:
        model: a model whose attention can be read.
        layers: the attention of some of its blocks.
        reduce: takes the attention of a block and its weights (n, heads,
            queries, keys), returns (n, ...).

    Yields:
        For each block the tape of `helpers.features.record`, with one entry.
    """

    def in_parts(layer: AttentionLayer, seen: Tensor) -> Tensor:
        tokens = layer.tokens or len(layer.queries)
        if seen.shape[1] != tokens:
            raise ValueError(
                f"{model.spec} was shown images of another size: "
                f"{seen.shape[1]} tokens, expected {tokens}"
            )
        size = max(1, WEIGHTS_AT_ONCE // layer.size)
        return torch.cat(
            [
                reduce(layer, layer.weights(part))
                for part in torch.split(seen, size)
            ]
        )

    with ExitStack() as hooks:
        yield [
            hooks.enter_context(
                record(
                    replace(model, taps={layer.layer: layer.source}),
                    layer.layer,
                    "each",
                    partial(in_parts, layer),
                )
            )
            for layer in layers
        ]
