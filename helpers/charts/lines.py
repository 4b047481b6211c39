"""Lines: a number along an axis, with its interval as a band."""

from typing import Any, Literal

import altair as alt
import pandas as pd

import helpers.charts.encodings as encodings
import helpers.charts.untrained as untrained
from helpers.charts.encodings import Band, Range
from helpers.charts.panels import finish
from helpers.charts.theme import PANEL


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
    """Draw a number against depth or another quantity, one line per series.

    A click on the legend brings out a series. Thin grey lines show the same
    on untrained models, where `vitscope controls` has measured them.

    Args:
        table: one row per point.
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
        facet: column with one panel per value, side by side.
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
    data = encodings.bounded(data, y, bounds)
    encodings.single(data, [x, color, facet, choose])
    data = untrained.beside(data, description, x, [facet, choose, color])
    named = not pd.api.types.is_numeric_dtype(data[x])
    if named:
        data = data.assign(**{encodings.ROW: range(len(data))})
        axis = encodings.level(alt.X, x, [data], x_title)
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
        encodings.number(
            alt.Y,
            y,
            data,
            y_title or encodings.words(y),
            None if own_scale else [reference],
            y_domain,
            zero=False,
        ),
        encodings.series(alt.Color, data, color, line=True),
    )
    faded = alt.when(picked)
    line = base.mark_line(strokeWidth=2).encode(
        encodings.series(alt.StrokeDash, data, color, line=True),
        opacity=faded.then(alt.value(1)).otherwise(alt.value(0.15)),
        order=alt.Order(
            field=encodings.ROW if named else x, type="quantitative"
        ),
    )
    tips = {
        color: encodings.words(color),
        x: x_title,
        y: y_title or encodings.words(y),
    }
    points = base.mark_point(filled=True, size=45).encode(
        opacity=faded.then(alt.value(1)).otherwise(alt.value(0.15)),
        tooltip=encodings.tips(data, tips),
    )
    layers = [line, points.add_params(picked)]
    titles = [title]
    if encodings.UNTRAINED in data:
        titles.append(untrained.NOTE)
        description = f"{description} {untrained.SENTENCE}"
        thin = base.mark_line(strokeWidth=1, aria=False).encode(
            alt.Y(field=encodings.UNTRAINED, type="quantitative"),
            color=alt.value({"expr": "theme_muted"}),
            detail=alt.Detail(field=color, type="nominal"),
            opacity=faded.then(alt.value(0.9)).otherwise(alt.value(0.15)),
        )
        layers.insert(0, thin)
    if encodings.LOW in data:
        area = base.mark_area(aria=False).encode(
            alt.Y(field=encodings.LOW, type="quantitative"),
            alt.Y2(encodings.HIGH),
            opacity=faded.then(alt.value(0.18)).otherwise(alt.value(0.03)),
        )
        layers.insert(0, area)
    if reference is not None:
        layers.insert(0, encodings.rule(alt.Y, reference))
    chart = alt.layer(*layers).properties(
        width=PANEL if facet else "container", height=180 if facet else 280
    )
    return finish(
        chart, data, description, titles, facet, choose, own_y=own_scale
    )
