"""From an image spec to an image set.

A spec is a string:

- `wardrobe`, or `wardrobe:<variant>` (`wardrobe:sketch`,
  `wardrobe:gaussian_noise-3`): the lab's composed scenes;
- `digits`: scikit-learn's handwritten digits;
- `fashion_mnist`: the photographs of the scenes alone, small and grey;
- `natural`: the photographs that models named `natural/...` were trained on;
- `folder:<path>`: one subfolder per class; with `train` and `test` (or `val`)
  folders above these, or else every fifth image is the test split;
- `parquet:<path>`: a parquet file, or a folder of files with the split in
  their names, with a column of encoded images and one of labels
  (`?image=<column>&label=<column>` where it has several);
- `hf:<owner>/<name>`, `hf:<owner>/<name>:<config>`: parquet files of the
  Hugging Face hub, with `cifar10`, `cifar100`, `imagenette` and `imagenet`
  as short names (`helpers.images.hub`);
- `imagenet:<path>`: ImageNet's folder, labels as in ImageNet's heads;
- `torchvision:<name>`: a set of torchvision (`helpers.images.torchvision`);
- `<any set but the scenes>+<corruption>-<severity>`: its pictures, corrupted
  (`folder:photos+snow-3`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import helpers.images.corrupted as corrupted
import helpers.images.folders as folders
import helpers.images.hub as hub
import helpers.images.lab as lab
import helpers.images.parquet as parquet
import helpers.images.torchvision as torchvision
from helpers.images.found import Index, Source
from helpers.images.image_set import Images
from helpers.runtime.errors import unknown, whole_number, wrong_kind

SPLITS = ("train", "test")
KINDS: dict[str, Callable[[str], Source]] = {
    "wardrobe": lab.source,
    "folder": folders.source,
    "imagenet": folders.source,
    "parquet": parquet.source,
    "hf": hub.source,
    "torchvision": torchvision.source,
}
SETS = (
    *("wardrobe", *lab.SETS, *hub.ALIASES, "hf:<owner>/<name>"),
    *("folder:<path>", "parquet:<path>", "imagenet:<path>"),
    "torchvision:<name>",
)


class TooFewError(ValueError):
    """More images were asked for than there are."""

    def __init__(self, spec: str, there: int, asked: int) -> None:
        super().__init__(
            f"{spec} has {there} images in this split; cannot draw {asked}"
        )
        self.there = there


def parse(spec: str) -> Source:
    """Find out what a spec names; loads and fetches nothing.

    Raises:
        TypeError: it is no string.
        ValueError: unknown set or variant; names the nearest valid ones.
        FileNotFoundError: the folder or file is not there.
    """
    if not isinstance(spec, str):
        raise wrong_kind("image spec", spec, "a string such as 'wardrobe'")
    clean, how = corrupted.split(spec)
    if how:
        return corrupted.source(parse(clean), how)
    kind, colon, _ = spec.partition(":")
    if spec in lab.SETS:
        return lab.source(spec)
    if spec in hub.ALIASES:
        return hub.source(spec)
    if kind in KINDS and (colon or kind == "wardrobe"):
        return KINDS[kind](spec)
    raise unknown("image set", spec, SETS)


def check(spec: str) -> str:
    """Refuse an image spec that cannot be loaded; loads and fetches nothing.

    Returns:
        The spec, unchanged.

    Raises:
        TypeError, ValueError, FileNotFoundError: as `parse`.
    """
    parse(spec)
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
        TypeError: the spec is no string.
        ValueError: unknown spec or split, no image found, fewer images than
            asked for, or a limit or seed that is no whole number.
        FileNotFoundError: the folder or file is not there.
        ConnectionError: not in the cache, and it could not be fetched.
    """
    source = parse(spec)
    if limit is not None:
        what = f"cannot draw {limit} images of {spec}: limit"
        limit = whole_number(what, limit, least=1)
    seed = whole_number("seed", seed)
    if split not in SPLITS:
        raise unknown("split", str(split), SPLITS)
    found = source.find(split, limit, seed)
    index = _draw(found.rows, limit, seed, spec)
    targets = found.targets or {"class": found.labels}
    return Images(
        spec=spec,
        split=split,
        labels=found.labels[index],
        class_names=found.class_names,
        targets={name: values[index] for name, values in targets.items()},
        target_names=found.target_names or {"class": found.class_names},
        licence=found.licence,
        source=found.source,
        index=index,
        _read=found.read,
    )


def _draw(rows: Index, limit: int | None, seed: int, spec: str) -> Index:
    if limit is None:
        return rows
    if limit > len(rows):
        raise TooFewError(spec, len(rows), limit)
    drawn: Index = np.random.default_rng(seed).permutation(rows)[:limit]
    return drawn
