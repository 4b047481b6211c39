"""Maps over pictures: where in an image something happens.

A veil lies over the picture, thin where the map is high and dark where it is
low, so that the places that count stay in the light and no colour of the
picture is lost. Not for reading numbers off: each map has its own scale.
Pages call it as `charts.overlays`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageColor

import helpers.charts.encodings as encodings
from helpers.charts.panels import finish
from helpers.charts.pictures import address
from helpers.charts.theme import MARKED
from helpers.runtime.errors import unknown

SIDE = 92  # of a picture on the page, in CSS pixels
SIDE_AT_MOST = 128  # of a picture in the file
DARKEST = 0.9  # opacity of the veil where a map is 0
OUTLINE = (*ImageColor.getrgb(MARKED), 255)
OUTLINED = 8  # pixels of a patch in the picture that outlines one
PICTURE = "_picture"


def overlays(
    table: pd.DataFrame,
    pictures: Mapping[str, NDArray[np.uint8]],
    *,
    description: str,
    value: str = "map",
    x: str = "image",
    y: str = "rank",
    tips: Sequence[str] = (),
    title: str = "",
    x_title: str = "",
    y_title: str = "",
    marked: tuple[int, int] | None = None,
    choose: str | None = None,
) -> Any:
    """Lay maps over pictures, in rows and columns.

    Args:
        table: one row per map.
        pictures: name -> (h, w, 3) pixels.
        description: what the maps show, in a sentence, for screen readers.
        value: column of maps: arrays (rows, columns), not negative.
        x: column of names in `pictures`, from left to right.
        y: column whose levels are the rows, from the top.
        tips: other columns, shown when one points at a map.
        title: chart title.
        x_title: what the columns are, in words.
        y_title: what the rows are.
        marked: row and column of a cell of the maps to outline.
        choose: column whose value the reader chooses.

    Returns:
        An Altair chart.

    Raises:
        ValueError: a column or picture is missing, a map occurs twice, is
            negative or not finite, or the description is too short.
    """
    used = [x, y, value, *tips, choose]
    data = encodings.data(table, description, used)
    encodings.single(data, [x, y, choose])
    missing = [name for name in data[x].unique() if name not in pictures]
    if missing:
        raise unknown("picture", missing[0], pictures)
    shape = np.shape(data[value].iloc[0])
    data = data.assign(**{value: [_veil(m) for m in data[value]]})
    below = alt.LookupData(
        pd.DataFrame(
            {
                x: list(pictures),
                PICTURE: [_picture(pixels) for pixels in pictures.values()],
            }
        ),
        key=x,
        fields=[PICTURE],
    )
    columns, rows = (data[c].nunique() for c in (x, y))
    base = alt.Chart().encode(
        _band(alt.X, x, data, x_title), _band(alt.Y, y, data, y_title)
    )
    place = {"width": alt.ExprRef("bandwidth('x')"), "aspect": False}
    place["height"] = alt.ExprRef("bandwidth('y')")
    mark = base.mark_image(smooth=False, **place)
    titles = {c: encodings.words(c) for c in dict.fromkeys([x, y, *tips])}
    layers = [
        mark.transform_lookup(lookup=x, from_=below).encode(
            alt.Url(field=PICTURE, type="nominal")
        ),
        mark.encode(
            alt.Url(field=value, type="nominal"),
            tooltip=encodings.tips(data, titles),
        ),
    ]
    if marked:
        line = alt.value(_outline(shape, marked))
        layers.append(base.mark_image(**place).encode(url=line))
    chart = alt.layer(*layers).properties(
        width=columns * SIDE, height=rows * SIDE
    )
    return finish(chart, data, description, [title], None, choose)


def _band(channel: Any, column: str, kept: pd.DataFrame, title: str) -> Any:
    axis = alt.Axis(
        title=title or None,
        ticks=False,
        domain=False,
        labelAngle=0,
        orient="top" if channel is alt.X else "left",
    )
    return channel(
        field=column,
        type="ordinal",
        sort=kept[column].drop_duplicates().tolist(),
        axis=axis,
        scale=alt.Scale(paddingInner=0.08, paddingOuter=0),
    )


def lit(
    picture: NDArray[np.uint8],
    weights: ArrayLike,
    marked: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """Lay the veil of one map over a picture, for `charts.pictures`.

    Args:
        picture: (h, w, 3) pixels.
        weights: (rows, columns) a map, not negative.
        marked: row and column of a cell of the map to outline.

    Returns:
        (h, w, 3) pixels.

    Raises:
        ValueError: a map that is negative or not finite.
    """
    dark = _opacity(weights)
    high, wide = picture.shape[:2]
    rows = np.arange(high) * dark.shape[0] // high
    columns = np.arange(wide) * dark.shape[1] // wide
    light = 1 - dark[np.ix_(rows, columns)] / 255
    pixels = np.round(picture * light[..., None]).astype(np.uint8)
    if marked:
        (top, *_, bottom), (left, *_, right) = (
            np.flatnonzero(side == place).tolist()
            for side, place in zip((rows, columns), marked, strict=True)
        )
        pixels[[top, bottom], left : right + 1] = OUTLINE[:3]
        pixels[top : bottom + 1, [left, right]] = OUTLINE[:3]
    return pixels


def _veil(weights: ArrayLike) -> str:
    """Turn a map into a black picture, transparent where the map is high."""
    alpha = _opacity(weights)
    return address(
        Image.fromarray(np.stack([0 * alpha, alpha], -1)), "PNG", optimize=True
    )


def _opacity(weights: ArrayLike) -> NDArray[np.uint8]:
    """Make a map's veil: 0 where the map is highest."""
    values = np.asarray(weights, float)
    if values.ndim != 2 or not np.isfinite(values).all() or values.min() < 0:
        raise ValueError(
            f"a map of shape {values.shape}; expected rows and columns of "
            "finite numbers, none negative"
        )
    light = values / (values.max() or 1)
    return np.round(255 * DARKEST * (1 - light)).astype(np.uint8)


def _picture(pixels: NDArray[np.uint8]) -> str:
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE_AT_MOST, SIDE_AT_MOST))
    return address(picture, "JPEG", quality=90)


def _outline(shape: tuple[int, ...], cell: tuple[int, int]) -> str:
    """Draw the border of one cell on a transparent picture."""
    place = np.zeros(shape, bool)
    place[cell] = True
    wide = np.kron(place, np.ones((OUTLINED, OUTLINED), bool))
    inner = np.zeros((OUTLINED, OUTLINED), bool)
    inner[1:-1, 1:-1] = True
    wide &= ~np.kron(place, inner)
    pixels = np.zeros((*wide.shape, 4), np.uint8)
    pixels[wide] = OUTLINE
    return address(Image.fromarray(pixels), "PNG", optimize=True)
