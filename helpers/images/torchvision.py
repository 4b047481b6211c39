"""Image sets of torchvision, by name: `torchvision:Flowers102`.

Only sets whose reader unpickles nothing are here, since a pickle executes
what it holds; CIFAR, MNIST and ImageNet are to be had as parquet files or
folders. They are fetched once into torch's cache, checked by torchvision's
own hashes. Do not use it for sets without one class per image.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.images.found import Found, Index, Source, rgb, rows_of
from helpers.runtime.errors import unknown


@dataclass(frozen=True)
class Reader:
    """How torchvision calls the splits and the labels of a set.

    Attributes:
        labels: the attribute with the labels, or with pairs that end in one.
        train: the split to train on; empty where a set has no splits.
        test: the split to test on.
        gigabytes: to download, about.
        licence: as its authors state it.
    """

    labels: str
    train: str
    test: str
    gigabytes: float
    licence: str


READERS = {
    "Country211": Reader("targets", "train", "test", 11, "CC of Flickr"),
    "DTD": Reader("_labels", "train", "test", 0.6, "research only"),
    "EuroSAT": Reader("targets", "", "", 0.1, "MIT"),
    "FGVCAircraft": Reader(
        "_labels", "trainval", "test", 2.7, "research only"
    ),
    "Flowers102": Reader("_labels", "train", "test", 0.3, "none stated"),
    "Food101": Reader("_labels", "train", "test", 5, "research only"),
    "GTSRB": Reader("_samples", "train", "test", 0.3, "none stated"),
    "Imagenette": Reader(
        "_samples", "train", "val", 1.5, "Apache-2.0; ImageNet's terms"
    ),
    "OxfordIIITPet": Reader(
        "_labels", "trainval", "test", 0.8, "CC BY-SA 4.0"
    ),
    "RenderedSST2": Reader("_samples", "train", "test", 0.1, "none stated"),
    "STL10": Reader("labels", "train", "test", 2.6, "none stated"),
    "SUN397": Reader("_labels", "", "", 37, "research only"),
    "SVHN": Reader("labels", "train", "test", 0.3, "not commercial"),
}
ELSEWHERE = {
    "CIFAR10": "cifar10",
    "CIFAR100": "cifar100",
    "ImageNet": "imagenet:<path>",
    "MNIST": "hf:ylecun/mnist",
    "FashionMNIST": "hf:zalando-datasets/fashion_mnist",
}


def source(spec: str) -> Source:
    """Parse `torchvision:<name>`; refuse what cannot be read without a pickle.

    Raises:
        ValueError: unknown set, or one to be had elsewhere.
    """
    name = spec.removeprefix("torchvision:")
    if name in ELSEWHERE:
        raise ValueError(
            f"torchvision's reader of {name} may unpickle its files, which "
            f"can execute code; use {ELSEWHERE[name]!r}"
        )
    if name not in READERS:
        raise unknown("torchvision set", name, READERS)
    return Source(
        lambda split, *_: find(name, split),
        READERS[name].gigabytes,
        "unless torchvision has it",
    )


def find(name: str, split: str) -> Found:
    """Find the pictures of a set, fetching it when it is not there.

    Args:
        name: one of READERS.
        split: `train` or `test`; where a set has none, every fifth picture
            is for testing.

    Raises:
        ValueError: a damaged file.
        ConnectionError: it is not in the cache and cannot be fetched.
    """
    reader = READERS[name]
    own = {"train": reader.train, "test": reader.test}[split]
    data = _open(name, {"split": own} if own else {})
    labels = getattr(data, reader.labels)
    if reader.labels == "_samples":
        labels = [label for _, label in labels]
    labels = np.asarray(labels, dtype=np.int64)
    names = getattr(data, "classes", None) or range(int(labels.max()) + 1)

    def read(rows: Index) -> list[Any]:
        pictures = []
        for i in map(int, rows):
            try:
                pictures.append(rgb(data[i][0]))
            except Exception as error:  # as in files.decode
                raise ValueError(
                    f"unreadable image: number {i} of {name} ({error})"
                ) from error
        return pictures

    return Found(
        np.arange(len(labels)) if own else rows_of(len(labels), split),
        labels,
        tuple(map(str, names)),
        read,
        reader.licence,
        f"torchvision.datasets.{name}",
    )


def _open(name: str, arguments: dict[str, str]) -> Any:
    import torch.hub
    import torchvision.datasets
    from huggingface_hub import constants

    root = Path(torch.hub.get_dir()).with_name("datasets")
    root.mkdir(parents=True, exist_ok=True)
    make = getattr(torchvision.datasets, name)
    try:
        return make(root, **arguments)
    except RuntimeError as error:  # not there, or not whole
        if constants.HF_HUB_OFFLINE:
            raise ConnectionError(
                f"{name} is not in {root} and HF_HUB_OFFLINE is set; load it "
                "once with a network"
            ) from error
    try:
        return make(root, download=True, **arguments)
    except (OSError, RuntimeError) as error:
        raise ConnectionError(
            f"{name} could not be fetched into {root}: {error}"
        ) from error
