"""What a reader of pictures finds, and how a picture is decoded.

Each reader finds the rows of a split and decodes pictures when asked to.
Where a set has no split of its own, every fifth picture is for testing.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Index = NDArray[np.int64]
Read = Callable[[Index], list[Image.Image]]


@dataclass(frozen=True)
class Found:
    """What a reader found.

    Attributes:
        rows: which rows belong to the split.
        labels: class of every row, of all splits.
        class_names: one name a class.
        read: from rows to RGB pictures.
        licence: under which terms they may be used.
        source: where they come from.
    """

    rows: Index
    labels: Index
    class_names: tuple[str, ...]
    read: Read
    licence: str
    source: str


def rows_of(size: int, split: str) -> Index:
    """Return every fifth position for `test`, the others for `train`.

    Raises:
        ValueError: fewer than five, so that none is for testing.
    """
    every = np.arange(size)
    chosen: Index = every[(every % 5 == 4) == (split == "test")]
    if not len(chosen):
        raise ValueError(
            f"of {size} images none is for the split {split!r}: every fifth "
            "is for testing, so give 5 or more"
        )
    return chosen


def decode(file: Path | io.BytesIO, name: str) -> Image.Image:
    """Decode a picture to RGB; `name` is what an error calls it.

    Raises:
        ValueError: no picture, a damaged one, or one of other levels than 8
            or 16 bits.
    """
    try:
        with Image.open(file) as picture:
            return rgb(picture)
    except Exception as error:  # what Pillow raises depends on the damage
        raise ValueError(f"unreadable image: {name} ({error})") from error


def rgb(picture: Image.Image) -> Image.Image:
    """Make a picture RGB; 16 bits are scaled, not clipped.

    Raises:
        ValueError: its levels are not those of 8 or 16 bits.
    """
    if picture.mode[0] not in "IF":
        return picture.convert("RGB")
    levels = np.asarray(picture)
    if picture.mode == "F" or levels.min() < 0 or levels.max() > 65_535:
        raise ValueError(
            f"levels from {levels.min():g} to {levels.max():g}; expected 8 or "
            "16 bits"
        )
    scaled = (levels // 257).astype(np.uint8)
    return Image.fromarray(scaled).convert("RGB")
