"""Wardrobe: small colour scenes of which every factor is known.

A photograph of a garment (Fashion-MNIST) wears one of ten procedural fabrics
and stands at a random place, size and tilt before a cloudy background. Scene
i is a pure function of (split, i, seed, variant): there is nothing to
download, any number of scenes, and the truth about each of them.

Do not use it to compare with published accuracies: the photographs are the
clear part of Fashion-MNIST (see `data/make_garments.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from helpers.lab.scenes import corruptions, fabrics
from helpers.lab.scenes.drawing import NUISANCES, draw_words, render
from helpers.lab.scenes.hashing import below, keys, uniform
from helpers.lab.scenes.scenery import SIDE
from helpers.runtime.errors import unknown
from helpers.runtime.paths import DATA

GARMENTS = (
    "T-shirt",
    "trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
FABRICS = tuple(fabrics.SEEN)
UNSEEN_FABRICS = tuple(fabrics.UNSEEN)
SEVERITIES = (1, 2, 3, 4, 5)
CORRUPTED = tuple(
    f"{c}-{s}" for c in corruptions.CORRUPTIONS for s in SEVERITIES
)
VARIANTS = (
    "none",
    "unseen_fabrics",
    "unseen_backgrounds",
    "no_background",
    "sketch",
    *CORRUPTED,
)
SIZES = {"train": 50_000, "test": 10_240}
"""How many scenes of a split make the nominal image set; any index works."""

Index = Sequence[int] | NDArray[np.integer] | Tensor

_CHUNK = {"cpu": 32}
"""Scenes drawn at once, so that they stay in a core's cache; else 1024."""


@dataclass(frozen=True)
class Scenes:
    """Scenes and the truth about them.

    Attributes:
        pixels: (n, 3, 64, 64) uint8, RGB.
        factors: (n,) tensors. int64: `garment` and `fabric` (places in
            GARMENTS and FABRICS, or UNSEEN_FABRICS in the variant
            "unseen_fabrics"), `class` (10 * garment + fabric; with the five
            unseen fabrics 5 * garment + fabric), `photograph` (row in the
            split's photographs). float32: `x`, `y`
            (centre of the photograph in [-1, 1], to the right and down),
            `size` (side of the photograph, as a share of the frame's),
            `tilt` (degrees, clockwise), `hue` (of the background, [0, 1)),
            `coarseness` (of the background, [0, 1): how little of its
            variance is fine).
    """

    pixels: Tensor
    factors: dict[str, Tensor]


@cache
def photographs(
    split: str, device: str = "cpu"
) -> tuple[Tensor, tuple[int, ...]]:
    """Read the photographs of a split.

    Returns:
        (m, 28, 28) uint8, sorted by class, and the first row of each class,
        followed by m.
    """
    if split not in SIZES:
        raise unknown("split", split, SIZES)
    path = DATA / "garments.npz"
    with np.load(path) as arrays:
        images = torch.from_numpy(arrays[f"{split}_images"])
        labels = arrays[f"{split}_labels"]
    first = np.searchsorted(labels, range(len(GARMENTS) + 1))
    return images.to(device), tuple(map(int, first))


def compose(
    split: str,
    index: Index,
    seed: int = 0,
    variant: str = "none",
    device: str | torch.device = "cpu",
    garments: float | None = None,
    redrawn: Sequence[str] = (),
) -> Scenes:
    """Make scenes.

    A scene does not depend on which others are made with it. A variant
    changes what it names and leaves every factor and all else as it was
    ("unseen_fabrics" puts the fabric k mod 5 of UNSEEN_FABRICS in the place
    of fabric k, so there `fabric` and `class` count those). Devices draw the
    same integers; rounding may differ by a level of 255.

    Args:
        split: "train" or "test"; no photograph is in both.
        index: n numbers of scenes, at least 0.
        seed: another seed is another set of scenes.
        variant: one of VARIANTS.
        device: where the scenes are made and stay.
        garments: use only this share of each class's photographs, in (0, 1];
            a smaller share is part of a larger one. None: all of them.
        redrawn: groups of NUISANCES that are drawn again: the same garment
            in the same weave at another place, before another background, in
            cloth of other colours, scale and turn.

    Returns:
        The n scenes.

    Raises:
        ValueError: unknown split, variant or group, a negative index, a share
            outside (0, 1].
        TypeError: an index that is not made of integers.
    """
    device = torch.device(device)
    truth = factors(split, index, seed, variant, device, garments, redrawn)
    images, _ = photographs(split, str(device))
    key = _keys(split, index, seed, device)
    pixels = torch.empty(
        (len(key), 3, SIDE, SIDE), dtype=torch.uint8, device=device
    )
    size = _CHUNK.get(device.type, 1024)
    for start in range(0, len(key), size):
        rows = slice(start, start + size)
        part = {name: values[rows] for name, values in truth.items()}
        pixels[rows] = render(key[rows], part, images, variant, redrawn)
    return Scenes(pixels, truth)


def factors(
    split: str,
    index: Index,
    seed: int = 0,
    variant: str = "none",
    device: str | torch.device = "cpu",
    garments: float | None = None,
    redrawn: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Tell the truth about scenes without drawing them.

    Arguments and errors are those of `compose`, the result is its
    `Scenes.factors`.
    """
    device = torch.device(device)
    _, first = photographs(split, str(device))
    if variant not in VARIANTS:
        raise unknown("variant", variant, VARIANTS)
    share = 1.0 if garments is None else garments
    if not 0 < share <= 1:
        raise ValueError(f"garments must be in (0, 1], not {garments}")
    for group in redrawn:
        if group not in NUISANCES:
            raise unknown("group of factors", group, NUISANCES)
    word = draw_words(_keys(split, index, seed, device), redrawn)
    u = {name: uniform(value) for name, value in word.items()}
    garment = below(word["garment"], len(GARMENTS))
    fabric = below(word["fabric"], len(FABRICS))
    fabrics_worn = len(FABRICS)
    if variant == "unseen_fabrics":
        fabrics_worn = len(UNSEEN_FABRICS)
        fabric = fabric % fabrics_worn
    begin = torch.tensor(first, device=device)
    count = (begin.diff() * share).round().long().clamp(min=1)
    row = begin[garment] + (word["photograph"] * count[garment] >> 32)
    size = 0.72 + 0.26 * u["size"]
    room = 1.06 - size
    return {
        "garment": garment,
        "fabric": fabric,
        "class": fabrics_worn * garment + fabric,
        "photograph": row,
        "x": (2 * u["x"] - 1) * room,
        "y": (2 * u["y"] - 1) * room,
        "size": size,
        "tilt": 24 * u["tilt"] - 12,
        "hue": u["hue"],
        "coarseness": u["coarseness"],
    }


def _keys(split: str, index: Index, seed: int, device: torch.device) -> Tensor:
    """Make the keys (n,) of scenes."""
    return keys(_checked(index).to(device), list(SIZES).index(split), seed)


def _checked(index: Index) -> Tensor:
    """Turn an index into an (n,) int64 tensor, or say what is wrong."""
    array = np.asarray(index.cpu() if isinstance(index, Tensor) else index)
    if array.ndim != 1:
        raise ValueError(f"index must be (n,), not {array.shape}")
    if not len(array):
        array = array.astype(np.int64)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"index must be integers, not {array.dtype}")
    if len(array) and array.min() < 0:
        raise ValueError(f"index must be at least 0, not {array.min()}")
    return torch.from_numpy(array.astype(np.int64))
