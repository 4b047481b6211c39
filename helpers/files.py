"""Labelled pictures at hand: folders, ImageNet, digits, bare garments.

Each reader finds the rows of a split and decodes pictures when asked to.
Where a set has no split of its own, every fifth picture is for testing. Do
not call it from a page: `helpers.images` wraps what it finds.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from helpers import wardrobe

Index = NDArray[np.int64]
Read = Callable[[Index], list[Image.Image]]

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
SPLIT_FOLDERS = {"train": ("train",), "test": ("test", "val")}


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


def digits(split: str) -> Found:
    """Find scikit-learn's handwritten digits, 8 by 8 pixels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = np.round(data.images * (255 / 16)).astype(np.uint8)
    return Found(
        part(len(grey), split),
        data.target.astype(np.int64),
        tuple(map(str, data.target_names)),
        lambda rows: [Image.fromarray(grey[i]).convert("RGB") for i in rows],
        "CC BY 4.0",
        "Optical Recognition of Handwritten Digits (UCI), scikit-learn",
    )


def fashion_mnist(split: str) -> Found:
    """Find the photographs the lab's scenes are composed from, 28 by 28.

    They are grey, without fabric or background; the part of Fashion-MNIST
    that `data/make_garments.py` keeps.
    """
    pixels, first = wardrobe.photographs(split)
    grey = pixels.numpy()
    return Found(
        np.arange(len(grey)),
        np.repeat(np.arange(len(first) - 1), np.diff(first)),
        wardrobe.GARMENTS,
        lambda rows: [Image.fromarray(grey[i]).convert("RGB") for i in rows],
        "MIT",
        "Fashion-MNIST (Zalando SE), its clear part",
    )


def folder(root: Path, split: str) -> Found:
    """Find the pictures of a folder with one subfolder a class.

    Args:
        root: holds the class folders, or a `train` and a `test` (or `val`)
            folder with class folders in each.
        split: `train` or `test`.

    Raises:
        ValueError: no picture in it.
    """
    own = {
        part: [root / name for name in given if (root / name).is_dir()]
        for part, given in SPLIT_FOLDERS.items()
    }
    tops = [found[0] for found in own.values()] if all(own.values()) else []
    top = own[split][0] if tops else root
    paths = sorted(filter(_is_picture, top.rglob("*")))
    if not paths:
        raise ValueError(
            f"no image in {top}; expected one subfolder a class with files "
            f"ending in {', '.join(sorted(SUFFIXES))}"
        )
    kinds = [(*f.relative_to(top).parent.parts, top.name)[0] for f in paths]
    class_names = tuple(sorted({*kinds, *_classes(tops)}))
    return Found(
        np.arange(len(paths)) if top != root else part(len(paths), split),
        np.array([class_names.index(k) for k in kinds], dtype=np.int64),
        class_names,
        lambda rows: [decode(paths[i], str(paths[i])) for i in rows],
        "as the owner of the folder says",
        str(root),
    )


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _classes(tops: list[Path]) -> list[str]:
    """List the class folders of all splits, so that labels agree."""
    folders = [f for top in tops for f in top.iterdir() if f.is_dir()]
    return [f.name for f in folders if any(map(_is_picture, f.rglob("*")))]


def imagenet(root: Path, split: str) -> Found:
    """Find ImageNet in a folder, or a part of its classes.

    Labels are those of a head for ImageNet-1k, also where classes are
    missing; names are those of WordNet.

    Args:
        root: a folder as for `folder`, with class folders named by their
            WordNet id (`n01440764`).
        split: `train` or `test`.

    Raises:
        ValueError: no picture in it, or a folder of another name.
    """
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    ids = info.label_names()
    found = folder(root, split)
    strange = sorted(set(found.class_names) - set(ids))
    if strange:
        raise ValueError(
            f"{root} has the class folder {strange[0]!r}; expected WordNet "
            f"ids of ImageNet-1k, like {ids[0]!r}, below train and val"
        )
    labels = np.array([ids.index(name) for name in found.class_names])
    return replace(
        found,
        labels=labels[found.labels],
        class_names=tuple(map(info.label_name_to_description, ids)),
        licence="research and education, not commercial (image-net.org)",
    )


def part(size: int, split: str) -> Index:
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
