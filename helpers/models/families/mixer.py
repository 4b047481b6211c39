"""MLP-Mixers: a block mixes tokens with one MLP and channels with another.

Its token mixing has the place that attention has in a transformer.
"""

from __future__ import annotations

from typing import Any

from timm.models.mlp_mixer import MixerBlock, MlpMixer
from torch import Tensor, nn

from helpers.models.families import blocks
from helpers.models.families.family import Family, Layers, Sums, Tap


def _tokens_first(_: nn.Module, x: Tensor) -> Tensor:
    return x.transpose(1, 2)  # token mixing works on (n, channels, tokens)


PARTS = {
    "ln1": Tap("norm1"),
    "mix": Tap("mlp_tokens", read=_tokens_first),
    "mid": Tap("norm2", is_input=True),
    "ln2": Tap("norm2"),
    "fc1": Tap("mlp_channels.fc1"),
    "act": Tap("mlp_channels.act"),
    "fc2": Tap("mlp_channels.fc2"),
}


def recognises(module: Any) -> bool:
    """Say whether all blocks are plain ones."""
    return isinstance(module, MlpMixer) and all(
        isinstance(block, MixerBlock) for block in module.blocks
    )


def layers(module: Any) -> Layers:
    """List the layers of every block."""
    return blocks.blocks(module, PARTS)


def sums(module: Any, layers: Layers) -> Sums:
    """List the two sums of every block."""
    return blocks.two_sums(layers, "mix", "token mixing")


FAMILY = Family(
    name="mixer",
    words=("embed", *PARTS, "out", "norm"),
    recognises=recognises,
    layers=layers,
    sums=sums,
    attention=blocks.no_attention("a mixer"),
    layout=blocks.token_layout,
)
