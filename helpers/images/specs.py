"""From an image spec to an image set.

A spec is a string:

- `wardrobe`, or `wardrobe:<variant>` (`wardrobe:sketch`,
  `wardrobe:gaussian_noise-3`): the lab's composed scenes;
- `digits`: scikit-learn's handwritten digits;
- `fashion_mnist`: the photographs of the scenes alone, small and grey;
- `natural`: the photographs that models named `natural/...` were trained on;
- `folder:<path>`: one subfolder a class; with `train` and `test` (or `val`)
  folders above these, or else every fifth image is the test split;
- `parquet:<path>`: a parquet file, or a folder of files with the split in
  their names, with a column of encoded images and one of labels
  (`?image=<column>&label=<column>` where it has several);
- `hf:<owner>/<name>`, `hf:<owner>/<name>:<config>`: parquet files of the
  Hugging Face hub, with `cifar10`, `cifar100`, `imagenette` and `imagenet`
  as short names (`helpers.images.hub`);
- `imagenet:<path>`: ImageNet's folder, labels as in ImageNet's heads;
- `torchvision:<name>`: a set of torchvision (`helpers.images.torchvision`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import helpers.images.folders as folders
import helpers.images.hub as hub
import helpers.images.lab as lab
import helpers.images.parquet as parquet
import helpers.images.torchvision as torchvision
from helpers.images.found import Found, Index
from helpers.images.image_set import Images
from helpers.images.lab import scenes
from helpers.lab import photographs, wardrobe
from helpers.runtime.errors import unknown

SPLITS = ("train", "test")
BUNDLED = {"digits": lab.digits, "fashion_mnist": lab.fashion_mnist}
SETS = (
    *("wardrobe", *BUNDLED, *hub.ALIASES, "hf:<owner>/<name>"),
    *("natural", "folder:<path>", "parquet:<path>", "imagenet:<path>"),
    "torchvision:<name>",
)


class TooFewError(ValueError):
    """More images were asked for than there are."""

    def __init__(self, spec: str, there: int, asked: int) -> None:
        super().__init__(
            f"{spec} has {there} images in this split; cannot draw {asked}"
        )
        self.there = there


def check(spec: str) -> str:
    """Refuse an image spec that cannot be loaded; loads and fetches nothing.

    Returns:
        The spec, unchanged.

    Raises:
        ValueError: unknown set or variant; names the nearest valid ones.
        FileNotFoundError: the folder or file is not there.
    """
    kind, _, rest = spec.partition(":")
    if kind == "wardrobe":
        if rest not in ("", *wardrobe.VARIANTS):
            raise unknown("variant of wardrobe", rest, wardrobe.VARIANTS)
    elif kind == "hf":
        hub.parse(spec)
    elif kind == "torchvision":
        torchvision.check(rest)
    elif kind in ("folder", "parquet") or (kind == "imagenet" and rest):
        path, query = _path(spec)
        parquet.options(query, parquet.OPTIONS, spec)
        if not path or not Path(path).exists():
            raise FileNotFoundError(f"no images at {path!r} (from {spec!r})")
    elif spec == photographs.SPEC:
        photographs.check()
    elif spec not in (*BUNDLED, *hub.ALIASES):
        raise unknown("image set", spec, SETS)
    return spec


def load(
    spec: str, split: str = "test", limit: int | None = None, seed: int = 0
) -> Images:
    """Load an image set from its spec.

    Args:
        spec: see the module's description.
        split: `train` or `test`.
        limit: how many images to draw without replacement; all of them, in
            their own order, by default.
        seed: which draw.

    Raises:
        ValueError: unknown spec or split, no image found, or fewer images
            than asked for.
        FileNotFoundError: the folder or file is not there.
        ConnectionError: not in the cache, and it could not be fetched.
    """
    check(spec)
    if limit is not None and limit < 1:
        raise ValueError(f"cannot draw {limit} images of {spec}")
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    kind, _, rest = spec.partition(":")
    if kind == "wardrobe":
        index = _draw(np.arange(wardrobe.SIZES[split]), limit, seed, spec)
        return scenes(spec, split, index, rest or "none")
    found = _find(spec, split, limit, seed)
    index = _draw(found.rows, limit, seed, spec)
    labels = found.labels[index]
    return Images(
        spec=spec,
        split=split,
        labels=labels,
        class_names=found.class_names,
        targets={"class": labels},
        target_names={"class": found.class_names},
        licence=found.licence,
        source=found.source,
        index=index,
        _read=found.read,
    )


def _find(spec: str, split: str, limit: int | None, seed: int) -> Found:
    kind, _, rest = spec.partition(":")
    if spec in BUNDLED:
        return BUNDLED[spec](split)
    if kind == "hf" or spec in hub.ALIASES:
        return hub.find(spec, split, limit, seed)
    if kind == "torchvision":
        return torchvision.find(rest, split)
    if spec == photographs.SPEC:
        return lab.natural(split)
    path, query = _path(spec)
    if kind == "parquet":
        columns = parquet.options(query, parquet.OPTIONS, spec)
        return parquet.parquet(Path(path), split, **columns)
    reader = folders.imagenet if kind == "imagenet" else folders.folder
    return reader(Path(path), split)


def _path(spec: str) -> tuple[str, str]:
    """Return the path in a spec, and for parquet files the options."""
    kind, _, path = spec.partition(":")
    if kind != "parquet":
        return path, ""
    path, _, query = path.partition("?")
    return path, query


def _draw(rows: Index, limit: int | None, seed: int, spec: str) -> Index:
    if limit is None:
        return rows
    if limit > len(rows):
        raise TooFewError(spec, len(rows), limit)
    drawn: Index = np.random.default_rng(seed).permutation(rows)[:limit]
    return drawn
