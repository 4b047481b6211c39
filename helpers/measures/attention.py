"""Where heads look: softmax attention, and how far it reaches.

A head is *local* when its patches attend to patches nearby, *global* when
they attend across the image. The mean attention distance says which:

    d = mean over images and queries q of  sum_k A[q, k] * |pos(q) - pos(k)|

over patches only, in pixels of the model's input (Raghu et al. 2021, section
5, figure 3). The weights A are those that the model's family computes.

Do not read attention as what a head uses of a patch: values of any size may
hang on a small weight, and from the second block on every token holds a
mixture of others. A receptive field asks that question.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import pad
from tqdm import tqdm

from helpers.features.arguments import checked, settings_of
from helpers.features.layer_selection import depth
from helpers.images.image_set import Images
from helpers.measures import attention_weights
from helpers.measures.attention_distance import Distances, between
from helpers.measures.attention_weights import attention_layers, on_patches
from helpers.models.families.family import AttentionLayer, Grid
from helpers.models.vision_model import VisionModel
from helpers.runtime.arrays import Floats
from helpers.runtime.errors import unknown

QUERIES = ("cls", "centre")


@checked
def measure(
    model: VisionModel,
    images: Images,
    blocks: Sequence[int] | None = None,
    renormalise: bool = False,
    batch_size: int = 32,
) -> Distances:
    """Measure how far each head looks, for every image.

    Queries and keys are patches: the rows and columns of prefix tokens are
    left out. The weights are reduced inside the forward pass.

    Args:
        model: a model whose attention can be read.
        images: n images.
        blocks: numbers of blocks, negative ones from the end; all of them
            by default.
        renormalise: divide by the attention that falls on patches. Without
            it, as in the paper's code, what a head spends on prefix tokens
            counts as distance 0.
        batch_size: images of a forward pass.

    Raises:
        ValueError: attention that cannot be read (says why), no such block.
    """
    chosen = attention_layers(model, blocks)
    apart = {each.layer: between(each) for each in chosen.values()}
    far = {
        name: torch.tensor(d, dtype=torch.float32, device=model.device)
        for name, (d, _) in apart.items()
    }

    def reduce(layer: AttentionLayer, weights: Tensor) -> Tensor:
        kept = on_patches(layer, weights)
        mass = kept.sum(-1)
        reach = (kept * far[layer.layer]).sum(-1)
        reach = reach / mass if renormalise else reach
        return torch.stack([reach.mean(-1), mass.mean(-1)], -1)

    found = _run(model, images, list(chosen.values()), reduce, batch_size)
    return Distances(
        each=found[..., 0],
        on_patches=found[..., 1].mean(0),
        uniforms=np.array([uniform for _, uniform in apart.values()]),
        heads=[each.heads for each in chosen.values()],
        blocks=list(chosen),
        layers=list(apart),
        depths=[depth(model, name) for name in apart],
        settings={
            "model": model.spec,
            **settings_of(images),
            "renormalise": renormalise,
        },
    )


@checked
def mean_distance(
    model: VisionModel,
    images: Images,
    blocks: Sequence[int] | None = None,
    renormalise: bool = False,
    batch_size: int = 32,
) -> pd.DataFrame:
    """Measure how far each head looks, as a table.

    The arguments and errors are those of `measure`, the columns those of
    `Distances.table`.
    """
    return measure(model, images, blocks, renormalise, batch_size).table()


@checked
def maps(
    model: VisionModel,
    images: Images,
    blocks: Sequence[int] | None = None,
    query: str | int = "cls",
    batch_size: int = 32,
) -> Floats:
    """Read what each head attends to, for a few images.

    Args:
        model: a model whose attention can be read.
        images: n images; all their maps are kept.
        blocks: as in `measure`.
        query: whose attention: `cls`, `centre` (the patch right below the
            middle), or the number of a patch, row by row.
        batch_size: images of a forward pass.

    Returns:
        (blocks, n, heads, rows, columns) weights on the patches; with those
        on prefix tokens, which are left out, they sum to 1. In a network of
        several grids all maps are drawn on the finest: the weight of a
        coarser patch is spread evenly over it. Heads that a block does not
        have are NaN.

    Raises:
        ValueError: attention that cannot be read, no such block or query.
    """
    chosen = list(attention_layers(model, blocks).values())
    grid = _finest(chosen)
    where = _place(model, grid, query)

    def reduce(layer: AttentionLayer, weights: Tensor) -> Tensor:
        rows = _row(layer, weights, where, grid)
        ratio = [
            fine // own for fine, own in zip(grid, layer.grid, strict=True)
        ]
        drawn = rows.reshape(*rows.shape[:2], *layer.grid) / float(
            np.prod(ratio)
        )
        for axis, times in zip((-2, -1), ratio, strict=True):
            drawn = drawn.repeat_interleave(times, axis)
        return drawn

    found: Floats = _run(model, images, chosen, reduce, batch_size)
    return found.swapaxes(0, 1)


def place(model: VisionModel, query: str | int) -> Grid | None:
    """Return row and column of a query's patch; None for `cls`."""
    grid = _finest(list(attention_layers(model).values()))
    return _place(model, grid, query)


def _finest(layers: Sequence[AttentionLayer]) -> Grid:
    return max(layer.grid for layer in layers)


def _place(model: VisionModel, grid: Grid, query: str | int) -> Grid | None:
    """Find the row and column of a query on a grid; None for `cls`."""
    rows, columns = grid
    if query == "cls":
        if not model.has_class_token:
            raise ValueError(f"{model.spec} has no class token to query")
        return None
    if query == "centre":
        return rows // 2, columns // 2
    number = int(query) if str(query).isdigit() else query
    if isinstance(number, str):
        raise unknown("query", number, [*QUERIES, "the number of a patch"])
    if not 0 <= number < rows * columns:
        raise ValueError(
            f"{model.spec} has patches 0 to {rows * columns - 1}; there is "
            f"no patch {number}"
        )
    return divmod(number, columns)


def _row(
    layer: AttentionLayer, weights: Tensor, where: Grid | None, grid: Grid
) -> Tensor:
    """Take the weights of one query: (n, heads, patches of the layer).

    Args:
        layer: whose weights these are.
        weights: (n, heads, queries, keys).
        where: row and column of the query on `grid`; None for token 0.
        grid: rows and columns.
    """
    token = 0
    if where is not None:
        own = layer.query_grid or layer.grid
        row, column = (
            at * size // whole
            for at, size, whole in zip(where, own, grid, strict=True)
        )
        token = int((layer.queries == row * own[1] + column).nonzero()[0])
    keys = layer.keys if layer.keys.ndim == 1 else layer.keys[token]
    found = weights.new_zeros(*weights.shape[:2], int(np.prod(layer.grid)))
    found[..., keys[keys >= 0]] = weights[:, :, token, keys >= 0]
    return found


def _run(
    model: VisionModel,
    images: Images,
    layers: Sequence[AttentionLayer],
    reduce: attention_weights.Reduce,
    batch_size: int,
) -> Floats:
    """Collect a reduction of the attention: (images, blocks, heads, ...).

    Heads that a block does not have are NaN.
    """
    kept: list[Tensor] = []
    most = max(layer.heads for layer in layers)
    bar = tqdm(total=len(images), desc="attention", unit="image", disable=None)
    with bar, attention_weights.listen(model, layers, reduce) as tapes:
        for where, (x,) in images.batches(model, batch_size=batch_size):
            model(x)
            each = [
                pad(
                    value.movedim(1, -1),
                    (0, most - value.shape[1]),
                    value=torch.nan,
                ).movedim(-1, 1)
                for tape in tapes
                for value in tape.values()
            ]
            kept.append(torch.stack(each, 1).cpu().double())
            bar.update(len(where))
    found: Floats = torch.cat(kept).numpy()
    return found
