"""BEiT and BEiT v2: attention with a bias of the relative position.

The bias of two patches depends on how far one lies from the other; it is a
table of each block, or one that all blocks share.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from timm.models.beit import Attention, Beit, Block
from torch import Tensor

from helpers.models.families import blocks, token_attention
from helpers.models.families.family import (
    AttentionLayer,
    Family,
    Layers,
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
    return token_attention.of_blocks(
        module,
        blocks.token_layout(module),
        lambda block, *_: partial(weights, block.attn, module.rel_pos_bias),
    )


def layers(module: Any) -> Layers:
    """List the layers of every block."""
    return blocks.blocks(module, blocks.token_parts(module.blocks[0]))


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
    sums=blocks.attention_sums,
    attention=attention_layers,
    layout=blocks.token_layout,
)
