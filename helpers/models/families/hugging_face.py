"""Vision transformers of the library `transformers`, known by their parts.

ViT, DeiT, DINOv2 (also with registers), DINOv3, and the vision towers of CLIP
and SigLIP have the same block under different names. Their projections of
queries, keys and values are three modules, so `qkv` is computed from what the
block's first norm gives; in DINOv3 those of patches are rotated (RoPE). The
library is not imported here: a model of it brings it along.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.layers import apply_rot_embed_cat
from torch import Tensor, nn

from helpers.models.families import blocks, token_attention
from helpers.models.families.family import (
    AttentionLayer,
    Family,
    Grid,
    Layers,
    Layout,
    Sums,
    Tap,
    softmax,
    split_heads,
)

CLASS_TOKENS = {
    "vit": 1,
    "deit": 2,  # the second is for distillation
    "dinov2": 1,
    "dinov2_with_registers": 1,
    "dinov3_vit": 1,
    "clip_vision_model": 1,
    "siglip_vision_model": 0,
}
"""By the type of model, its class tokens; registers come after them."""

NAMES = {
    "ln1": ("norm1", "layernorm_before", "layer_norm1"),
    "attention": ("attention", "self_attn"),
    "projection": ("o_proj", "out_proj"),
    "attn": ("layer_scale1",),
    "ln2": ("norm2", "layernorm_after", "layer_norm2"),
    "fc1": ("fc1", "up_proj"),
    "last": ("fc2", "down_proj"),
    "fc2": ("layer_scale2",),
    "norm": ("layernorm", "norm", "post_layernorm"),
}
"""For each part, what a kind of model may call it."""


def _name(part: str, inside: nn.Module) -> str:
    """Return the name of a part of a module; empty where it has none."""
    own = dict(inside.named_children())
    return next((name for name in NAMES[part] if name in own), "")


def _list(module: nn.Module) -> tuple[str, nn.ModuleList]:
    """Find the list of blocks: its path and itself."""
    return next(
        (path, part)
        for path, part in module.named_modules()
        if isinstance(part, nn.ModuleList)
    )


def recognises(module: Any) -> bool:
    """Say whether a model is of a known type and all its parts are there."""
    theirs = type(module).__module__.startswith("transformers.")
    if not theirs or module.config.model_type not in CLASS_TOKENS:
        return False
    return all(
        (name := _name("attention", block))
        and hasattr(attention := block.get_submodule(name), "q_proj")
        and _name("projection", attention)
        and (_name("ln1", block) and _name("ln2", block))
        and _name("last", block.get_submodule("mlp"))
        for block in _list(module)[1]
    )


def _qkv(block: nn.Module, path: str) -> Tap:
    attention = getattr(block, _name("attention", block))

    def read(_: nn.Module, x: Tensor) -> Tensor:
        return blocks.separately(attention, x)

    return Tap(f"{path}{_name('ln1', block)}", read=read)


def _parts(block: Any) -> dict[str, Tap]:
    attention = _name("attention", block)
    last = f"{attention}.{_name('projection', getattr(block, attention))}"
    norm1, norm2 = _name("ln1", block), _name("ln2", block)
    return {
        "ln1": Tap(norm1),
        "qkv": _qkv(block, ""),
        "heads": Tap(last, is_input=True),
        "attn": Tap(_name("attn", block) or last),
        "mid": Tap(norm2, is_input=True),
        "ln2": Tap(norm2),
        "gate": Tap("mlp.gate_proj"),
        "fc1": Tap(f"mlp.{_name('fc1', block.mlp)}"),
        "act": Tap(f"mlp.{_name('last', block.mlp)}", is_input=True),
        "fc2": Tap(_name("fc2", block) or "mlp"),
    }


def layers(module: Any) -> Layers:
    """List the layers of every block.

    The last norm of CLIP sees its class token alone, and is left out.
    """
    path, each = _list(module)
    found = {"embed": Tap(f"{path}.0", is_input=True)}
    for i, block in enumerate(each.children()):
        parts = _parts(block)
        found |= blocks.inside(module, f"{path}.{i}", f"blocks.{i}", parts)
    # The norm stands beside the list, or beside the encoder that holds it.
    outer = path.rpartition(".")[0]
    for place in (outer, outer.rpartition(".")[0]):
        name = _name("norm", module.get_submodule(place))
        if name and module.config.model_type != "clip_vision_model":
            return found | {"norm": Tap(f"{place}.{name}".lstrip("."))}
    return found


def sums(module: Any, layers: Layers) -> Sums:
    """List the two sums of every block."""
    block = next(_list(module)[1].children())
    entry = _name("ln1", block)
    return blocks.two_sums(layers, "attn", "attention", entry)


def layout(module: Any) -> Layout:
    """Find the tokens of an image of the size that the model is shown."""
    config, patch = module.config, module.config.patch_size
    down, across = (patch, patch) if isinstance(patch, int) else patch
    high, wide = module.pretrained_cfg["input_size"][1:]
    first = CLASS_TOKENS[config.model_type]
    return Layout(
        first + getattr(config, "num_register_tokens", 0),
        bool(first),
        (high // down, wide // across),
        (down, across),
    )


def weights(rope: Any, size: Grid, heads: int, qkv: Tensor) -> Tensor:
    """Compute the attention of queries and keys, rotated in DINOv3.

    Args:
        rope: the module that gives cosines and sines of patches, or None.
        size: height and width of the image in pixels.
        heads: number of heads.
        qkv: (n, tokens, 3 * width).

    Returns:
        (n, heads, tokens, tokens) in float32.
    """
    q, k, _ = split_heads(qkv, heads)
    if rope is not None:
        cos, sin = rope(torch.zeros(1, 3, *size, device=q.device))
        angles = torch.cat([sin, cos], -1)
        rotate = partial(apply_rot_embed_cat, emb=angles, half=True)
        q, k = token_attention.rotate_patches(
            q, k, q.shape[2] - len(angles), rotate
        )
    return softmax(q, k, q.shape[-1] ** -0.5)


def attention_layers(module: Any) -> list[AttentionLayer] | str:
    """Read the attention of every block."""
    path, each = _list(module)
    heads = module.config.num_attention_heads
    rope = getattr(module, "rope_embeddings", None)
    read = partial(
        weights, rope, module.pretrained_cfg["input_size"][1:], heads
    )
    return token_attention.on_one_grid(
        layout(module),
        (
            (_qkv(block, f"{path}.{i}."), heads, read)
            for i, block in enumerate(each.children())
        ),
    )


FAMILY = Family(
    name="hugging_face",
    words=blocks.TOKEN_WORDS,
    recognises=recognises,
    layers=layers,
    sums=sums,
    attention=attention_layers,
    layout=layout,
    image_size=lambda module: None,
)
