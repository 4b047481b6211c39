"""Square maps of a value for every pair: the book's CKA maps.

Not for a few numbers a name (`charts.bars`) or a trend (`charts.lines`). Pages
call it as `charts.heatmap`.
"""

import json
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

import helpers.charts.encodings as encodings
from helpers.charts.encodings import Range
from helpers.charts.panels import finish
from helpers.charts.theme import DIVERGING, MARKED, PANEL, SEQUENTIAL

WIDTH = 420


def heatmap(
    table: pd.DataFrame,
    *,
    description: str,
    x: str = "layer_x",
    y: str = "layer_y",
    value: str = "cka",
    title: str = "",
    x_title: str = "layer",
    y_title: str = "layer",
    value_title: str = "CKA",
    domain: Range = (0.0, 1.0),
    facet: str | None = None,
    choose: str | None = None,
) -> Any:
    """Draw a value for every pair, such as the CKA of layers.

    The levels stand in the order of the table, the first at the left and at
    the bottom. A cell below `domain` bears a minus, an undefined one a cross.

    Args:
        table: one row per cell.
        description: what the chart shows, in a sentence, for screen readers.
        x: column whose levels are the columns of the map.
        y: column whose levels are its rows.
        value: column of numbers; NaN means undefined.
        title: chart title.
        x_title: what the columns are, in words.
        y_title: what the rows are.
        value_title: what the numbers are, with their unit.
        domain: values at the ends of the colour scale; None takes the
            table's. A negative lower end gives a diverging scale.
        facet: column with one map a value, side by side.
        choose: column whose value the reader chooses.

    Returns:
        An Altair chart.

    Raises:
        ValueError: a column is missing, a cell occurs twice, the table has no
            or too many rows, or the description is too short.
    """
    data = encodings.data(table, description, [x, y, value, facet, choose])
    split = [column for column in (facet, choose) if column]
    encodings.single(data, [x, y, *split])
    low, high = domain or (data[value].min(), data[value].max())
    maps = [m for _, m in data.groupby(split, sort=False)] if split else [data]
    width = PANEL if facet else WIDTH
    rows, columns = (max(m[c].nunique() for m in maps) for c in (y, x))
    height = width * float(np.clip(rows / columns, 0.3, 1.4))
    width = columns * max(1, round(width / columns))
    height = rows * max(1, round(height / rows))
    scale = alt.Scale(
        domain=[low, high],
        scheme=DIVERGING if low < 0 else SEQUENTIAL,
        clamp=True,
    )
    legend = alt.Legend(title=value_title, gradientLength=min(width, 200))
    pointed = alt.selection_point(
        name="pointed", on="pointerover", clear="pointerout", empty=False
    )
    base = alt.Chart().encode(
        encodings.level(alt.X, x, maps, x_title),
        encodings.level(alt.Y, y, maps, y_title),
        tooltip=encodings.tips(
            data,
            {
                x: f"{x_title or x} (across)",
                y: f"{y_title or y} (up)",
                value: value_title,
            },
        ),
    )
    here = f"datum[{json.dumps(value)}]"
    cells = base.mark_rect(aria=False).encode(
        alt.Color(
            field=value, type="quantitative", scale=scale, legend=legend
        ),
        stroke=alt.when(pointed).then(alt.value(MARKED)),
        strokeWidth=alt.value(2),
    )
    layers, notes = [cells.add_params(pointed)], []
    for sign, note, test, flagged in (
        ("–", f"– below {low:g}", f"< {low}", data[value] < low),
        ("×", "× undefined", "=== null", data[value].isna()),
    ):
        if flagged.any():
            mark = base.mark_text(
                text=sign,
                size=float(np.clip(width / columns * 0.7, 5, 18)),
                color="#b0b0b0",
                aria=False,
            )
            layers.append(mark.transform_filter(f"{here} {test}"))
            notes.append(note)
    chart = alt.layer(*layers).properties(width=width, height=height)
    return finish(
        chart, data, description, [title, *notes], facet, choose, True, True
    )
