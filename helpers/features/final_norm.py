"""Read the blocks of a model as its own head would: after the final norm.

A ViT normalises its last tokens before anything reads them. Published
numbers differ in whether features of blocks are taken before that norm (raw)
or after it, and for some models by much: so a number has to say which.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn

from helpers.features.arguments import checked
from helpers.models.families.family import Tap

if TYPE_CHECKING:
    from helpers.models.vision_model import VisionModel

NORM = "norm"


@checked
def after_norm(model: VisionModel) -> VisionModel:
    """Describe a model whose block outputs are read after its final norm.

    The network computes what it always does. The norm, with its learned
    scale and shift, is applied to each token, before tokens are pooled.

    Args:
        model: a model with a norm after its last block.

    Returns:
        A description of the same module with its layers `out`, and no
        others.

    Raises:
        ValueError: a model without such a norm, or with blocks of other
            widths.
    """
    tap = model.taps.get(NORM)
    norm = model.module.get_submodule(tap.path) if tap else None
    if tap is None or not isinstance(norm, nn.LayerNorm):
        raise ValueError(
            f"{model.spec} has no layer norm over the tokens of its last "
            "block, so there is nothing to read after it; read raw features"
        )

    def read(own: Tap, module: nn.Module, x: Tensor) -> Tensor:
        x = own.read(module, x) if own.read else x
        if x.shape[-1] != norm.normalized_shape[0]:
            raise ValueError(
                f"a block of {model.spec} is {x.shape[-1]} wide, its final "
                f"norm {norm.normalized_shape[0]}; read raw features"
            )
        normed: Tensor = norm.forward(x)  # not called: its hooks must not hear
        return normed

    return replace(
        model,
        taps={
            name: replace(own, read=partial(read, own))
            for name, own in model.taps.items()
            if name.rpartition(".")[2] == "out"
        },
    )
