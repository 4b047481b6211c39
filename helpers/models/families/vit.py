"""Plain vision transformers: ViT, DeiT, DINO, DINOv2, CLIP, SigLIP, AIMv2.

timm's `VisionTransformer` with its plain `Block`: two branches, attention and
MLP, each added to the residual stream after its LayerScale.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from timm.models import VisionTransformer
from timm.models.vision_transformer import Attention, Block
from torch import Tensor

from helpers.models.families import blocks, token_attention
from helpers.models.families.family import (
    AttentionLayer,
    Family,
    Layers,
    Tap,
    softmax,
    split_heads,
)

PARTS = {
    "ln1": Tap("norm1"),
    "qkv": Tap("attn.qkv"),
    "heads": Tap("attn.proj", is_input=True),
    "attn": Tap("ls1"),
    "mid": Tap("norm2", is_input=True),
    "ln2": Tap("norm2"),
    "fc1": Tap("mlp.fc1"),
    "act": Tap("mlp.act"),
    "fc2": Tap("ls2"),
}


def weights(attention: Attention, qkv: Tensor) -> Tensor:
    """Compute softmax attention from the projected queries and keys.

    Args:
        attention: timm's Attention of a block.
        qkv: (n, tokens, 3 * heads * width) output of its `qkv` projection.

    Returns:
        (n, heads, tokens, tokens) weights in float32; each row, the keys of
        one query, sums to 1.
    """
    q, k, _ = split_heads(qkv, attention.num_heads)
    q, k = attention.q_norm(q), attention.k_norm(k)
    return softmax(q, k, attention.scale)


def attention_layers(module: Any) -> list[AttentionLayer] | str:
    """Read plain attention, which depends on its queries and keys alone."""
    changed = {
        f"{type(b.attn).__module__.removeprefix('timm.')}."
        f"{type(b.attn).__name__}"
        for b in module.blocks
        if type(b.attn) is not Attention
    }
    if changed:
        return (
            f"has an attention ({', '.join(sorted(changed))}) that may depend "
            "on more than its queries and keys"
        )
    return token_attention.of_blocks(
        module,
        blocks.token_layout(module),
        lambda block, *_: partial(weights, block.attn),
    )


def recognises(module: Any) -> bool:
    """Say whether all blocks are plain ones."""
    return isinstance(module, VisionTransformer) and all(
        isinstance(block, Block) for block in module.blocks
    )


def layers(module: Any) -> Layers:
    """List the ten layers of every block."""
    return blocks.blocks(module, PARTS)


FAMILY = Family(
    name="vit",
    words=("embed", *PARTS, "out", "norm"),
    recognises=recognises,
    layers=layers,
    sums=blocks.attention_sums,
    attention=attention_layers,
    layout=blocks.token_layout,
)
