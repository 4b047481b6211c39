"""A map, and the images behind the cell that the reader chooses.

For maps whose cells rest on single images. Click a cell, or choose its row
and column in the two lists below the chart, which the keyboard reaches. All
pictures travel inside the page. Pages call it as `charts.linked_map`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import pandas as pd
from PIL import Image

import helpers.charts.encodings as encodings
from helpers.charts.panels import finish
from helpers.charts.pictures import address
from helpers.charts.theme import MARKED, SEQUENTIAL

X, Y, CKA = "layer_x", "layer_y", "cka"
WIDTH = 420
BYTES_AT_MOST = 300_000
SIDES = (64, 48, 32, 24)  # of a picture in pixels: the largest that fits
MARGIN = 0.11  # room for the names of the rows; the map is 1 wide
LABEL = 0.05  # height of a line of text


def linked_map(
    table: pd.DataFrame,
    examples: pd.DataFrame,
    pictures: Mapping[int, Image.Image],
    *,
    description: str,
    title: str = "",
    x_title: str = "layer",
    y_title: str = "layer",
) -> Any:
    """Draw a map that shows the examples of the cell chosen.

    Args:
        table: one row per cell, as `Comparison.table` writes it: the levels
            of `layer_x` are the columns of the map, those of `layer_y` its
            rows, the first at the bottom; `cka` is in [0, 1], NaN means
            undefined.
        examples: one row per cell and picture: `layer_x`, `layer_y`, `side`
            (a word, one row of pictures each), `rank` (from 1), `image` (a
            key of `pictures`) and `contribution`.
        pictures: the images that are shown, by their keys; shrunk until the
            chart has at most 300 kB.
        description: what the chart shows, in a sentence, for screen readers.
        title: chart title.
        x_title: what the columns are, in words.
        y_title: what the rows are.

    Returns:
        An Altair chart.

    Raises:
        ValueError: as `charts.heatmap`; a picture that is missing, or too
            many of them for 300 kB.
    """
    cells = encodings.data(table, description, [X, Y, CKA])
    encodings.single(cells, [X, Y])
    wanted = [X, Y, "side", "rank", "image", "contribution"]
    shown = encodings.data(examples, description, wanted)
    encodings.single(shown, [X, Y, "side", "rank"])
    columns, rows = (list(dict.fromkeys(cells[side])) for side in (X, Y))
    wide, tall = 1 / len(columns), max(0.3, min(1.4, len(rows) / len(columns)))
    place = dict(zip(rows, range(len(rows)), strict=True))
    cells = cells.assign(
        _x=cells[X].map({c: i * wide for i, c in enumerate(columns)}),
        _y=tall - (cells[Y].map(place) + 1) * tall / len(rows),
    )
    sides = list(dict.fromkeys(shown.side))
    across = int(shown["rank"].max())
    size, top = (1 + MARGIN) / across, tall + 4 * LABEL
    shown = shown.assign(
        _x=(shown["rank"] - 1) * size - MARGIN,
        _y=top + shown.side.map(sides.index) * (size + 3 * LABEL),
    )
    bottom = top + len(sides) * (size + 3 * LABEL) - LABEL
    for i in dict.fromkeys(shown.image):
        if i not in pictures:
            raise ValueError(f"there is no picture of image {i}")
    kept = {int(i): pictures[i] for i in dict.fromkeys(shown.image)}
    room = BYTES_AT_MOST - 60 * (len(cells) + len(shown))
    looked_up = alt.LookupData(
        pd.DataFrame({"image": list(kept), "url": _within(kept, room)}),
        key="image",
        fields=["url"],
    )
    first = {X: columns[len(columns) // 2], Y: rows[len(rows) // 2]}
    cell = alt.selection_point(
        name="cell",
        fields=[Y, X],
        on="rect:click",
        clear=False,
        toggle=False,
        value=[first],
        bind={
            Y: alt.binding_select(options=rows, name=y_title),
            X: alt.binding_select(options=columns, name=x_title),
        },
    )
    across_scale = alt.Scale(domain=[-MARGIN, 1], nice=False)
    down_scale = alt.Scale(domain=[0, bottom], nice=False, reverse=True)
    at_x = alt.X("_x:Q", axis=None, scale=across_scale)
    at_y = alt.Y("_y:Q", axis=None, scale=down_scale)
    colour = alt.Color(
        field=CKA,
        type="quantitative",
        scale=alt.Scale(domain=[0, 1], scheme=SEQUENTIAL, clamp=True),
        legend=alt.Legend(title="CKA", gradientLength=200),
    )
    square = alt.Chart().transform_calculate(
        _x2=f"datum._x + {wide}", _y2=f"datum._y + {tall / len(rows)}"
    )
    square = square.encode(at_x, at_y, x2="_x2:Q", y2="_y2:Q")
    tips_of = encodings.tips(cells, {X: x_title, Y: y_title, CKA: "CKA"})
    map_ = square.mark_rect(aria=False, cursor="pointer").encode(
        colour, tooltip=tips_of
    )
    outline = square.transform_filter({"param": "cell", "empty": False})
    outline = outline.mark_rect(
        filled=False, stroke=MARKED, strokeWidth=2.5, aria=False
    )
    behind = alt.Chart(shown)
    behind = behind.transform_filter({"param": "cell", "empty": False})
    ends = {
        f"_{axis}2": f"datum._{axis} + {size * 0.94}" for axis in ("x", "y")
    }
    picture = behind.transform_lookup("image", looked_up)
    picture = picture.transform_calculate(**ends)
    picture = picture.mark_image(aspect=False, smooth=False, aria=False)
    picture = picture.encode(
        *(at_x, at_y, alt.X2("_x2:Q"), alt.Y2("_y2:Q")),
        url="url:N",
        tooltip=["side:N", "contribution:Q", "image:Q"],
    )
    amount = behind.transform_calculate(
        _x=f"datum._x + {size * 0.47}", _y=f"datum._y + {size + LABEL / 3}"
    )
    amount = amount.mark_text(aria=False).encode(
        at_x, at_y, text=alt.Text("contribution:Q", format="+.2~g")
    )
    says = alt.Chart().transform_filter({"param": "cell", "empty": False})
    known = "datum.cka === null ? 'undefined' : format(datum.cka, '.2f')"
    says = says.transform_calculate(
        _says=f"{json.dumps(y_title + ' ')} + datum.layer_y + "
        f"{json.dumps(f', {x_title} ')} + datum.layer_x + ': CKA ' + ({known})"
    )
    says = says.mark_text(align="left", fontWeight=600).encode(
        alt.XDatum(-MARGIN, axis=None, scale=across_scale),
        alt.YDatum(tall + 2 * LABEL, axis=None, scale=down_scale),
        text="_says:N",
    )
    words = [
        (-MARGIN, top + k * (size + 3 * LABEL) - LABEL / 2, side)
        for k, side in enumerate(sides)
    ]
    step = tall / len(rows)
    layers = [
        map_.add_params(cell),
        outline,
        picture,
        amount,
        says,
        _text(words, "left", at_x, at_y),
        _text(
            [
                ((i + 0.5) * wide, tall + LABEL / 2, c)
                for i, c in _some(columns)
            ],
            "center",
            *(at_x, at_y),
        ),
        _text(
            [(-0.02, tall - (i + 0.5) * step, r) for i, r in _some(rows)],
            "right",
            *(at_x, at_y),
        ),
    ]
    height = round(WIDTH * bottom / (1 + MARGIN))
    chart = alt.layer(*layers).properties(width=WIDTH, height=height)
    note = f"up: {y_title}; across: {x_title}"
    return finish(chart, cells, description, [title, note], None, None)


def _some(names: list[Any]) -> Iterable[tuple[int, Any]]:
    """Choose so few names that they can stand along an axis."""
    step = -(-len(names) // encodings.LABELS_AT_MOST)
    return list(enumerate(names))[::step]


def _text(
    rows: Iterable[tuple[float, float, Any]], align: Any, x: Any, y: Any
) -> Any:
    """Write words at places of the chart."""
    data = [{"_x": a, "_y": b, "text": str(word)} for a, b, word in rows]
    mark = alt.Chart(alt.InlineData(data)).mark_text(
        align=align, baseline="middle", aria=False
    )
    return mark.encode(x, y, text="text:N")


def _within(pictures: Mapping[int, Image.Image], room: int) -> list[str]:
    """Write pictures into addresses, as large as there is room for.

    Raises:
        ValueError: the smallest ones are too many bytes.
    """
    for side in SIDES:
        urls = [
            address(p.convert("RGB").resize((side, side)), "WEBP", quality=60)
            for p in pictures.values()
        ]
        if sum(map(len, urls)) <= room:
            return urls
    raise ValueError(
        f"{len(pictures)} pictures of {SIDES[-1]} pixels a side have "
        f"{sum(map(len, urls))} bytes; expected at most {room}: show fewer"
    )
