"""Where the tokens of a layer stand in the image, and the pixels there.

A ViT's patch tokens and the locations of a CNN's feature map both form a
grid over the model's input. `grids` finds it, `choose` thins it out where it
is fine, `cut` gives the pixels below each position. Not for the receptive
field of a position, which may be far larger than its patch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.features.layer_selection import names
from helpers.features.record import listen

if TYPE_CHECKING:
    from helpers.models.vision_model import VisionModel


Grid = tuple[int, int]


@dataclass(frozen=True)
class Positions:
    """Some of the positions of a layer.

    Attributes:
        whole: rows and columns of the layer.
        rows: the rows chosen.
        columns: the columns chosen.
    """

    whole: Grid
    rows: range
    columns: range

    @property
    def grid(self) -> Grid:
        """How many rows and columns were chosen."""
        return len(self.rows), len(self.columns)

    @property
    def tokens(self) -> list[int]:
        """Their places among the patch tokens, row by row."""
        return [r * self.whole[1] + c for r in self.rows for c in self.columns]

    @property
    def names(self) -> list[str]:
        """A name each, rows and columns counted from 1."""
        return [
            f"row {r + 1}, column {c + 1}"
            for r in self.rows
            for c in self.columns
        ]


def grids(model: VisionModel, layers: str) -> dict[str, Grid]:
    """Find the rows and columns of the token positions of layers.

    Args:
        model: the model.
        layers: which layers, see `helpers.features.names`.

    Raises:
        ValueError: a layer has no token positions.
    """
    if model.grid:
        return dict.fromkeys(names(model, layers), model.grid)
    shapes: dict[str, torch.Size] = {}

    def keep(name: str, value: Tensor) -> None:
        shapes[name] = value.shape

    with listen(model, layers, keep):
        size = model.preprocessing["input_size"]
        model(torch.zeros(1, *size, device=model.device))
    for name, shape in shapes.items():
        if len(shape) != 4:
            raise ValueError(
                f"{name} of {model.spec} has no grid of positions (shape "
                f"{tuple(shape)}); expected a feature map or patch tokens"
            )
    return {name: (shape[2], shape[3]) for name, shape in shapes.items()}


def choose(grid: Grid, at_most: int) -> Positions:
    """Choose every k-th row and column, centred, k as small as possible.

    Args:
        grid: rows and columns of the layer.
        at_most: how many positions to choose.

    Raises:
        ValueError: not even one position may be chosen.
    """
    if at_most < 1:
        raise ValueError(f"at least 1 position must be chosen, not {at_most}")
    k = 1
    while -(-grid[0] // k) * -(-grid[1] // k) > at_most:
        k += 1
    rows, columns = (range((size - 1) % k // 2, size, k) for size in grid)
    return Positions(grid, rows, columns)


def cut(x: Tensor, at: Positions, patch: Grid | None) -> list[Tensor]:
    """Cut the pixels at some positions out of images.

    Args:
        x: (n, channels, h, w) the model's input.
        at: the positions.
        patch: height and width of a ViT's patches, whose grid starts at the
            top left: it does not see what is left over at the right and at
            the bottom, and pads what is missing there. None for the map of a
            CNN, which covers the image.

    Returns:
        For each position (n, channels, height, width of its patch).
    """
    sizes = (int(x.shape[-2]), int(x.shape[-1]))
    if patch:
        sides = [
            np.arange(n + 1) * p for n, p in zip(at.whole, patch, strict=True)
        ]
        below, right = (
            max(0, int(side[-1]) - n)
            for side, n in zip(sides, sizes, strict=True)
        )
        x = pad(x, (0, right, 0, below))
    else:
        sides = [
            np.linspace(0, size, n + 1).round().astype(int)
            for n, size in zip(at.whole, sizes, strict=True)
        ]
    rows, columns = (list(pairwise(side.tolist())) for side in sides)
    return [
        x[:, :, slice(*rows[row]), slice(*columns[column])]
        for row in at.rows
        for column in at.columns
    ]
