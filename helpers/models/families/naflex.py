"""NaFlexViT on images of one size, the way a model's preprocessing cuts them.

Its blocks are those of a plain ViT or of EVA. Batches of images with varying
numbers of tokens have no common grid and are not read.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import timm
from timm.models.eva import EvaAttention, EvaBlock
from timm.models.naflexvit import NaFlexVit
from timm.models.vision_transformer import Attention, Block

from helpers.models.families import blocks, eva, token_attention, vit
from helpers.models.families.family import (
    AttentionLayer,
    Family,
    Layers,
    Layout,
)


def layout(module: Any) -> Layout:
    """Find the tokens of an image of the size that the model prepares."""
    config = timm.data.resolve_model_data_config(module)
    high, wide = config["input_size"][1:]
    down, across = module.embeds.patch_size
    return Layout(
        int(module.num_prefix_tokens),
        module.embeds.cls_token is not None,
        (high // down, wide // across),
        (down, across),
    )


def attention_layers(module: Any) -> list[AttentionLayer] | str:
    """Read the attention of every block."""
    return token_attention.of_blocks(
        module,
        layout(module),
        lambda block, i, grid: (
            partial(vit.weights, block.attn)
            if type(block) is Block
            else partial(eva.weights, block.attn, module.rope, grid, i)
        ),
    )


def layers(module: Any) -> Layers:
    """List the layers of every block, of the kind that the model has."""
    plain = type(module.blocks[0]) is Block
    parts = vit.PARTS if plain else blocks.token_parts(module.blocks[0])
    return blocks.blocks(module, parts)


def recognises(module: Any) -> bool:
    """Say whether all blocks and their attention are known ones."""
    known = {(Block, Attention), (EvaBlock, EvaAttention)}
    return isinstance(module, NaFlexVit) and all(
        (type(block), type(block.attn)) in known for block in module.blocks
    )


FAMILY = Family(
    name="naflex",
    words=blocks.TOKEN_WORDS,
    recognises=recognises,
    layers=layers,
    sums=blocks.attention_sums,
    attention=attention_layers,
    layout=layout,
)
