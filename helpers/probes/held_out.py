"""Which images of a bank are held out of the fit, to choose a setting by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

HELD_OUT = 0.2


def hold_out(sets: Sequence[Tensor], share: float, seed: int) -> Tensor:
    """Choose images of a bank to be held out, stratified.

    Args:
        sets: (m,) classes, one tensor per set of labels; the set of most
            classes is stratified.
        share: of each class, in (0, 1); at least one image.
        seed: which images.

    Returns:
        (m,) whether an image is held out. In every set each class keeps an
        image that is not.

    Raises:
        ValueError: a share outside (0, 1), or no class with two images.
    """
    if not 0 < share < 1:
        raise ValueError(f"held_out must lie between 0 and 1, got {share}")
    order = torch.randperm(
        len(sets[0]), generator=torch.Generator().manual_seed(seed)
    )
    held = torch.zeros(len(order), dtype=torch.bool)
    finest = max(sets, key=lambda y: int(y.max())).cpu()
    for y in range(int(finest.max()) + 1):
        mine = order[finest[order] == y]
        count = min(len(mine) - 1, max(1, round(share * len(mine))))
        held[mine[: max(count, 0)]] = True
    for labels in (y.cpu() for y in sets):
        kept = torch.bincount(labels[~held], minlength=int(labels.max()) + 1)
        for y in (kept == 0).nonzero().flatten().tolist():
            held[(labels == y).nonzero()[0]] = False
    if not held.any():
        raise ValueError(
            "no image can be held out, as every class has one; give more "
            "images, or a single setting"
        )
    return held.to(sets[0].device)
