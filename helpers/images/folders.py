"""Labelled pictures in folders, ImageNet's among them.

Do not call it from a page: `helpers.images` wraps what it finds.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from helpers.images.found import Found, Source, decode, rows_of

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
SPLIT_FOLDERS = {"train": ("train",), "test": ("test", "val")}


def source(spec: str) -> Source:
    """Parse `folder:<path>` or `imagenet:<path>`.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    kind, _, path = spec.partition(":")
    if not path or not Path(path).is_dir():
        raise FileNotFoundError(
            f"no images at {path!r} (from {spec!r}): not a folder"
        )
    read = imagenet if kind == "imagenet" else folder
    return Source(lambda split, *_: read(Path(path), split))


def folder(root: Path, split: str) -> Found:
    """Find the pictures of a folder with one subfolder per class.

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
            f"no image in {top}; expected one subfolder per class with files "
            f"ending in {', '.join(sorted(SUFFIXES))}"
        )
    kinds = [(*f.relative_to(top).parent.parts, top.name)[0] for f in paths]
    class_names = tuple(sorted({*kinds, *_classes(tops)}))
    return Found(
        np.arange(len(paths)) if top != root else rows_of(len(paths), split),
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
