"""Bars: a number for each name, with its interval."""

from typing import Any

import altair as alt
import pandas as pd

import helpers.charts.encodings as encodings
from helpers.charts.encodings import Band, Range
from helpers.charts.panels import finish
from helpers.charts.theme import PANEL


def bars(
    table: pd.DataFrame,
    *,
    description: str,
    x: str,
    y: str = "model",
    color: str | None = None,
    band: Band = None,
    title: str = "",
    x_title: str = "",
    y_title: str = "",
    x_domain: Range = None,
    reference: float | None = None,
    facet: str | None = None,
    choose: str | None = None,
) -> Any:
    """Draw a number for each name as a horizontal bar.

    Args:
        table: one row per bar.
        description: what the chart shows, in a sentence, for screen readers.
        x: column of the measured number.
        y: column of the names, kept in the table's order.
        color: column that colours the bars; where it is not `y` it tells
            apart several bars a name. Without it all have one colour.
        band: as in `lines`, drawn as an error bar.
        title: chart title.
        x_title: what x is, with its unit.
        y_title: what the names are; empty where that is plain.
        x_domain: ends of the x axis; by default it contains 0.
        reference: value of x to mark with a rule.
        facet: column with one panel per value.
        choose: column whose value the reader chooses.

    Returns:
        An Altair chart.

    Raises:
        ValueError: a column is missing, a mark occurs twice, the table has no
            or too many rows, or the description is too short.
    """
    bounds = encodings.bounds(band)
    data = encodings.data(
        table, description, [x, y, color, *bounds, facet, choose]
    )
    data = encodings.bounded(data, x, bounds)
    encodings.single(data, [y, color, facet, choose])
    grouped = color not in (None, y)
    axis = encodings.level(alt.Y, y, [data], y_title, every=True)
    base = alt.Chart().encode(
        axis,
        encodings.number(
            alt.X,
            x,
            data,
            x_title or encodings.words(x),
            [reference],
            x_domain,
        ),
        tooltip=encodings.tips(
            data,
            {y: y_title or encodings.words(y)}
            | ({str(color): encodings.words(str(color))} if grouped else {})
            | {x: x_title or encodings.words(x)},
        ),
    )
    slots = 1
    if grouped:
        order = list(dict.fromkeys(data[color].tolist()))
        slots = len(order)
        base = base.encode(alt.YOffset(field=color, sort=order))
    bar = base.mark_bar(cornerRadiusEnd=2)
    if color:
        bar = bar.encode(
            encodings.series(alt.Color, data, color, legend=grouped),
            encodings.series(alt.Opacity, data, color, legend=grouped),
        )
    layers = [bar]
    if encodings.LOW in data:
        error = base.mark_rule(aria=False, strokeWidth=1.5)
        layers.append(
            error.encode(
                alt.X(field=encodings.LOW, type="quantitative"),
                alt.X2(encodings.HIGH),
            )
        )
    if reference is not None:
        layers.append(encodings.rule(alt.X, reference))
    height = data[y].nunique() * (24 if slots == 1 else 8 + 14 * slots)
    chart = alt.layer(*layers).properties(
        width=PANEL if facet else "container", height=height
    )
    return finish(chart, data, description, [title], facet, choose)
