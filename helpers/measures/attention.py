"""Where heads look: softmax attention, and how far it reaches.

A head is *local* when its patches attend to patches nearby, *global* when
they attend across the image. The mean attention distance says which:

    d = mean over images and queries q of  sum_k A[q, k] * |pos(q) - pos(k)|

over patches only, in pixels of the model's input (Raghu et al. 2021, section
5, figure 3). The weights A are those of `attention_weights.weights`.

Do not read attention as what a head uses of a patch: values of any size may
hang on a small weight, and from the second block on every token holds a
mixture of others. A receptive field asks that question.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from timm.models.vision_transformer import Attention
from torch import Tensor
from tqdm import tqdm

from helpers.features.arguments import checked
from helpers.features.layer_selection import depth
from helpers.images.image_set import Images
from helpers.measures import attention_weights
from helpers.measures.attention_distance import Distances, patch_distances
from helpers.measures.attention_weights import patch_grid, patch_size, weights
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
        model: a ViT.
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
    chosen = attention_weights.chosen(model, blocks)
    apart = patch_distances(patch_grid(model), patch_size(model))
    far = torch.tensor(apart, dtype=torch.float32, device=model.device)
    first = model.prefix_tokens

    def reduce(attention: Attention, qkv: Tensor) -> Tensor:
        on_patches = weights(attention, qkv)[:, :, first:, first:]
        mass = on_patches.sum(-1)
        reach = (on_patches * far).sum(-1)
        reach = reach / mass if renormalise else reach
        return torch.stack([reach.mean(-1), mass.mean(-1)], -1)

    found = _run(model, images, chosen, reduce, batch_size)
    layers = [f"blocks.{i}.heads" for i in chosen]
    return Distances(
        each=found[..., 0],
        on_patches=found[..., 1].mean(0),
        uniform=float(apart.mean()),
        blocks=chosen,
        layers=layers,
        depths=[depth(model, name) for name in layers],
        settings={
            "model": model.spec,
            "images": images.spec,
            "split": images.split,
            "num_images": len(images),
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
        model: a ViT.
        images: n images; all their maps are kept.
        blocks: as in `measure`.
        query: whose attention: `cls`, `centre` (the patch right below the
            middle), or the number of a patch, row by row.
        batch_size: images of a forward pass.

    Returns:
        (blocks, n, heads, rows, columns) weights on the patches; with those
        on prefix tokens, which are left out, they sum to 1.

    Raises:
        ValueError: attention that cannot be read, no such block or query.
    """
    chosen = attention_weights.chosen(model, blocks)
    grid = patch_grid(model)
    token, first = _token(model, query), model.prefix_tokens

    def reduce(attention: Attention, qkv: Tensor) -> Tensor:
        return weights(attention, qkv)[:, :, token, first:]

    found: Floats = _run(model, images, chosen, reduce, batch_size)
    return found.swapaxes(0, 1).reshape(len(chosen), len(images), -1, *grid)


def place(model: VisionModel, query: str | int) -> tuple[int, int] | None:
    """Return row and column of a query's patch; None for `cls`."""
    if query == "cls":
        return None
    _, columns = patch_grid(model)
    number = _token(model, query) - model.prefix_tokens
    return divmod(number, columns)


def _token(model: VisionModel, query: str | int) -> int:
    """Find the position of a query among the tokens."""
    rows, columns = patch_grid(model)
    if query == "cls":
        if not model.has_class_token:
            raise ValueError(f"{model.spec} has no class token to query")
        return 0
    if query == "centre":
        query = rows // 2 * columns + columns // 2
    query = int(query) if str(query).isdigit() else query
    if isinstance(query, str):
        raise unknown("query", query, [*QUERIES, "the number of a patch"])
    if not 0 <= query < rows * columns:
        raise ValueError(
            f"{model.spec} has patches 0 to {rows * columns - 1}; there is "
            f"no patch {query}"
        )
    return model.prefix_tokens + query


def _run(
    model: VisionModel,
    images: Images,
    blocks: Sequence[int],
    reduce: attention_weights.Reduce,
    batch_size: int,
) -> Floats:
    """Collect a reduction of the attention: (images, blocks, ...)."""
    kept: list[Tensor] = []
    bar = tqdm(total=len(images), desc="attention", unit="image", disable=None)
    with bar, attention_weights.listen(model, blocks, reduce) as tapes:
        for where, (x,) in images.batches(model, batch_size=batch_size):
            model(x)
            each = [value for tape in tapes for value in tape.values()]
            kept.append(torch.stack(each, 1).cpu().double())
            bar.update(len(where))
    found: Floats = torch.cat(kept).numpy()
    return found
