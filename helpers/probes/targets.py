"""What can be read out of images: targets by name, and their labels.

Do not use this for the continuous factors of the lab's scenes; these are in
`helpers.probes.factors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

import helpers.probes.checks as checks
from helpers.runtime.errors import unknown

if TYPE_CHECKING:
    from helpers.images.image_set import Images

FACTORS = ("garment", "fabric", "class")  # of the lab's images


def targets_of(images: Images, wanted: str) -> list[str]:
    """Choose targets by name, for images that may not have them all.

    Args:
        images: the images.
        wanted: comma-separated names.

    Returns:
        Those of them that the images have; `class`, which all images have,
        where that is none.

    Raises:
        ValueError: a name that no image set knows; names the nearest ones.
    """
    names = [name.strip() for name in wanted.split(",")]
    known = dict.fromkeys([*images.target_names, *FACTORS])
    for name in names:
        if name not in known:
            raise unknown("target", name, known)
    return [n for n in names if n in images.target_names] or ["class"]


def labels(train: Images, test: Images, target: str) -> tuple[Tensor, Tensor]:
    """Return the classes of both sets by one target.

    Raises:
        ValueError: the sets lack the target, or do not have the same classes
            of it, or one of these has no training image.
    """
    known = train.target_names
    if target not in known:
        raise unknown(f"target of {train.spec}", target, known)
    if test.target_names.get(target) != known[target]:
        raise ValueError(
            f"the bank ({train.spec}) and the test images ({test.spec}) do "
            f"not have the same classes of {target!r}"
        )
    truth = torch.as_tensor(train.targets[target])
    try:
        checks.count(truth, len(known[target]))
    except ValueError as error:
        raise ValueError(f"target {target!r}: {error}") from error
    return truth, torch.as_tensor(test.targets[target])


def check_sets(train: Images, test: Images) -> None:
    """Refuse a bank and test images that share images.

    Raises:
        ValueError: says how many.
    """
    same = (train.spec, train.split) == (test.spec, test.split)
    both = np.intersect1d(train.index, test.index) if same else np.array([])
    if len(both):
        raise ValueError(
            f"{len(both)} images are both in the bank and among the test "
            "images; load these from the other split"
        )
