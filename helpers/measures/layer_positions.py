"""Which position of a layer lies over a point of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from helpers.features.record import record

if TYPE_CHECKING:
    from helpers.models.vision_model import VisionModel


Point = tuple[float, float]


def grid_of(
    model: VisionModel, positions: int, size: Sequence[int]
) -> tuple[int, int]:
    """Tell rows and columns of a layer from its number of positions."""
    if model.grid:
        rows, columns = model.grid
        fits = positions == model.prefix_tokens + rows * columns
    else:
        rows = max(1, round((positions * size[0] / size[1]) ** 0.5))
        columns = positions // rows
        fits = positions == rows * columns
    if not fits:
        raise ValueError(
            f"{model.spec} has a layer of {positions} positions that are no "
            "grid over the image; a receptive field needs one"
        )
    return rows, columns


def take_position(
    model: VisionModel, size: Sequence[int], position: Point, z: Tensor
) -> Tensor:
    """Copy one position out of (n, positions, d)."""
    grid = grid_of(model, z.shape[1], size)
    row, column = map(int, np.multiply(grid, position))
    prefix = model.prefix_tokens if model.grid else 0
    return z[:, prefix + row * grid[1] + column].clone()


def centres_of(
    model: VisionModel, layers: str, x: Tensor, position: Point
) -> dict[str, tuple[float, float]]:
    """Find the point of the image that the position of each layer lies over.

    A patch lies over its own middle; where a position of another layer lies,
    its family knows.
    """
    size = np.array(x.shape[2:])
    found = {}
    with record(model, layers, "each", lambda z: z[0, :, 0]) as tape:
        model(x)
    for name, values in tape.items():
        grid = np.array(grid_of(model, len(values), size.tolist()))
        strides = size / grid
        first = np.array(
            [model.family.centre(model.module, s) for s in strides.tolist()]
        )
        row, column = first + (grid * position).astype(int) * strides
        found[name] = (float(row), float(column))
    return found
