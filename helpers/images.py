"""Image specs, and the one kind of image set that the measurements take.

A spec is a string:

- `wardrobe`, or `wardrobe:<variant>` (`wardrobe:sketch`,
  `wardrobe:gaussian_noise-3`): the lab's composed scenes;
- `digits`: scikit-learn's handwritten digits;
- `folder:<path>`: one subfolder a class; with `train` and `test` (or `val`)
  folders above these, or else every fifth image is the test split;
- `parquet:<path>`: a parquet file, or a folder of files with the split in
  their names, with a column of encoded images and one of labels.

Images are decoded and prepared on worker threads, one batch ahead of the
model. Do not use `Images` for training: it holds no augmentation.
"""

from __future__ import annotations

import io
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from helpers import wardrobe
from helpers.choices import unknown

if TYPE_CHECKING:
    from helpers.models import VisionModel

SPLITS = ("train", "test")
SETS = ("wardrobe", "digits", "folder:<path>", "parquet:<path>")
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
AHEAD = 2  # batches in preparation while the model works

Index = NDArray[np.int64]
Read = Callable[[Index], list[Image.Image]]


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one split, in a fixed order.

    Attributes:
        spec: the string they were loaded from.
        split: `train` or `test`.
        labels: (n,) class of each image.
        class_names: one name a class.
        targets: everything known of each image, name -> (n,); for
            `wardrobe` the factors it was composed from.
        target_names: the names of the values of categorical targets.
        licence: under which terms the images may be used.
        source: where they come from.
        index: (n,) position of each image in the whole split.
    """

    spec: str
    split: str
    labels: Index
    class_names: tuple[str, ...]
    targets: dict[str, NDArray[Any]]
    target_names: dict[str, tuple[str, ...]]
    licence: str
    source: str
    index: Index
    _read: Read

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> Image.Image:
        """Return image i of this set, an RGB picture."""
        return self._read(self.index[[i]])[0]

    def batches(
        self,
        *models: VisionModel,
        batch_size: int,
        drop_last: bool = False,
    ) -> Iterator[tuple[Index, list[Tensor]]]:
        """Iterate over the images, prepared for each model.

        All models see the same images in the same order; models with equal
        preprocessing share the same tensor.

        Args:
            *models: whose preprocessing and devices to use.
            batch_size: images in a batch.
            drop_last: whether to leave out an incomplete last batch.

        Yields:
            Positions in this set (b,), and for each model a batch
            (b, 3, h, w) on its device.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        ways = {str(model.preprocessing): model for model in models}
        workers = max(1, min(8, (os.cpu_count() or 2) - 1))
        total = len(self)
        starts = range(0, total, batch_size)
        if drop_last:
            starts = range(0, total - batch_size + 1, batch_size)
        queue: deque[tuple[Index, list[Future[list[list[Tensor]]]]]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            try:
                for start in [*starts, *[None] * AHEAD]:
                    if start is not None:
                        end = min(start + batch_size, total)
                        where = np.arange(start, end)
                        parts = np.array_split(where, workers)
                        work = partial(self._prepare, list(ways.values()))
                        jobs = [pool.submit(work, p) for p in parts if len(p)]
                        queue.append((where, jobs))
                    if queue and (start is None or len(queue) > AHEAD):
                        where, jobs = queue.popleft()
                        done = [job.result() for job in jobs]
                        ready = {
                            key: torch.stack([x for part in done for x in part[k]])
                            for k, key in enumerate(ways)
                        }
                        yield (
                            where,
                            [
                                ready[str(m.preprocessing)].to(m.device)
                                for m in models
                            ],
                        )
            finally:
                pool.shutdown(cancel_futures=True)

    def _prepare(
        self, models: Sequence[VisionModel], where: Index
    ) -> list[list[Tensor]]:
        pictures = self._read(self.index[where])
        return [[m.transform(p) for p in pictures] for m in models]


def check(spec: str) -> str:
    """Refuse an image spec that cannot be loaded, without loading it.

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
    elif kind in ("folder", "parquet"):
        if not rest or not Path(rest).exists():
            raise FileNotFoundError(f"no images at {rest!r} (from {spec!r})")
    elif kind != "digits" or rest:
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
    """
    check(spec)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    kind, _, rest = spec.partition(":")
    if kind == "wardrobe":
        size = wardrobe.SIZES[split]
        index = _draw(size, limit, seed, spec)
        return _wardrobe(spec, split, index, rest or "none")
    if kind == "digits":
        return _digits(spec, split, limit, seed)
    make = _folder if kind == "folder" else _parquet
    return make(spec, split, Path(rest), limit, seed)


def _draw(size: int, limit: int | None, seed: int, spec: str) -> Index:
    if limit is None:
        return np.arange(size)
    if not 0 < limit <= size:
        raise ValueError(
            f"{spec} has {size} images in this split; cannot draw {limit}"
        )
    order = np.random.default_rng(seed).permutation(size)
    return order[:limit]


def _wardrobe(spec: str, split: str, index: Index, variant: str) -> Images:
    def read(where: Index) -> list[Image.Image]:
        scenes = wardrobe.compose(split, where, variant=variant)
        pixels = scenes.pixels.permute(0, 2, 3, 1).numpy()
        return [Image.fromarray(picture) for picture in pixels]

    targets = wardrobe.factors(split, index, variant=variant)
    fabrics = (
        wardrobe.UNSEEN_FABRICS
        if variant == "unseen_fabrics"
        else wardrobe.FABRICS
    )
    classes = tuple(f"{g}, {f}" for g in wardrobe.GARMENTS for f in fabrics)
    return Images(
        spec=spec,
        split=split,
        labels=targets["class"],
        class_names=classes,
        targets=targets,
        target_names={
            "garment": wardrobe.GARMENTS,
            "fabric": fabrics,
            "class": classes,
        },
        licence="MIT (photographs: Fashion-MNIST, Zalando SE)",
        source="composed by helpers.wardrobe from Fashion-MNIST",
        index=index,
        _read=read,
    )


def _labelled(
    spec: str,
    split: str,
    labels: Index,
    class_names: tuple[str, ...],
    index: Index,
    read: Read,
    licence: str,
    source: str,
) -> Images:
    chosen = labels[index]
    return Images(
        spec=spec,
        split=split,
        labels=chosen,
        class_names=class_names,
        targets={"class": chosen},
        target_names={"class": class_names},
        licence=licence,
        source=source,
        index=index,
        _read=read,
    )


def _digits(spec: str, split: str, limit: int | None, seed: int) -> Images:
    from sklearn.datasets import load_digits

    data = load_digits()
    keep = _part(len(data.target), split)
    index = keep[_draw(len(keep), limit, seed, spec)]
    grey = np.round(data.images * (255 / 16)).astype(np.uint8)
    return _labelled(
        spec,
        split,
        data.target.astype(np.int64),
        tuple(map(str, data.target_names)),
        index,
        lambda where: [Image.fromarray(grey[i]).convert("RGB") for i in where],
        "CC BY 4.0",
        "Optical Recognition of Handwritten Digits (UCI), scikit-learn",
    )


def _part(size: int, split: str) -> Index:
    """Every fifth image is for testing where a set has no split."""
    every = np.arange(size)
    return every[(every % 5 == 4) == (split == "test")]


def _folder(
    spec: str, split: str, root: Path, limit: int | None, seed: int
) -> Images:
    given = {"train": ("train",), "test": ("test", "val")}[split]
    own = next((root / n for n in given if (root / n).is_dir()), None)
    has_splits = all(
        any((root / n).is_dir() for n in names)
        for names in (("train",), ("test", "val"))
    )
    top = own if own and has_splits else root
    files = sorted(
        f for f in top.rglob("*") if f.suffix.lower() in SUFFIXES
    )
    if not files:
        raise ValueError(
            f"no image in {top}; expected one subfolder a class with files "
            f"ending in {', '.join(sorted(SUFFIXES))}"
        )
    words = [f.relative_to(top).parts[0] if f.parent != top else "" for f in files]
    class_names = tuple(sorted(set(words)))
    labels = np.array([class_names.index(w) for w in words], dtype=np.int64)
    keep = np.arange(len(files)) if top is own else _part(len(files), split)
    index = keep[_draw(len(keep), limit, seed, spec)]
    return _labelled(
        spec,
        split,
        labels,
        class_names,
        index,
        lambda where: [_decode(files[i], str(files[i])) for i in where],
        "as the owner of the folder says",
        str(root),
    )


def _parquet(
    spec: str, split: str, path: Path, limit: int | None, seed: int
) -> Images:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = [path]
    if path.is_dir():
        files = sorted(f for f in path.glob("*.parquet") if split in f.name)
    if not files:
        raise ValueError(f"no parquet file with {split!r} in its name in {path}")
    try:
        table = pa.concat_tables([pq.read_table(f) for f in files])
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{files[0]} is damaged or not a parquet file: {error}"
        ) from error
    schema = table.schema
    pictures = [f.name for f in schema if pa.types.is_struct(f.type)]
    pictures += [f.name for f in schema if pa.types.is_binary(f.type)]
    numbers = [f.name for f in schema if pa.types.is_integer(f.type)]
    if not pictures or not numbers:
        raise ValueError(
            f"{files[0]} needs a column of encoded images and one of integer "
            f"labels; its columns are {', '.join(schema.names)}"
        )
    column = "label" if "label" in numbers else numbers[0]
    labels = table[column].to_numpy().astype(np.int64)
    content = table[pictures[0]]
    class_names = _class_names(schema.metadata, column, labels)
    keep = np.arange(len(labels))
    if not path.is_dir():
        keep = _part(len(labels), split)
    index = keep[_draw(len(keep), limit, seed, spec)]

    def read(where: Index) -> list[Image.Image]:
        cells = [content[int(i)].as_py() for i in where]
        encoded = [c["bytes"] if isinstance(c, dict) else c for c in cells]
        return [
            _decode(io.BytesIO(e), f"row {i} of {path}")
            for i, e in zip(where, encoded, strict=True)
        ]

    return _labelled(
        spec,
        split,
        labels,
        class_names,
        index,
        read,
        "as the owner of the file says",
        str(path),
    )


def _class_names(
    metadata: dict[bytes, bytes] | None, column: str, labels: Index
) -> tuple[str, ...]:
    """Take the names from the `datasets` library's note, if there is one."""
    note = json.loads((metadata or {}).get(b"huggingface", b"{}"))
    features = note.get("info", {}).get("features", {})
    given = features.get(column, {}).get("names")
    return tuple(given or map(str, range(int(labels.max()) + 1)))


def _decode(file: Path | io.BytesIO, where: str) -> Image.Image:
    try:
        with Image.open(file) as picture:
            return picture.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"unreadable image: {where} ({error})") from error
