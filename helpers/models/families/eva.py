"""EVA, EVA-02, DINOv3, Perception Encoder, RoPE-ViT: timm's `Eva`.

Queries and keys of patches are rotated by their position (RoPE), those of
prefix tokens are not; in mixed RoPE every block and head has rotations of its
own. The LayerScale is a parameter of the block, so branches are read where
they enter `drop_path`. Some models have their norms at the end of each
branch: their blocks have no `ln1` and `ln2`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.layers import AttentionRope, apply_rot_embed_cat
from timm.models.eva import Eva, EvaAttention, EvaBlock, EvaBlockPostNorm
from torch import Tensor

from helpers.models.families import blocks, token_attention
from helpers.models.families.family import (
    AttentionLayer,
    Family,
    Grid,
    Layers,
    Sums,
    softmax,
)


def weights(
    attention: Any, rope: Any, grid: Grid, block: int, qkv: Tensor
) -> Tensor:
    """Compute the attention of rotated queries and keys.

    Args:
        attention: timm's attention of a block.
        rope: timm's rotary embedding of the model, or None.
        grid: rows and columns of patches.
        block: number of the block.
        qkv: (n, tokens, widths of q, k and v).

    Returns:
        (n, heads, tokens, tokens) in float32.
    """
    heads, d = attention.num_heads, attention.head_dim
    groups = getattr(attention, "num_kv_groups", 1)
    sizes = [heads * d, heads // groups * d, heads // groups * d]
    q, k, _ = (
        part.reshape(*part.shape[:2], -1, d).transpose(1, 2)
        for part in torch.split(qkv, sizes, -1)
    )
    q, k = attention.q_norm(q), attention.k_norm(k)
    if rope is not None:
        angles = rope.get_embed(shape=list(grid))
        if angles.ndim == 4:  # mixed RoPE: (blocks, heads, patches, 2 * d)
            angles = angles[block]
        rotate = partial(
            apply_rot_embed_cat, emb=angles, half=attention.rotate_half
        )
        q, k = token_attention.rotate_patches(
            q, k, attention.num_prefix_tokens, rotate
        )
    return softmax(q, k.repeat_interleave(groups, 1), attention.scale)


def attention_layers(module: Any) -> list[AttentionLayer] | str:
    """Read the attention of every block."""
    return token_attention.of_blocks(
        module,
        blocks.token_layout(module),
        lambda block, i, grid: partial(
            weights, block.attn, module.rope, grid, i
        ),
    )


def layers(module: Any) -> Layers:
    """List the layers of every block, of the kind that the model has."""
    block = module.blocks[0]
    before = isinstance(block, EvaBlock)
    return blocks.blocks(module, blocks.token_parts(block, before))


def sums(module: Any, layers: Layers) -> Sums:
    """List the two sums of every block."""
    before = isinstance(module.blocks[0], EvaBlock)
    entry = "norm1" if before else "attn"
    return blocks.two_sums(layers, "attn", "attention", entry)


def recognises(module: Any) -> bool:
    """Say whether all blocks and their attention are known ones."""
    return isinstance(module, Eva) and all(
        type(block) in (EvaBlock, EvaBlockPostNorm)
        and type(block.attn) in (EvaAttention, AttentionRope)
        for block in module.blocks
    )


FAMILY = Family(
    name="eva",
    words=blocks.TOKEN_WORDS,
    recognises=recognises,
    layers=layers,
    sums=sums,
    attention=attention_layers,
    layout=blocks.token_layout,
)
