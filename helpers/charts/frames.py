"""Maps as pictures, and a slider that leads through them.

For maps with as many cells as an image has pixels, too many for a chart of
marks. Not for maps whose single values are to be read (`charts.heatmap`).
Pages call it as `charts.frames`.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

import helpers.charts.encodings as encodings
from helpers.charts.panels import finish
from helpers.charts.pictures import png
from helpers.charts.theme import PANEL

SIDE_AT_MOST = 64
DECADES = 3  # powers of ten that the colours span
VIRIDIS: Sequence[tuple[int, int, int]] = (
    *((68, 1, 84), (72, 36, 117), (65, 68, 135), (53, 95, 141)),
    *((42, 120, 142), (33, 145, 140), (34, 168, 132), (68, 191, 112)),
    *((122, 209, 81), (189, 223, 38), (253, 231, 37)),
)
"""Eleven evenly spaced colours of the scale that `SEQUENTIAL` names."""


def frames(
    table: pd.DataFrame,
    *,
    description: str,
    choose: str,
    title: str = "",
    facet: str | None = None,
) -> Any:
    """Draw maps as pictures in logarithmic colours.

    Each map has its own scale: yellow is its largest value, and dark violet
    a thousandth of it, or less.

    Args:
        table: one row per map: `field`, an array (h, w) of numbers >= 0, of
            which one of more than 64 cells a side is averaged down, and
            `layer`, the words that stand below it.
        description: what the pictures show, in a sentence, for screen
            readers.
        choose: column whose value the reader chooses.
        title: chart title.
        facet: column with one panel per value.

    Returns:
        An Altair chart.

    Raises:
        ValueError: as `charts.heatmap`, or a map that is no such array.
    """
    data = encodings.data(
        table, description, ["field", "layer", facet, choose]
    )
    encodings.single(data, [facet, choose])
    maps = [_checked(field) for field in data["field"]]
    data["field"] = [png(_coloured(field)) for field in maps]
    shape = maps[0].shape
    base = alt.Chart()
    picture = base.mark_image(aspect=False, smooth=False, aria=False).encode(
        alt.X(datum=0, type="quantitative", scale=_UNIT, axis=None),
        alt.Y(datum=0, type="quantitative", scale=_UNIT, axis=None),
        alt.X2(datum=1),
        alt.Y2(datum=1),
        url="field:N",
        tooltip=[alt.Tooltip("layer:N", title="layer")],
    )
    words = base.mark_text(align="left", baseline="top", dy=6).encode(
        alt.X(datum=0, type="quantitative", scale=_UNIT, axis=None),
        alt.Y(datum=0, type="quantitative", scale=_UNIT, axis=None),
        text="layer:N",
    )
    chart = alt.layer(picture, words).properties(
        width=PANEL, height=round(PANEL * shape[0] / shape[1])
    )
    note = f"yellow: the largest value; violet: {10**-DECADES:g} of it or less"
    return finish(chart, data, description, [title, note], facet, choose)


_UNIT = alt.Scale(domain=[0, 1], nice=False, zero=False)


def _checked(field: Any) -> NDArray[np.float64]:
    values = np.asarray(field, float)
    if values.ndim != 2 or not values.size or not (values >= 0).all():
        raise ValueError(
            f"a map of shape {values.shape}; expected (h, w) numbers, none "
            "negative or undefined"
        )
    return values


def _coloured(field: NDArray[np.float64]) -> Image.Image:
    """Turn a map into colours; a map of zeros is dark all over."""
    shrink = min(1.0, SIDE_AT_MOST / max(field.shape))
    height, width = (max(1, round(side * shrink)) for side in field.shape)
    small = np.asarray(
        Image.fromarray(field.astype(np.float32)).resize(
            (width, height), Image.Resampling.BOX
        )
    )
    top = small.max() or 1.0
    level = 1 + np.log10(np.maximum(small / top, 10**-DECADES)) / DECADES
    palette = Image.fromarray(np.rint(255 * level).astype(np.uint8))
    anchors = np.linspace(0, 1, len(VIRIDIS))
    shades = np.linspace(0, 1, 256)
    hues = [np.interp(shades, anchors, hue) for hue in np.transpose(VIRIDIS)]
    palette.putpalette(np.rint(hues).T.astype(np.uint8).tobytes())
    return palette
