"""Scatter: one measure against another, both chosen by the reader."""

from itertools import combinations
from typing import Any

import altair as alt
import pandas as pd

import helpers.charts.encodings as encodings
from helpers.charts.panels import finish

SIZES = (20, 160)  # of a point, from the first to the last


def scatter(
    table: pd.DataFrame,
    *,
    description: str,
    value: str = "value",
    measure: str = "measure",
    along: str = "depth",
    color: str = "model",
    title: str = "",
) -> Any:
    """Draw one measure against another, a path of points per series.

    The reader chooses both measures; the first two are those that most points
    have. A click on the legend brings out a series.

    Args:
        table: one row per measure of a point.
        description: what the chart shows, in a sentence, for screen readers.
        value: column of the measured number.
        measure: column that names the measure.
        along: column of numbers that tells the points of a series apart;
            they are joined in its order and grow with it.
        color: column that names the series.
        title: chart title.

    Returns:
        An Altair chart.

    Raises:
        ValueError: a column is missing, fewer than two measures, a number
            occurs twice, the table has no or too many rows, or the
            description is too short.
    """
    used = [color, along, measure, value]
    data = encodings.data(table, description, used)
    encodings.single(data, [color, along, measure])
    measures = data[measure].drop_duplicates().tolist()
    if len(measures) < 2:
        raise ValueError(
            f"the column {measure!r} has the measures {measures}; expected "
            "two or more, one for each axis"
        )
    wide = data.pivot(index=[color, along], columns=measure, values=value)
    first = max(
        combinations(measures, 2),
        key=lambda pair: wide[list(pair)].notna().all(axis=1).sum(),
    )
    picked = alt.selection_point(name="picked", fields=[color], bind="legend")
    base = alt.Chart().encode(
        encodings.series(alt.Color, data, color),
        order=alt.Order(field=along, type="quantitative"),
        opacity=alt.when(picked).then(alt.value(1)).otherwise(alt.value(0.1)),
    )
    tips = [alt.Tooltip(field=color, type="nominal")]
    tips.append(alt.Tooltip(field=along, type="quantitative", format=".3~f"))
    controls = []
    sides = {"horizontal": alt.X, "vertical": alt.Y}
    for (side, channel), start in zip(sides.items(), first, strict=True):
        select = alt.binding_select(options=measures, name=side)
        name = f"choose_{side}"
        controls.append(alt.param(name=name, value=start, bind=select))
        base = base.transform_calculate(**{side: f"datum[{name}]"})
        base = base.transform_filter(f"isValid(datum.{side})")
        axis = encodings.number(
            channel, side, data, f"measure chosen as {side}", None, zero=False
        )
        axis["axis"].labelSeparation = 8
        base = base.encode(axis)
        tips.append(
            alt.Tooltip(field=side, type="quantitative", format=".3~f")
        )
    size = alt.Size(
        field=along,
        type="quantitative",
        scale=alt.Scale(range=SIZES),
        legend=None,
    )
    points = base.mark_point(filled=True).encode(size, tooltip=tips)
    chart = alt.layer(
        base.mark_line(strokeWidth=1), points.add_params(picked)
    ).add_params(*controls)
    return finish(
        chart.properties(width="container", height=320),
        wide.reset_index(),
        description,
        [title],
        None,
        None,
    )
