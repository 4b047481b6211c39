"""What every probe asks of its features and labels, and how it says no.

Not for pages: `helpers.probes` is the way in.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from helpers.runtime.precision import rounding


def features(x: Tensor, what: str) -> Tensor:
    """Check a matrix of features.

    Args:
        x: (n, width), any floating type.
        what: whose features they are, for the message.

    Returns:
        The features, halves raised to float32.

    Raises:
        ValueError: not a matrix, empty, NaN or infinite.
    """
    x = torch.as_tensor(x).detach()
    if x.ndim != 2 or x.numel() == 0:
        raise ValueError(
            f"{what} features are (images, width), got {tuple(x.shape)}"
        )
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    if not torch.isfinite(x.sum()):
        rows = int((~torch.isfinite(x)).any(1).sum())
        raise ValueError(
            f"{what} features are NaN or infinite in {rows} of {len(x)} images"
        )
    return x


def fits(queries: Tensor, width: int) -> Tensor:
    """Check the features of the queries against the width of the bank's.

    Raises:
        ValueError: as `features`, or another width.
    """
    queries = features(queries, "query")
    if queries.shape[1] != width:
        raise ValueError(
            f"the queries have {queries.shape[1]} features, the bank {width}"
        )
    return queries


def labels(y: Tensor, images: int, device: torch.device) -> Tensor:
    """Check that there is one class number an image.

    Returns:
        (n,) int64 on the given device.

    Raises:
        ValueError: another number of labels, or labels that are no classes.
    """
    y = torch.as_tensor(y)
    if y.shape != (images,):
        raise ValueError(
            f"{images} images need {images} labels, got {tuple(y.shape)}"
        )
    if y.is_floating_point() or y.is_complex() or (y < 0).any():
        raise ValueError("labels are whole numbers from 0")
    return y.to(device, torch.int64)


def count(y: Tensor, classes: int | None = None) -> int:
    """Return the number of classes, each of which must have an image.

    Args:
        y: (n,) class of each training image.
        classes: how many there are; one more than the largest by default.

    Raises:
        ValueError: fewer images than classes, or a class without an image.
    """
    most = int(y.max()) + 1
    if classes is not None and most > classes:
        raise ValueError(f"label {most - 1}, but only {classes} classes")
    covered(torch.bincount(y, minlength=classes or most))
    return classes or most


def covered(counts: Tensor) -> None:
    """Refuse a bank in which a class has no image.

    Args:
        counts: (classes,) training images of each class.

    Raises:
        ValueError: a single class, fewer images than classes, or a class
            without an image.
    """
    images, total = int(counts.sum()), len(counts)
    if total < 2:
        raise ValueError("all images have one class: nothing to tell apart")
    if images < total:
        raise ValueError(
            f"{images} training images cannot cover {total} classes; give "
            "more images"
        )
    empty = (counts == 0).nonzero().flatten().tolist()
    if empty:
        first = ", ".join(map(str, empty[:5])) + ", ..." * (len(empty) > 5)
        raise ValueError(
            f"{len(empty)} of {total} classes have no training image "
            f"({first}); give more images"
        )


def varies(x: Tensor, first: Tensor) -> bool:
    """Tell whether any row differs from the first by more than rounding."""
    for rows in (x[:2], x):  # two rows nearly always settle it
        spread = (rows - first).abs().max()
        if spread > rounding(x.dtype) * first.abs().max():
            return True
    return False


class ConstantFeaturesError(ValueError):
    """The features are the same for all images of the bank."""

    def __init__(self) -> None:
        super().__init__(
            "the bank's features are the same for all images, so there is "
            "nothing to read out"
        )


def positive(values: Sequence[float], what: str) -> tuple[float, ...]:
    """Check a grid of settings.

    Raises:
        ValueError: an empty grid, or a value that is not above 0.
    """
    grid = tuple(values)
    if not grid or not all(0 < v < float("inf") for v in grid):
        raise ValueError(f"{what} must be positive numbers, got {grid}")
    return grid


def exact(x: Tensor) -> Tensor:
    """Raise to float64, on the CPU where the device has none."""
    return exactable(x).double()


def exactable(x: Tensor) -> Tensor:
    """Move to the CPU from a device that has no float64."""
    return x.cpu() if x.device.type == "mps" else x
