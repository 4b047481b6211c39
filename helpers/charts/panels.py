"""The last step of every chart form: data, title, panels and choices.

For the chart forms only; a page asks for `facet=` or `choose=` there.
"""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from helpers.charts.encodings import words


def finish(
    chart: Any,
    kept: pd.DataFrame,
    description: str,
    titles: Sequence[str],
    facet: str | None,
    choose: str | None,
    own_x: bool = False,
    own_y: bool = False,
) -> Any:
    """Split the chart into panels and let the reader choose.

    Args:
        chart: a layered chart without data.
        kept: its data.
        description: of the chart.
        titles: title, and lines below it.
        facet: column with one panel per value, or None.
        choose: column whose value the reader chooses, or None.
        own_x: whether each panel has its own x scale.
        own_y: whether each panel has its own y scale.
    """
    title, *notes = titles
    heading = alt.TitleParams(
        text=title or notes, subtitle=notes if title else []
    )
    if facet:
        panels = kept[facet].drop_duplicates().tolist()
        head = alt.Header(title=None, labelFontWeight=600)
        chart = chart.facet(
            alt.Facet(field=facet, type="nominal", sort=panels, header=head),
            data=kept,
            columns=2,
        ).resolve_axis(x="independent", y="independent")
        own = [name for name, wanted in (("x", own_x), ("y", own_y)) if wanted]
        chart = chart.resolve_scale(**dict.fromkeys(own, "independent"))
    else:
        chart = chart.properties(data=kept)
    if choose:
        values = kept[choose].drop_duplicates().tolist()
        named = not pd.api.types.is_numeric_dtype(kept[choose])
        options = values if named else sorted(values)
        binding: Any = (
            alt.binding_select(options=options, name=words(choose))
            if named
            else alt.binding_range(
                min=0, max=len(options) - 1, step=1, name=words(choose)
            )
        )
        control = alt.param(
            name=f"choose_{choose}",
            value=values[0] if named else options.index(values[0]),
            bind=binding,
        )
        place = control.name if named else f"{options}[{control.name}]"
        chosen = alt.param(name=f"chosen_{choose}", expr=place)
        test = f"datum[{json.dumps(choose)}] === {chosen.name}"
        chart = chart.add_params(control, chosen).transform_filter(test)
        if not named:
            now = f"{json.dumps(words(choose) + ': ')} + {chosen.name}"
            first = f"{json.dumps(title)}, " if title else ""
            heading.text = alt.ExprRef(f"[{first}{now}]")
    return chart.properties(
        title=heading, description=" ".join(description.split())
    )
