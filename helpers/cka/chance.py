"""What a measured map, or a search in it, would be by chance: in a sentence.

The numbers are those of `helpers.cka.nulls`; the sentences stand beside maps
on pages, so that a reader knows which values mean anything.
"""

from collections.abc import Callable

import numpy as np
import torch

from helpers.cka import nulls
from helpers.cka.comparison import Comparison
from helpers.cka.grams import Grams
from helpers.cka.nulls import Null


def null_of(
    found: Comparison, permutations: int = nulls.PERMUTATIONS, seed: int = 0
) -> Null:
    """Measure a map again with the images of its columns permuted.

    Args:
        found: a map that keeps its Gram matrices (`keep_grams` of
            `cka.measure`); they are permuted, no image is looked at again.
        permutations: as in `nulls.permutation_null`.
        seed: likewise.

    Raises:
        ValueError: no Gram matrices.
    """
    if found.grams is None:
        raise ValueError(
            "the map has no Gram matrices to permute: measure it with "
            "keep_grams=True, and take neither a part nor a difference"
        )
    size = found.batch_size
    images = torch.split(torch.arange(size * found.batches), size)
    layers = found.layers_x, found.layers_y
    x, y = (
        Grams(*side, images) for side in zip(layers, found.grams, strict=True)
    )
    return nulls.permutation_null(x, y, permutations, seed)


def of_map(null: Null) -> str:
    """Tell how high the cells of a map would be by chance.

    Returns:
        Sentences with the largest cell, what it is by chance, and the share
        of all cells above what the largest cell exceeds by chance in one of
        twenty maps.
    """
    highest = of_search("The largest CKA of two layers", np.nanmax, null)
    known = null.observed[~np.isnan(null.observed)]
    mean = round(float(np.nanmean(null.values)), 3) + 0.0  # 0, never -0
    threshold = nulls.calibrate(np.nanmax, null).threshold
    return (
        f"{highest} {(known > threshold).mean():.0%} of the {known.size:,} "
        f"pairs of layers lie above {threshold:.3f}. Their mean is "
        f"{known.mean():.3f}, by chance {mean:.3f}."
    )


def of_search(
    what: str, effect: Callable[..., float], *found: Null, low: bool = False
) -> str:
    """Tell what a search in maps finds, and what it would find by chance.

    Args:
        what: what is searched, as the subject of a sentence.
        effect: as in `nulls.calibrate`.
        *found: likewise.
        low: the search is for a small number, such as the depth of a match.
            It then has no calibrated value.

    Raises:
        ValueError: as `nulls.calibrate`.
    """
    sign = -1 if low else 1
    result = nulls.calibrate(lambda *maps: sign * effect(*maps), *found)
    every = zip(*(null.values for null in found), strict=True)
    mean = np.mean([effect(*maps) for maps in every])
    calibrated = "" if low else f"calibrated {result.calibrated:.3f}, "
    return (
        f"{what} is {sign * result.value:.3f} ({calibrated}"
        f"p = {result.p:.3f}); by chance it would be {mean:.3f} on average, "
        f"and {'below' if low else 'above'} {sign * result.threshold:.3f} in "
        "at most one of twenty maps."
    )
