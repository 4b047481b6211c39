"""Image specs, and the one kind of image set that the measurements take.

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
  as short names (`helpers.hub`);
- `imagenet:<path>`: ImageNet's folder, labels as in ImageNet's heads;
- `torchvision:<name>`: a set of torchvision (`helpers.torchsets`).

Images are decoded and prepared on worker threads, one batch ahead of the
model. Do not use `Images` for training: it holds no augmentation.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from helpers import files, hub, photographs, shards, torchsets, wardrobe
from helpers.choices import unknown

if TYPE_CHECKING:
    from helpers.models import VisionModel

SPLITS = ("train", "test")
BUNDLED = {"digits": files.digits, "fashion_mnist": files.fashion_mnist}
SETS = (
    *("wardrobe", *BUNDLED, *hub.ALIASES, "hf:<owner>/<name>"),
    *("natural", "folder:<path>", "parquet:<path>", "imagenet:<path>"),
    "torchvision:<name>",
)
AHEAD = 2  # batches in preparation while the model works

Index = files.Index


class TooFewError(ValueError):
    """More images were asked for than there are."""

    def __init__(self, spec: str, there: int, asked: int) -> None:
        super().__init__(
            f"{spec} has {there} images in this split; cannot draw {asked}"
        )
        self.there = there


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
        index: (n,) position of each image in the whole split; in the files
            drawn, where a set of the hub is too large to be fetched whole.
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
    _read: files.Read

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> Image.Image:
        """Return image i of this set, an RGB picture."""
        return self._read(self.index[[i]])[0]

    def part(self, where: slice) -> Images:
        """Return a run of these images, a set of its own."""
        return replace(
            self,
            labels=self.labels[where],
            targets={name: y[where] for name, y in self.targets.items()},
            index=self.index[where],
        )

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
                            key: torch.stack(
                                [x for part in done for x in part[k]]
                            )
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

    def seen_by(self, model: VisionModel) -> NDArray[np.uint8]:
        """Return the images as a model sees them, resized and cropped.

        Returns:
            (n, height, width, 3) pixels; all in memory, so for a few images.
        """
        x = torch.cat([x for _, (x,) in self.batches(model, batch_size=32)])
        mean, std = (
            torch.tensor(model.preprocessing[key], device=x.device)
            for key in ("mean", "std")
        )
        pixels = (x.permute(0, 2, 3, 1) * std + mean).clamp(0, 1) * 255
        seen: NDArray[np.uint8] = pixels.round().byte().cpu().numpy()
        return seen

    def _prepare(
        self, models: Sequence[VisionModel], where: Index
    ) -> list[list[Tensor]]:
        pictures = self._read(self.index[where])
        return [[m.transform(p) for p in pictures] for m in models]


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
        torchsets.check(rest)
    elif kind in ("folder", "parquet") or (kind == "imagenet" and rest):
        path, query = _path(spec)
        shards.options(query, shards.OPTIONS, spec)
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
        return _wardrobe(spec, split, index, rest or "none")
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


def _find(spec: str, split: str, limit: int | None, seed: int) -> files.Found:
    kind, _, rest = spec.partition(":")
    if spec in BUNDLED:
        return BUNDLED[spec](split)
    if kind == "hf" or spec in hub.ALIASES:
        return hub.find(spec, split, limit, seed)
    if kind == "torchvision":
        return torchsets.find(rest, split)
    if spec == photographs.SPEC:
        return photographs.find(split)
    path, query = _path(spec)
    if kind == "parquet":
        columns = shards.options(query, shards.OPTIONS, spec)
        return shards.parquet(Path(path), split, **columns)
    reader = files.imagenet if kind == "imagenet" else files.folder
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


def _wardrobe(spec: str, split: str, index: Index, variant: str) -> Images:
    def read(where: Index) -> list[Image.Image]:
        scenes = wardrobe.compose(split, where, variant=variant)
        pixels = scenes.pixels.permute(0, 2, 3, 1).numpy()
        return [Image.fromarray(picture) for picture in pixels]

    known = wardrobe.factors(split, index, variant=variant)
    targets = {name: values.numpy() for name, values in known.items()}
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
