"""The measures of the book on one model, each as a part of a report.

A part holds what a measure says of a model over depth, and a few numbers to
remember; where the measure has no meaning for a kind of model (attention
distances of a ResNet), it holds the reason instead, in a sentence. Parts of
several models are compared by `helpers.report.among_others`.

Do not use it to test a claim: it calls each measure with the settings of a
first look. The pages of the book say what each number can bear.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from helpers import intervals
from helpers.cka import statistics
from helpers.cka.comparison import Comparison
from helpers.measures import (
    attention,
    attention_weights,
    field_statistics,
    receptive_fields,
    residual,
)
from helpers.measures.residual_sums import sums_of
from helpers.runtime.arrays import Floats

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel

KINDS = {
    "cls": "class token",
    "prefix": "other prefix tokens",
    "patch": "patches or positions",
}


@dataclass(frozen=True)
class Part:
    """What one measure says of one model.

    Attributes:
        numbers: name -> value, for the summary.
        curves: one row per point: `layer`, `depth`, `value`, its bounds `low`
            and `high`, and `panel`, the curve it belongs to. May be empty.
        note: what is missing and why, a sentence; empty where nothing is.
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    note: str = ""


def similarity(found: Comparison) -> Part:
    """Reduce the CKA map of a model with itself to two numbers.

    Args:
        found: the map, all layers with all layers.
    """
    if len(found.layers_x) < 3:
        few = ", ".join(map(str, found.layers_x))
        return Part(note=f"a map of {few} alone says nothing about depth")
    return Part(
        {
            "CKA of different layers": statistics.uniformity(found.cka),
            "CKA of first and last third": statistics.ends(found.cka),
        }
    )


def mean_best_match(c: Floats) -> float:
    """Average the CKA of each row with its most similar column.

    Args:
        c: the map of a model (rows) with another. Rows that have no CKA are
            left out; NaN if that is all of them.
    """
    defined = c[~np.isnan(c).all(1)]
    return statistics.level(np.nanmax(defined, 1)) if len(defined) else np.nan


def relatives(maps: Mapping[str, Comparison]) -> pd.DataFrame:
    """Rank other models by their similarity to one.

    Args:
        maps: name of another model -> map of the one (rows) with it.

    Returns:
        One row per model, from the most similar on: `model`, its similarity as
        `value` with its interval `low` and `high`, and `nearest`,
        its layer most like the last layer of the one, with their `cka`.

    Raises:
        ValueError: no other model.
    """
    if not maps:
        raise ValueError("relatives need at least one other model, got none")
    rows = []
    for name, found in maps.items():
        last = np.nan_to_num(found.cka[-1], nan=-np.inf)
        best = int(last.argmax())
        place = {"nearest": found.layers_y[best], "cka": found.cka[-1, best]}
        row = {
            "model": name,
            **vars(intervals.estimate(mean_best_match, found)),
        }
        rows.append(row | place)
    table = pd.DataFrame(rows).sort_values("value", ascending=False)
    return table.reset_index(drop=True)


def distances(
    model: VisionModel, images: Images, batch_size: int = 32
) -> Part:
    """Measure how far heads look, relative to one that looks everywhere.

    Returns:
        A curve of the mean over the heads of each block, from the nearest
        head to the farthest.
    """
    if why := attention_weights.obstacle(model):
        return Part(note=why)
    found = attention.measure(model, images, batch_size=batch_size)
    each = found.values  # NaN where a block has fewer heads than others
    mean, near, far = (f(each, 1) for f in (np.nanmean, np.nanmin, np.nanmax))
    curves = curve(found.layers, found.depths, mean, near, far)
    return Part(ends("attention distance", mean), curves)


def norms(model: VisionModel, images: Images, batch_size: int = 32) -> Part:
    """Measure the norm ratio of skip and branch, by block and kind of token.

    Returns:
        Curves of its binary logarithm, two standard errors to either side.
    """
    try:
        sums_of(model)
    except ValueError as error:
        return Part(note=str(error))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*no norm ratio")
        found = residual.measure(model, images, batch_size)
    table = found.average("block", "kind").dropna(subset="value")
    table = table[table.quantity == "log2_ratio"]
    if table.empty:
        return Part(note=f"{model.spec} has {found.gaps}")
    spread = 2 * table.se
    low, high = table.value - spread, table.value + spread
    curves = curve(table.block, table.depth, table.value, low, high)
    curves["panel"] = table.kind.map(KINDS).to_numpy()
    numbers = {
        f"log2 norm ratio, {half} half": statistics.level(
            found.by_image("log2_ratio", half=half)
        )
        for half in residual.HALVES
    }
    return Part(numbers, curves, found.gaps)


def reach(
    model: VisionModel,
    images: Images,
    channels: int,
    batch_size: int = 32,
    seed: int = 0,
) -> Part:
    """Measure the radius of the receptive field of each block's output.

    Returns:
        A curve in image widths, two standard errors to either side.
    """
    try:
        found = receptive_fields.fields(
            model,
            images,
            channels=channels,
            batch_size=batch_size,
            seed=seed,
        )
    except ValueError as error:
        return Part(note=str(error))
    radius = found.summary("radius")
    low, high = radius.values - 2 * radius.se, radius.values + 2 * radius.se
    curves = curve(found.layers, found.depths, radius.values, low, high)
    return Part(ends("receptive-field radius", radius.values), curves)


def ends(what: str, values: Floats) -> dict[str, float]:
    """Average a number of the blocks over their first and last third."""
    return {
        f"{what}, first third": field_statistics.lower(values),
        f"{what}, last third": field_statistics.upper(values),
    }


def curve(
    layers: Iterable[str],
    depths: ArrayLike,
    values: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
) -> pd.DataFrame:
    """Write one curve in the columns of `Part.curves`."""
    table = pd.DataFrame({"layer": list(layers), "panel": ""})
    columns = {"depth": depths, "value": values, "low": low, "high": high}
    return table.assign(**{k: np.asarray(v) for k, v in columns.items()})
