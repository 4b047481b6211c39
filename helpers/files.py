"""Labelled pictures in files: folders, parquet, digits, bare garments.

Each reader finds the rows of a split and decodes pictures when asked to.
Where a set has no split of its own, every fifth picture is for testing. Do
not call it from a page: `helpers.images` wraps what it finds.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

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
        _part(len(grey), split),
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
    top = own[split][0] if all(own.values()) else root
    paths = sorted(f for f in top.rglob("*") if f.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(
            f"no image in {top}; expected one subfolder a class with files "
            f"ending in {', '.join(sorted(SUFFIXES))}"
        )
    kinds = [(*f.relative_to(top).parent.parts, top.name)[0] for f in paths]
    class_names = tuple(sorted(set(kinds)))
    return Found(
        np.arange(len(paths)) if top != root else _part(len(paths), split),
        np.array([class_names.index(k) for k in kinds], dtype=np.int64),
        class_names,
        lambda rows: [_decode(paths[i], str(paths[i])) for i in rows],
        "as the owner of the folder says",
        str(root),
    )


def parquet(path: Path, split: str) -> Found:
    """Find the pictures of a parquet file, or of a folder of such files.

    Args:
        path: a file with a column of encoded pictures (bytes, or a struct
            with `bytes`) and one of integer labels, or a folder of files with
            the split in their names.
        split: `train` or `test`.

    Raises:
        ValueError: no such file or column, or a damaged file.
    """
    paths = [path]
    if path.is_dir():
        paths = sorted(f for f in path.glob("*.parquet") if split in f.name)
    if not paths:
        raise ValueError(
            f"no parquet file with {split!r} in its name in {path}"
        )
    try:
        table = pa.concat_tables([pq.read_table(f) for f in paths])
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{paths[0]} is damaged or not a parquet file: {error}"
        ) from error
    schema = table.schema
    pictures = [f.name for f in schema if pa.types.is_struct(f.type)]
    pictures += [f.name for f in schema if pa.types.is_binary(f.type)]
    numbers = [f.name for f in schema if pa.types.is_integer(f.type)]
    if not pictures or not numbers:
        raise ValueError(
            f"{paths[0]} needs a column of encoded images and one of integer "
            f"labels; its columns are {', '.join(schema.names)}"
        )
    column = "label" if "label" in numbers else numbers[0]
    labels = table[column].to_numpy().astype(np.int64)
    cells = table[pictures[0]]

    def read(rows: Index) -> list[Image.Image]:
        found = [(int(i), cells[int(i)].as_py()) for i in rows]
        return [
            _decode(
                io.BytesIO(cell["bytes"] if isinstance(cell, dict) else cell),
                f"row {i} of {path}",
            )
            for i, cell in found
        ]

    return Found(
        np.arange(len(labels)) if path.is_dir() else _part(len(labels), split),
        labels,
        _class_names(schema.metadata, column, labels),
        read,
        "as the owner of the file says",
        str(path),
    )


def _part(size: int, split: str) -> Index:
    every = np.arange(size)
    part: Index = every[(every % 5 == 4) == (split == "test")]
    return part


def _class_names(
    metadata: dict[bytes, bytes] | None, column: str, labels: Index
) -> tuple[str, ...]:
    """Take the names from the `datasets` library's note, if there is one."""
    note = json.loads((metadata or {}).get(b"huggingface", b"{}"))
    features = note.get("info", {}).get("features", {})
    given = features.get(column, {}).get("names")
    return tuple(given or map(str, range(int(labels.max()) + 1)))


def _decode(file: Path | io.BytesIO, name: str) -> Image.Image:
    try:
        with Image.open(file) as picture:
            return picture.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"unreadable image: {name} ({error})") from error
