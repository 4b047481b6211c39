"""Two grids side by side: a token to point at, and its map over the image.

For maps that every token has one of; one map alone is a `charts.heatmap`.
Pages call it as `charts.token_maps`.
"""

from typing import Any

import altair as alt
import pandas as pd

import helpers.charts.encodings as encodings
from helpers.charts.panels import finish
from helpers.charts.theme import MARKED, SEQUENTIAL

SIDE = 264  # width of a grid in pixels, a multiple of many counts
GAP = 0.125  # between the grids; a grid is 1 wide
HEAD = 0.125  # room above them for a line of text, or of buttons
TITLES = ("point at a token", "its map over the patches")

AT = {
    "_at": "datum._token - datum._prefix",
    "_kind": "datum._at < 0 ? datum._token : -1",
}
"""Where a token stands among the patches, or its number before them."""

CHOSEN = (
    "datum._token === (pointed._kind[0] >= 0 && pointed._kind[0] < "
    "datum._prefix ? pointed._kind[0] : datum._prefix + "
    "floor(pointed._v[0] * datum._rows) * datum._columns + "
    "floor(pointed._u[0] * datum._columns))"
)
"""Places are kept as parts of the grid, so that they outlast a choice of
another grid; a token that it lacks is replaced by one in the middle."""

UNDEFINED = "datum._value === null"
SAYS = f"{UNDEFINED} ? 'undefined' : format(datum._value, '.3~f')"
OWN = "datum._at === datum._patch"
ONCE = f"{OWN} || datum._kind >= 0 && datum._patch === 0"
NAME = "'row ' + (datum._row + 1) + ', column ' + (datum._column + 1)"
TOKENS = {
    "_row": "floor(datum._at / datum._columns)",
    "_column": "datum._at % datum._columns",
    "_v": "datum._kind < 0 ? (datum._row + 0.5) / datum._rows : 0.5",
    "_u": "datum._kind < 0 ? (datum._column + 0.5) / datum._columns : 0.5",
    "_x": "datum._kind < 0 ? datum._column / datum._columns "
    ": datum._kind / max(3, datum._prefix)",
    "_x2": "datum._x + 1 / (datum._kind < 0 ? datum._columns "
    ": max(3, datum._prefix)) - (datum._kind < 0 ? 0 : 0.02)",
    "_y": f"datum._kind < 0 ? datum._row / datum._columns : -{HEAD}",
    "_y2": "datum._kind < 0 ? (datum._row + 1) / datum._columns : -0.03",
    "_name": f"datum._kind < 0 ? {NAME} : datum._called",
    "_grey": f"datum._kind >= 0 || {UNDEFINED}",
    "_says": f"datum._kind >= 0 ? 'stands at no patch' : {SAYS}",
}
PATCHES = {
    "_row": "floor(datum._patch / datum._columns)",
    "_column": "datum._patch % datum._columns",
    "_x": f"{1 + GAP} + datum._column / datum._columns",
    "_x2": "datum._x + 1 / datum._columns",
    "_y": "datum._row / datum._columns",
    "_y2": "datum._y + 1 / datum._columns",
    "_name": NAME,
    "_grey": UNDEFINED,
    "_says": SAYS,
}


def token_maps(
    table: pd.DataFrame,
    *,
    description: str,
    title: str = "",
    own_scale: bool = False,
    choose: str | None = None,
) -> Any:
    """Draw the map of the token that the reader points at.

    The grid at the left holds the tokens, each in the colour of its value at
    its own patch, class and register tokens above them. The grid at the
    right is the map of the one pointed at (or tapped), at first of one in
    the middle; its own patch is outlined. When the reader chooses another
    map, the same place stays pointed at.

    Args:
        table: one row per token and patch, with the columns `token` (a name),
            `token_row` and `token_column` (missing for tokens that stand at
            no patch), `row` and `column`, places counted from 0, and `cka`,
            in colours from 0 to the largest; NaN means undefined and bears a
            cross.
        description: what the chart shows, in a sentence, for screen readers.
        title: chart title.
        own_scale: whether the colours of each choice end at its own largest
            value, for maps of very different strength.
        choose: column whose value the reader chooses.

    Returns:
        An Altair chart.

    Raises:
        ValueError: a column is missing, a cell is missing or occurs twice,
            the table has no or too many rows, or the description is too
            short.
    """
    columns = ["token", "token_row", "token_column", "row", "column", "cka"]
    kept = encodings.data(table, description, [*columns, choose])
    encodings.single(kept, ["token", "row", "column", choose])
    maps = [m for _, m in kept.groupby(choose, sort=False)] if choose else []
    data = pd.concat([_numbered(m, choose) for m in maps or [kept]])
    wide, tall = 2 + GAP, float((data["_rows"] / data["_columns"]).max())
    top = HEAD * (2 if data["_prefix"].any() else 1)
    x = alt.X("_x:Q", axis=None, scale=alt.Scale(domain=[0, wide]))
    y_scale = alt.Scale(domain=[-top, tall], reverse=True)
    y = alt.Y("_y:Q", axis=None, scale=y_scale)
    high = float(data["_value"].max())
    scale = alt.Scale(
        domainMin=0, domainMax=high, scheme=SEQUENTIAL, clamp=True
    )
    if own_scale and choose:
        largest = data.groupby(choose)["_value"].max().to_json()
        scale.domainMax = alt.ExprRef(f"{largest}[chosen_{choose}]")
    colour = alt.Color(
        "_value:Q",
        scale=scale,
        legend=alt.Legend(title="CKA", gradientLength=200),
    )
    pointed = alt.selection_point(
        name="pointed",
        fields=["_kind", "_v", "_u"],
        on="pointerover, touchstart",
        clear=False,
        toggle=False,
        value=[{"_kind": -1, "_v": 0.5, "_u": 0.5}],
    )
    heads = [
        {"_x": left, "_y": -top, "text": text}
        for left, text in zip((0, 1 + GAP), TITLES, strict=True)
    ]
    heading = alt.Chart(alt.InlineData(heads)).mark_text(
        align="left", baseline="top", size=12, aria=False
    )
    layers = [heading.encode(x, y, text="text:N")]
    for shown, places, what, marked in (
        (ONCE, TOKENS, "token", CHOSEN),
        (CHOSEN, PATCHES, "patch", OWN),
    ):
        base = alt.Chart().transform_filter(shown)
        base = base.transform_calculate(**places).encode(x, y)
        cells = base.mark_rect(invalid=None, aria=False).encode(
            alt.when("datum._grey")
            .then(alt.value({"expr": "theme_grid"}))
            .otherwise(colour),
            x2="_x2:Q",
            y2="_y2:Q",
            tooltip=[
                alt.Tooltip("_name:N", title=what),
                alt.Tooltip("_says:N", title="CKA"),
            ],
        )
        outline = base.transform_filter(marked).mark_rect(
            filled=False, stroke=MARKED, strokeWidth=2.5, aria=False
        )
        layers += [
            cells.add_params(pointed) if what == "token" else cells,
            outline.encode(x2="_x2:Q", y2="_y2:Q"),
        ]
        for test, text in (
            (UNDEFINED, alt.value("×")),
            ("datum._kind >= 0", alt.Text("_name:N")),
        ):
            middle = base.transform_filter(test).transform_calculate(
                _x="(datum._x + datum._x2) / 2",
                _y="(datum._y + datum._y2) / 2",
            )
            text_mark = middle.mark_text(size=11, aria=False)
            layers.append(text_mark.encode(text=text))
    chart = alt.layer(*layers).properties(
        width=SIDE * wide, height=SIDE * (top + tall)
    )
    for name, expression in AT.items():
        chart = chart.transform_calculate(**{name: expression})
    return finish(chart, data, description, [title], None, choose)


def _numbered(one: pd.DataFrame, choose: str | None) -> pd.DataFrame:
    """Number the tokens and patches of one map, to store it in less room."""
    rows, columns = (int(one[side].max()) + 1 for side in ("row", "column"))
    tokens = one.drop_duplicates("token")
    before = tokens.token_row.isna()
    numbers = pd.Series(range(before.sum()), tokens.token[before])
    place = one.token_row * columns + one.token_column + len(numbers)
    patches = rows * columns
    if len(one) != (patches + len(numbers)) * patches:
        raise ValueError(
            f"a map of {rows} x {columns} patches and {len(numbers)} other "
            f"tokens has {(patches + len(numbers)) * patches} cells, got "
            f"{len(one)}"
        )
    return pd.DataFrame(
        {
            **({choose: one[choose]} if choose else {}),
            "_token": place.fillna(one.token.map(numbers)).astype(int),
            "_called": one.token.where(one.token_row.isna(), ""),
            "_patch": one.row * columns + one.column,
            "_rows": rows,
            "_columns": columns,
            "_prefix": len(numbers),
            "_value": one.cka.round(3),
        }
    )
