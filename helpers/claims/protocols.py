"""Whose models and images a verdict comes from: exact, proxy or lab.

Only the paper's own models, images and numbers of them may speak against a
paper. Most of it is not public: the models of Raghu et al. were trained on
JFT-300M, Shekhar et al. released neither their fine-tuned models nor their
classifiers, Odonnat et al. used sets that have no spec. Their pages are not
in `EXACT`, so that what stands in for these is *proxy*, whatever it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from helpers.claims.verdicts import FAILS, REFUTED

PROTOCOLS = ("exact", "proxy", "lab")
LAB = ("lab/", "natural/", "wardrobe", "digits", "fashion_mnist")
"""How specs of the models and images begin that are made here."""

_TRIO: dict[str, Sequence[str | int]] = {
    "contrastive": ("release/moco_v3_vit_b",),
    "distilled": ("release/dino_vit_b_linear", "vit_base_patch16_224.dino"),
    "reconstructive": ("release/mae_vit_b", "vit_base_patch16_224.mae"),
    "images": ("imagenet",),
    "num_images": (1024,),
    "batch_size": (32,),
}
EXACT: dict[str, dict[str, Sequence[str | int]]] = {
    "ssl_structure": _TRIO,
    "ssl_layer_types": _TRIO,
}
"""By page, the values of its parameters that are those of the paper; a spec
may go on with a colon and where its files are."""


def protocol(page: str, parameters: Mapping[str, Any]) -> str:
    """Tell by the parameters of a page whose experiment it ran.

    Args:
        page: the page.
        parameters: what it ran with, all of them.

    Returns:
        `lab` where a model or a set of images was made here, `exact` where
        all is as in the paper, else `proxy`.
    """
    if any(spec.startswith(LAB) for spec in _strings(parameters)):
        return "lab"
    wanted = EXACT.get(page)
    if wanted and all(
        name in parameters and _is(parameters[name], values)
        for name, values in wanted.items()
    ):
        return "exact"
    return "proxy"


def worded(verdict: str, protocol: str) -> str:
    """Word a verdict by whose experiment it was found in."""
    return REFUTED if (verdict, protocol) == (FAILS, "exact") else verdict


def _is(given: Any, values: Sequence[str | int]) -> bool:
    """Compare a value, or a spec up to its colon, with the paper's."""
    bare = given.partition(":")[0] if isinstance(given, str) else given
    return bare in values


def _strings(parameters: Mapping[str, Any]) -> Iterator[str]:
    for value in parameters.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str):
                yield part
