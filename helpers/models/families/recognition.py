"""Which family a model is of."""

from __future__ import annotations

from torch import nn

from helpers.models.families import (
    beit,
    cait,
    convnext,
    efficientnet,
    eva,
    generic,
    hiera,
    hugging_face,
    mixer,
    naflex,
    regnet,
    resnet,
    swin,
    vit,
    xcit,
)
from helpers.models.families.family import Family

FAMILIES: tuple[Family, ...] = tuple(
    each.FAMILY
    for each in (
        *(vit, eva, naflex, beit, cait, xcit, swin, hiera, convnext),
        *(resnet, regnet, efficientnet, mixer),
        *(hugging_face, generic),
    )
)
"""In the order in which they are asked; `generic` takes what is left."""

WORDS = tuple(
    dict.fromkeys(word for family in FAMILIES for word in family.words)
)
"""Last parts of the canonical names of layers, of all families."""


def recognise(module: nn.Module) -> Family:
    """Find the family of a model."""
    return next(f for f in FAMILIES if f.recognises(module))
