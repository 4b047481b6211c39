"""Scatter: one measure against another, both chosen by the reader."""

from itertools import combinations
from typing import Any

import altair as alt
import pandas as pd

import helpers.charts.encodings as encodings
from helpers.charts.panels import finish

SIDES = {"horizontal": alt.X, "vertical": alt.Y}
SIZES = (20, 160)  # of a point, from the first to the last


def scatter(table: pd.DataFrame, *, description: str, title: str = "") -> Any:
    """Draw one measure against another, a path of points for each model.

    The reader chooses both measures; the first two are those that most points
    have. A click on the legend brings out a model.

    Args:
        table: one row per measure of a point: `model`, `depth`, `measure`, a
            name, and its `value`. The points of a model are joined in the
            order of depth, and grow with it.
        description: what the chart shows, in a sentence, for screen readers.
        title: chart title.

    Returns:
        An Altair chart.

    Raises:
        ValueError: a column is missing, fewer than two measures, a number
            occurs twice, the table has no or too many rows, or the
            description is too short.
    """
    points = ["model", "depth"]
    columns = [*points, "measure", "value"]
    data = encodings.data(table, description, columns)
    encodings.single(data, columns[:3])
    measures = data.measure.drop_duplicates().tolist()
    if len(measures) < 2:
        raise ValueError(
            f"the table has the measures {measures}; expected two or more, "
            "one for each axis"
        )
    wide = data.pivot(index=points, columns="measure", values="value")
    first = max(
        combinations(measures, 2),
        key=lambda pair: wide[list(pair)].notna().all(axis=1).sum(),
    )
    picked = alt.selection_point(
        name="picked", fields=["model"], bind="legend"
    )
    base = alt.Chart().encode(
        encodings.series(alt.Color, data, "model"),
        order=alt.Order("depth:Q"),
        opacity=alt.when(picked).then(alt.value(1)).otherwise(alt.value(0.1)),
    )
    controls = []
    for (side, channel), start in zip(SIDES.items(), first, strict=True):
        select = alt.binding_select(options=measures, name=side)
        control = alt.param(name=f"choose_{side}", value=start, bind=select)
        controls.append(control)
        base = base.transform_calculate(**{side: f"datum[{control.name}]"})
        base = base.transform_filter(f"isValid(datum.{side})")
        says = f"measure chosen as {side}"
        axis = encodings.number(channel, side, data, says, None, zero=False)
        axis["axis"].labelSeparation = 8
        base = base.encode(axis)
    shown = data.assign(horizontal=0.0, vertical=0.0)
    circle = base.mark_point(filled=True).encode(
        alt.Size("depth:Q", legend=None).scale(range=SIZES),
        tooltip=encodings.tips(shown, {n: n for n in (*points, *SIDES)}),
    )
    path = base.mark_line(strokeWidth=1)
    chart = alt.layer(path, circle.add_params(picked)).add_params(*controls)
    chart = chart.properties(width="container", height=320)
    return finish(chart, wide.reset_index(), description, [title], None, None)
