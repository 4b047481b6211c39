"""CaiT: talking heads on patches, and a class token at the very end.

Heads exchange their logits before the softmax and their weights after it; the
weights after it are no longer shares, so the attention that is read is that
between the two. The class token joins in two last blocks that change nothing
but itself: these are not listed, and `norm` is read without it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from timm.models.cait import Cait, LayerScaleBlock, TalkingHeadAttn
from torch import Tensor, nn

from helpers.models.families import blocks, token_attention
from helpers.models.families.family import (
    AttentionLayer,
    Family,
    Layers,
    Layout,
    Tap,
    split_heads,
)


def weights(attention: Any, qkv: Tensor) -> Tensor:
    """Compute the attention of heads that have mixed their logits.

    Args:
        attention: timm's attention of a block.
        qkv: (n, patches, 3 * width).

    Returns:
        (n, heads, patches, patches) in float32.
    """
    q, k, _ = split_heads(qkv, attention.num_heads)
    logits = (q * attention.scale @ k.transpose(-2, -1)).movedim(1, -1)
    mixed: Tensor = attention.proj_l(logits).movedim(-1, 1)
    return mixed.float().softmax(-1)


def attention_layers(module: Any) -> list[AttentionLayer] | str:
    """Read the attention of every block of patches."""
    return token_attention.of_blocks(
        module, layout(module), lambda block, *_: partial(weights, block.attn)
    )


def scaled(block: Any, name: str, _: nn.Module, x: Tensor) -> Tensor:
    """Multiply a branch by its LayerScale, a parameter of the block."""
    found: Tensor = getattr(block, name) * x
    return found


def layers(module: Any) -> Layers:
    """List the layers of every block of patches."""
    found = {"embed": Tap("blocks.0", is_input=True)}
    for i, block in enumerate(module.blocks):
        parts = {
            "ln1": Tap("norm1"),
            "qkv": Tap("attn.qkv"),
            "heads": Tap("attn.proj", is_input=True),
            "attn": Tap("attn", read=partial(scaled, block, "gamma_1")),
            "mid": Tap("norm2", is_input=True),
            "ln2": Tap("norm2"),
            "fc1": Tap("mlp.fc1"),
            "act": Tap("mlp.act"),
            "fc2": Tap("mlp", read=partial(scaled, block, "gamma_2")),
        }
        found |= blocks.inside(module, f"blocks.{i}", f"blocks.{i}", parts)
    return found | {"norm": Tap("norm", read=blocks.without_class_token)}


def layout(module: Any) -> Layout:
    """Find the patches; there is no class token among them."""
    embed = module.patch_embed
    return Layout(0, False, tuple(embed.grid_size), tuple(embed.patch_size))


FAMILY = Family(
    name="cait",
    words=blocks.TOKEN_WORDS,
    recognises=lambda module: (
        isinstance(module, Cait)
        and all(
            type(block) is LayerScaleBlock
            and type(block.attn) is TalkingHeadAttn
            for block in module.blocks
        )
    ),
    layers=layers,
    sums=blocks.attention_sums,
    attention=attention_layers,
    layout=layout,
)
