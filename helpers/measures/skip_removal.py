"""Take skip connections from a trained network, for a while.

`remove_skip` says how a trained network uses its skips, not what they are
for: a network that is built without them (`helpers.lab.skipless_blocks`)
never learned to rely on them (Raghu et al. 2021, section 6, figure 8).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from timm.models.mlp_mixer import MixerBlock
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from helpers.features.arguments import checked
from helpers.features.layer_selection import names
from helpers.lab.skipless_blocks import BOTH, SkiplessBlock, SkiplessMixerBlock
from helpers.runtime.errors import unknown

if TYPE_CHECKING:
    from helpers.models.vision_model import VisionModel

BRANCHES = {
    "both": BOTH,
    "attn": frozenset({"attn"}),
    "mlp": frozenset({"mlp"}),
}


class _Nothing(nn.Module):
    """The skip connection of a ResNet block, all zeros."""

    def __init__(self, skip: nn.Module | None) -> None:
        super().__init__()
        self.skip = skip or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(self.skip(x))


_SKIPLESS = {Block: SkiplessBlock, MixerBlock: SkiplessMixerBlock}


@checked
@contextmanager
def remove_skip(
    model: VisionModel, blocks: str, branch: str = "both"
) -> Iterator[None]:
    """Remove skip connections of a trained model, inside a `with`.

    The weights stay, and after the `with` the model is as before. This is a
    test of a trained model; for models trained without a skip see
    `SkiplessBlock`.

    Args:
        model: a ViT, a ResNet or a Mixer.
        blocks: which blocks, as in a layer selection: `blocks.6`,
            `blocks.0-3`, `stages.2.*`, or `all`.
        branch: around which sublayer: `attn` (in a Mixer token mixing),
            `mlp` or `both`. A block of a ResNet has one skip: `both`.

    Raises:
        ValueError: unknown blocks or branch, a branch that the model does
            not have, or blocks of another kind; names the valid ones.
    """
    if branch not in BRANCHES:
        raise unknown("branch", branch, BRANCHES)
    if model.family == "resnet" and branch != "both":
        raise ValueError(
            f"a block of {model.spec} has one skip connection; the only "
            f"valid branch is 'both', not {branch!r}"
        )
    patterns = [f"{p.strip()}.out" for p in blocks.split(",")]
    chosen = names(model, "out" if blocks == "all" else ",".join(patterns))
    with ExitStack() as undo:
        for name in chosen:
            path = model.taps[name].path
            block = model.module.get_submodule(path)
            if model.family == "resnet":
                skip: Any = block.downsample
                undo.callback(setattr, block, "downsample", skip)
                block.downsample = _Nothing(skip)
                continue
            kind = type(block)
            if kind not in (*_SKIPLESS, *_SKIPLESS.values()):
                raise ValueError(
                    f"{name} of {model.spec} is a {kind.__name__}; skip "
                    "connections can be removed from the blocks of timm's "
                    "ViTs, ResNets and Mixers"
                )
            twin: Any = copy.copy(block)  # shares weights, hooks and parts
            twin.__class__ = _SKIPLESS.get(kind, kind)
            twin.without = getattr(block, "without", BOTH - BOTH)
            twin.without |= BRANCHES[branch]
            undo.callback(model.module.set_submodule, path, block)
            model.module.set_submodule(path, twin)
        yield


def skipless_blocks(model: VisionModel) -> list[int]:
    """Number the blocks of a ViT or Mixer that have no skip connection.

    Returns:
        Blocks, from 0, in which a skip connection is missing around either
        branch or both, whether built so or made so by `remove_skip`.
    """
    kinds = tuple(_SKIPLESS.values())
    blocks = getattr(model.module, "blocks", [])
    return [i for i, block in enumerate(blocks) if isinstance(block, kinds)]
