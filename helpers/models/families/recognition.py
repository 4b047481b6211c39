"""Which family a model is of."""

from __future__ import annotations

from torch import nn

from helpers.models.families import generic, mixer, resnet, vit
from helpers.models.families.family import Family

FAMILIES = (vit.FAMILY, mixer.FAMILY, resnet.FAMILY, generic.FAMILY)
"""In the order in which they are asked; `generic` takes what is left."""

WORDS = tuple(
    dict.fromkeys(word for family in FAMILIES for word in family.words)
)
"""Last parts of the canonical names of layers, of all families."""


def recognise(module: nn.Module) -> Family:
    """Find the family of a model."""
    return next(f for f in FAMILIES if f.recognises(module))
