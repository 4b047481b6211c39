"""The chart forms of the book: a tidy table and a description, one chart.

`heatmap`, `lines` and `bars` take a pandas table, one row a mark, and return
an Altair chart that can be changed further; a column `se` is the standard
error of the value. Each form can be split into panels by a column (`facet`)
or let the reader choose a column's value with a slider or a menu (`choose`),
without a running kernel. `token_maps` shows the map of the token that the
reader points at. Do not use them for raw activations: measure first,
chart the numbers.
"""

from typing import Any, Literal

import altair as alt
import pandas as pd

from helpers.drawing import encodings as enc
from helpers.drawing.encodings import Band, Range
from helpers.drawing.frames import frames
from helpers.drawing.heatmaps import heatmap
from helpers.drawing.overlays import overlays
from helpers.drawing.panels import finish
from helpers.drawing.pictures import pictures, verdicts
from helpers.drawing.theme import PANEL, setup
from helpers.drawing.tokenmaps import token_maps

__all__ = [
    "bars",
    "frames",
    "heatmap",
    "lines",
    "overlays",
    "pictures",
    "setup",
    "token_maps",
    "verdicts",
]


def lines(
    table: pd.DataFrame,
    *,
    description: str,
    y: str,
    x: str = "depth",
    color: str = "model",
    band: Band = None,
    title: str = "",
    x_title: str = "depth (fraction of the layers)",
    y_title: str = "",
    x_scale: Literal["linear", "log2"] = "linear",
    y_domain: Range = None,
    own_scale: bool = False,
    reference: float | None = None,
    facet: str | None = None,
    choose: str | None = None,
) -> Any:
    """Draw a number against depth or another quantity, one line a series.

    A click on the legend brings out a series.

    Args:
        table: one row a point.
        description: what the chart shows, in a sentence, for screen readers.
        y: column of the measured number.
        x: column it depends on; names are kept in the table's order.
        color: column that names the series.
        band: a column of standard errors, drawn as 2 to either side, or the
            columns of the lower and upper bound; without it the column `se`
            where there is one.
        title: chart title.
        x_title: what x is, with its unit.
        y_title: what y is, with its unit.
        x_scale: `log2` for sizes that double.
        y_domain: ends of the y axis.
        own_scale: whether each panel and choice has its own y axis, for
            numbers of different units; else one holds for all.
        reference: value of y to mark with a rule (chance, say).
        facet: column with one panel a value, side by side.
        choose: column whose value the reader chooses.

    Returns:
        An Altair chart.

    Raises:
        ValueError: a column is missing, a mark occurs twice, the table has no
            or too many rows, or the description is too short.
    """
    bounds = enc.bounds(band)
    data = enc.data(table, description, [x, y, color, *bounds, facet, choose])
    data = enc.bounded(data, y, bounds)
    enc.single(data, [x, color, facet, choose])
    named = not pd.api.types.is_numeric_dtype(data[x])
    if named:
        data = data.assign(**{enc.ROW: range(len(data))})
        axis = enc.level(alt.X, x, [data], x_title)
    else:
        kind: dict[str, Any] = {"nice": False, "zero": False, "padding": 12}
        ticks = alt.Axis(title=x_title, grid=False, tickCount=6)
        if x_scale == "log2":
            kind |= {"type": "log", "base": 2}
            ticks.values = sorted(data[x].unique().tolist())
        scale = alt.Scale(**kind)
        axis = alt.X(field=x, type="quantitative", axis=ticks, scale=scale)
    picked = alt.selection_point(name="picked", fields=[color], bind="legend")
    base = alt.Chart().encode(
        axis,
        enc.number(
            alt.Y,
            y,
            data,
            y_title or enc.words(y),
            None if own_scale else [reference],
            y_domain,
            zero=False,
        ),
        enc.series(alt.Color, data, color, line=True),
    )
    faded = alt.when(picked)
    line = base.mark_line(strokeWidth=2).encode(
        enc.series(alt.StrokeDash, data, color, line=True),
        opacity=faded.then(alt.value(1)).otherwise(alt.value(0.15)),
        order=alt.Order(field=enc.ROW if named else x, type="quantitative"),
    )
    tips = {color: enc.words(color), x: x_title, y: y_title or enc.words(y)}
    points = base.mark_point(filled=True, size=45).encode(
        opacity=faded.then(alt.value(1)).otherwise(alt.value(0.15)),
        tooltip=enc.tips(data, tips),
    )
    layers = [line, points.add_params(picked)]
    if enc.LOW in data:
        area = base.mark_area(aria=False).encode(
            alt.Y(field=enc.LOW, type="quantitative"),
            alt.Y2(enc.HIGH),
            opacity=faded.then(alt.value(0.18)).otherwise(alt.value(0.03)),
        )
        layers.insert(0, area)
    if reference is not None:
        layers.insert(0, enc.rule(alt.Y, reference))
    chart = alt.layer(*layers).properties(
        width=PANEL if facet else "container", height=180 if facet else 280
    )
    return finish(
        chart, data, description, [title], facet, choose, own_y=own_scale
    )


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
        table: one row a bar.
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
        facet: column with one panel a value.
        choose: column whose value the reader chooses.

    Returns:
        An Altair chart.

    Raises:
        ValueError: a column is missing, a mark occurs twice, the table has no
            or too many rows, or the description is too short.
    """
    bounds = enc.bounds(band)
    data = enc.data(table, description, [x, y, color, *bounds, facet, choose])
    data = enc.bounded(data, x, bounds)
    enc.single(data, [y, color, facet, choose])
    grouped = color not in (None, y)
    axis = enc.level(alt.Y, y, [data], y_title, every=True)
    base = alt.Chart().encode(
        axis,
        enc.number(
            alt.X, x, data, x_title or enc.words(x), [reference], x_domain
        ),
        tooltip=enc.tips(
            data,
            {y: y_title or enc.words(y)}
            | ({str(color): enc.words(str(color))} if grouped else {})
            | {x: x_title or enc.words(x)},
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
            enc.series(alt.Color, data, color, legend=grouped),
            enc.series(alt.Opacity, data, color, legend=grouped),
        )
    layers = [bar]
    if enc.LOW in data:
        error = base.mark_rule(aria=False, strokeWidth=1.5)
        layers.append(
            error.encode(
                alt.X(field=enc.LOW, type="quantitative"), alt.X2(enc.HIGH)
            )
        )
    if reference is not None:
        layers.append(enc.rule(alt.X, reference))
    height = data[y].nunique() * (24 if slots == 1 else 8 + 14 * slots)
    chart = alt.layer(*layers).properties(
        width=PANEL if facet else "container", height=height
    )
    return finish(chart, data, description, [title], facet, choose)
