"""From the key and the factors of a scene to its pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from helpers.lab.scenes import corruptions, fabrics
from helpers.lab.scenes.hashing import keys, uniform, words
from helpers.lab.scenes.scenery import (
    cloth,
    clouds,
    coordinates,
    cut_out,
    shapes,
    sketch,
)

_DRAWS = (
    *("garment", "photograph", "fabric", "x", "y", "size", "tilt"),
    *("frequency", "turn", "phase_u", "phase_v", "swap"),
    *("hue_1", "saturation_1", "light_1", "hue_2", "saturation_2", "light_2"),
    *("hue", "coarseness", "sides", "hue_far", "saturation", "light", "depth"),
)


NUISANCES: dict[str, tuple[str, ...]] = {
    "place": ("x", "y", "size", "tilt"),
    "background": (
        *("hue", "coarseness", "sides", "hue_far"),
        *("saturation", "light", "depth"),
    ),
    "cloth": (
        *("frequency", "turn", "phase_u", "phase_v", "swap"),
        *("hue_1", "saturation_1", "light_1"),
        *("hue_2", "saturation_2", "light_2"),
    ),
}
"""Groups of draws that say nothing about garment or fabric."""

_AGAIN = 2
"""Sets apart the keys by which nuisances are drawn again."""


def draw_words(key: Tensor, redrawn: Sequence[str] = ()) -> dict[str, Tensor]:
    """Draw words (n,) for every name in _DRAWS.

    Args:
        key: (n,) keys of the scenes.
        redrawn: groups of NUISANCES for which other words are drawn.
    """
    word = dict(zip(_DRAWS, words(key, len(_DRAWS), 1).T, strict=True))
    if redrawn:
        other = draw_words(keys(key, _AGAIN))
        names = [name for group in redrawn for name in NUISANCES[group]]
        word |= {name: other[name] for name in names}
    return word


def render(
    key: Tensor,
    factors: dict[str, Tensor],
    images: Tensor,
    variant: str,
    redrawn: Sequence[str] = (),
) -> Tensor:
    """Draw scenes (n, 3, 64, 64), uint8.

    Args:
        key: (n,) keys of the scenes.
        factors: the truth about them (n,).
        images: photographs.
        variant: of the wardrobe.
        redrawn: groups of NUISANCES that are drawn again.
    """
    word = draw_words(key, redrawn)
    u = {name: uniform(value) for name, value in word.items()}
    if "background" in redrawn:
        key = keys(key, _AGAIN)
    q_x, q_y = coordinates(factors)
    alpha, shade = cut_out(images[factors["photograph"]], q_x, q_y)
    unseen = variant == "unseen_fabrics"
    weaves = fabrics.UNSEEN if unseen else fabrics.SEEN
    wear = cloth(u, factors["fabric"], q_x, q_y, tuple(weaves.values()))
    wear = wear * shade[:, None]
    if variant in ("no_background", "sketch"):
        ground = torch.full_like(wear, 128 / 255)
    elif variant == "unseen_backgrounds":
        ground = shapes(key, u)
    else:
        ground = clouds(key, u)
    scene = ground + alpha[:, None] * (wear - ground)
    if variant == "sketch":
        scene = sketch(scene, alpha)
    name, _, severity = variant.partition("-")
    if severity:
        scene = corruptions.corrupt(
            scene.clamp(0, 1), key, name, int(severity)
        )
    return (scene * 255 + 0.5).clamp(0, 255).to(torch.uint8)
