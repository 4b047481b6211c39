"""Centred kernel alignment (CKA) of layers, unbiased, in minibatches.

CKA asks whether two layers find the same images alike: it correlates their
(n, n) Gram matrices. A minibatch leaves only HSIC values behind, so any
number of images fits:

    CKA = mean_b HSIC_1(K_b, L_b)
          / sqrt(mean_b HSIC_1(K_b, K_b) * mean_b HSIC_1(L_b, L_b))

HSIC_1 is unbiased and may be negative; it is averaged first and divided
last, and nothing is clipped (Shekhar et al. 2022, equations 2-4; Nguyen et
al. 2021, section 2).

Do not read CKA as "the same function" or "the same neurons": it ignores
rotations and scale, and the directions of most variance dominate it. Do not
compare values across tokens or image sets.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

import helpers.cka.streaming as streaming
from helpers.cka.comparison import Comparison
from helpers.cka.minibatch import MinibatchCKA
from helpers.features.arguments import checked, settings_of
from helpers.features.layer_selection import Tokens, depth, names
from helpers.runtime import parallel

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel


@checked
def compare(
    model_x: VisionModel,
    model_y: VisionModel | None,
    images: Images,
    layers: str | tuple[str, str] = "out",
    tokens: Tokens | tuple[Tokens, Tokens] = "all",
    batch_size: int = 32,
    hsic_batch_size: int | None = None,
) -> pd.DataFrame:
    """Measure the CKA of all pairs of layers of two models, as a table.

    The arguments and errors are those of `measure`, the columns those of
    `Comparison.table`.
    """
    found = measure(
        model_x, model_y, images, layers, tokens, batch_size, hsic_batch_size
    )
    return found.table()


@checked
def measure(
    model_x: VisionModel,
    model_y: VisionModel | None,
    images: Images,
    layers: str | tuple[str, str] = "out",
    tokens: Tokens | tuple[Tokens, Tokens] = "all",
    batch_size: int = 32,
    hsic_batch_size: int | None = None,
    keep_grams: bool = False,
) -> Comparison:
    """Measure the CKA of all pairs of layers of two models, in one pass.

    Gram matrices are formed inside the forward pass; within one model that
    pass runs once. Images beyond the last whole HSIC batch are left out.

    Args:
        model_x: the first model.
        model_y: the second; None or `model_x` for one model with itself.
        images: the images both are shown, in the same order.
        layers: which layers, see `helpers.features.names`; a pair for a choice
            a model.
        tokens: which tokens, see `helpers.features.record`; or a pair.
        batch_size: images of a forward pass.
        hsic_batch_size: images of a Gram matrix: a divisor of `batch_size`
            (its value by default), or a multiple, for which the features of
            one HSIC batch are kept in memory.
        keep_grams: keep the Gram matrices with the map, as
            `helpers.cka.chance` needs them: 4 KB a layer and HSIC batch of
            32 images, 4 MB for one of 1,024.

    Returns:
        The map with its standard errors, by the delete-one jackknife over
        HSIC batches, and its settings.

    Raises:
        ValueError: batch sizes that do not fit each other, fewer images than
            one HSIC batch, unknown layers or tokens, features that are NaN
            or infinite.
    """
    pair = {"": (model_x, model_y)}
    sizes = batch_size, hsic_batch_size
    return measure_pairs(pair, images, layers, tokens, *sizes, keep_grams)[""]


@checked
def measure_pairs(
    pairs: Mapping[str, tuple[VisionModel, VisionModel | None]],
    images: Images,
    layers: str | tuple[str, str] = "out",
    tokens: Tokens | tuple[Tokens, Tokens] = "all",
    batch_size: int = 32,
    hsic_batch_size: int | None = None,
    keep_grams: bool = False,
) -> dict[str, Comparison]:
    """Measure the CKA of several pairs of models; each model runs once.

    The numbers are those of `measure` for each pair. All maps share their
    minibatches, so that effects may span several of them. The processes of a
    `torchrun` share the images, see `helpers.runtime.parallel`.

    Args:
        pairs: any name -> first and second model.
        images: the images all are shown, in the same order.
        layers: as in `measure`, the same for every pair.
        tokens: as in `measure`.
        batch_size: as in `measure`.
        hsic_batch_size: as in `measure`.
        keep_grams: as in `measure`; the maps of a model share its own.

    Returns:
        Name -> map; `seconds` in its settings is the time of all.

    Raises:
        ValueError: as `measure`.
    """
    start = time.perf_counter()
    size = batch_size if hsic_batch_size is None else hsic_batch_size
    used = streaming.whole_batches(len(images), batch_size, size)
    layers_x, layers_y = layers if isinstance(layers, tuple) else [layers] * 2
    tokens_x, tokens_y = tokens if isinstance(tokens, tuple) else [tokens] * 2
    sides = {
        pair: ((x, layers_x, tokens_x), (y or x, layers_y, tokens_y))
        for pair, (x, y) in pairs.items()
    }
    engines = {
        pair: MinibatchCKA(*(names(side[0], side[1]) for side in both))
        for pair, both in sides.items()
    }
    order = list(
        dict.fromkeys(side for both in sides.values() for side in both)
    )
    kept: list[list[Tensor]] = []
    mine = parallel.share(used, size)
    own = images if parallel.alone() else images.part(mine)
    count = mine.stop - mine.start
    with tqdm(total=count, desc="CKA", unit="image", disable=None) as bar:
        for batch in streaming.stream(order, own, count, batch_size, size):
            of = dict(zip(order, batch, strict=True))
            if keep_grams:
                kept.append([torch.stack(grams).cpu() for grams in batch])
            for pair, (x, y) in sides.items():
                engines[pair].update_grams(of[x], None if x == y else of[y])
            bar.update(size)
    for engine in engines.values():
        engine.all_reduce()
    kept = [grams for part in parallel.gather(kept) for grams in part]
    grams_of = dict(
        zip(order, map(list, zip(*kept, strict=True)), strict=False)
    )
    settings = {
        **settings_of(images),
        "num_images": used,
        "dropped_images": len(images) - used,
        "layers": layers,
        "tokens": tokens,
        "batch_size": batch_size,
        "hsic_batch_size": size,
        "hsic_batches": used // size,
        "seconds": time.perf_counter() - start,
    }
    return {
        pair: replace(
            _compared(engines[pair], (x, y), settings),
            grams=(grams_of[x], grams_of[y]) if keep_grams else None,
        )
        for pair, (x, y) in sides.items()
    }


def _compared(
    engine: MinibatchCKA,
    sides: tuple[streaming.Side, streaming.Side],
    settings: dict[str, Any],
) -> Comparison:
    depths_x, depths_y = (
        np.array([depth(model, name) for name in names(model, layers)])
        for model, layers, _ in sides
    )
    (model_x, *_), (model_y, *_) = sides
    own = {"model_x": model_x.spec, "model_y": model_y.spec}
    return Comparison(
        **vars(engine.compute()),
        depths_x=depths_x,
        depths_y=depths_y,
        settings=own | settings | {"device": str(model_x.device)},
    )
