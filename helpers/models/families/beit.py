"""BEiT and BEiT v2: attention with a bias of the relative position.

The bias of two patches depends on how far one lies from the other; it is a
table of each block, or one that all blocks share.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from timm.models.beit import Attention, Beit, Block
from torch import Tensor

from helpers.models.families import blocks
from helpers.models.families.family import (
    AttentionLayer,
    Family,
    Layers,
    Sums,
    patches_after,
    softmax,
    split_heads,
)


def weights(attention: Any, shared: Any, qkv: Tensor) -> Tensor:
    """Compute the attention of queries, keys and their relative positions.

    Args:
        attention: timm's attention of a block.
        shared: timm's bias that all blocks share, or None.
        qkv: (n, tokens, 3 * width).

    Returns:
        (n, heads, tokens, tokens) in float32.
    """
    q, k, _ = split_heads(qkv, attention.num_heads)
    bias: Tensor | float = 0.0
    table = attention.relative_position_bias_table
    if table is not None:
        tokens = qkv.shape[1]
        index = attention.relative_position_index.flatten()
        bias = table[index].view(tokens, tokens, -1).permute(2, 0, 1)
    if shared is not None:
        bias = bias + shared()
    return softmax(q, k, attention.scale, bias)


def attention_layers(module: Any) -> list[AttentionLayer] | str:
    """Read the attention of every block."""
    layout = blocks.token_layout(module)
    if layout.grid is None or layout.patch is None:
        return blocks.NO_GRID
    tokens = patches_after(layout.prefix_tokens, layout.grid)
    return [
        AttentionLayer(
            f"blocks.{i}.heads",
            blocks.qkv(block.attn, f"blocks.{i}.attn"),
            block.attn.num_heads,
            partial(weights, block.attn, module.rel_pos_bias),
            layout.grid,
            layout.patch,
            queries=tokens,
            keys=tokens,
        )
        for i, block in enumerate(module.blocks)
    ]


def layers(module: Any) -> Layers:
    """List the layers of every block."""
    return blocks.blocks(module, blocks.token_parts(module.blocks[0]))


def sums(module: Any, layers: Layers) -> Sums:
    """List the two sums of every block."""
    return blocks.two_sums(layers, "attn", "attention")


def recognises(module: Any) -> bool:
    """Say whether all blocks and their attention are known ones."""
    return isinstance(module, Beit) and all(
        type(block) is Block and type(block.attn) is Attention
        for block in module.blocks
    )


FAMILY = Family(
    name="beit",
    words=blocks.TOKEN_WORDS,
    recognises=recognises,
    layers=layers,
    sums=sums,
    attention=attention_layers,
    layout=blocks.token_layout,
)
