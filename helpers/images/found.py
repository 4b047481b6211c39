"""What a reader of pictures finds, and how a picture is decoded.

A spec is parsed to a `Source`, which finds the rows of a split; pictures are
decoded when they are asked for. Where a set has no split of its own, every
fifth picture is for testing.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

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
        class_names: one name per class.
        read: from rows to RGB pictures.
        licence: under which terms they may be used.
        source: where they come from.
        targets: what else is known of every row, name -> (rows,); empty
            where the classes are all.
        target_names: the names of the values of categorical targets.
    """

    rows: Index
    labels: Index
    class_names: tuple[str, ...]
    read: Read
    licence: str
    source: str
    targets: dict[str, NDArray[Any]] = field(default_factory=dict)
    target_names: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Source(NamedTuple):
    """What a valid spec names; nothing of it is loaded or fetched yet.

    Attributes:
        find: from `train` or `test`, how many images will be drawn (None for
            all) and the seed of the draw, to what the reader found. Raises
            ValueError for files it cannot read, ConnectionError for what
            it cannot fetch.
        gigabytes: to download for all of it, about; 0 where nothing is, None
            where it is not known.
        note: what to know of the download.
        repo: the repository of the hub, if that is where it comes from.
    """

    find: Callable[[str, int | None, int], Found]
    gigabytes: float | None = 0.0
    note: str = ""
    repo: str = ""


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
        ValueError: no picture, a damaged one, one of other levels than 8 or
            16 bits, or a pipe or a device, of which nothing may ever come.
    """
    try:
        if isinstance(file, Path) and file.exists() and not file.is_file():
            raise OSError("it is not a regular file")
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
