"""What the chart forms share: checked data, axes and legends.

For the forms in `charts` only; a page calls those.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from helpers.charts.theme import ROWS_AT_MOST, described, styles
from helpers.runtime.errors import unknown

LABELS_AT_MOST = 12
STANDARD_ERRORS = 2.0
LOW, HIGH, ROW, UNTRAINED = "_low", "_high", "_row", "_untrained"

Band = str | tuple[str, str] | None
Range = tuple[float, float] | None


def words(column: str) -> str:
    """Return a column's name as words."""
    return column.replace("_", " ")


def data(
    table: pd.DataFrame, description: str, columns: Sequence[str | None]
) -> pd.DataFrame:
    """Check table and description, and keep what the chart uses.

    Args:
        table: one row per mark.
        description: of the chart.
        columns: the ones it uses; a column `se` is kept as well.

    Returns:
        Those columns, numbers with six digits.

    Raises:
        ValueError: see the chart forms.
    """
    described(description)
    used = [column for column in dict.fromkeys(columns) if column]
    for column in used:
        if column not in table:
            raise unknown("column", column, map(str, table.columns))
        if not column.isidentifier():
            raise ValueError(
                f"column name {column!r}: expected letters, digits and "
                "underscores; words and units belong into the axis titles"
            )
    if not 0 < len(table) <= ROWS_AT_MOST:
        raise ValueError(
            f"the table has {len(table)} rows; expected 1 to {ROWS_AT_MOST}: "
            "aggregate it, or choose fewer layers"
        )
    if "se" in table and "se" not in used:
        used.append("se")
    kept = table[used].reset_index(drop=True)
    for column in used:
        if pd.api.types.is_float_dtype(kept[column]):
            kept[column] = [float(f"{v:.6g}") for v in kept[column]]
    return kept


def single(kept: pd.DataFrame, keys: Sequence[str | None]) -> None:
    """Refuse a table with several rows for one mark.

    Args:
        kept: what `data` returned.
        keys: the columns that tell marks apart.
    """
    columns = [key for key in dict.fromkeys(keys) if key]
    again = kept[kept.duplicated(columns)]
    if len(again):
        raise ValueError(
            f"several rows for {again.iloc[0][columns].to_dict()}; expected "
            "one: average them, or name what tells them apart as facet= or "
            "choose="
        )


def bounds(band: Band) -> list[str]:
    """List the columns that a band is drawn from."""
    return [band] if isinstance(band, str) else list(band or ())


def bounded(
    kept: pd.DataFrame, value: str, columns: Sequence[str]
) -> pd.DataFrame:
    """Add the ends of the error band as columns `_low` and `_high`.

    Args:
        kept: what `data` returned.
        value: column of the estimates.
        columns: what `bounds` returned; when empty, the column `se` is used
            where there is one.
    """
    if len(columns) == 2:
        low, high = (kept[column] for column in columns)
    elif columns or "se" in kept:
        reach = STANDARD_ERRORS * kept[(*columns, "se")[0]]
        low, high = kept[value] - reach, kept[value] + reach
    else:
        return kept
    return kept.assign(**{LOW: low, HIGH: high})


def level(
    channel: Any,
    column: str,
    maps: Sequence[pd.DataFrame],
    title: str,
    every: bool = False,
) -> Any:
    """Make an axis of names in the table's order, the first at the origin.

    Args:
        channel: `alt.X` or `alt.Y`.
        column: the names.
        maps: one table a map; the largest decides how labels are thinned.
        title: axis title; without one there is none.
        every: label every name, and start at the top.
    """
    names = [m[column].drop_duplicates().tolist() for m in maps]
    order = list(dict.fromkeys(name for part in names for name in part))
    step = 1 if every else -(-max(map(len, names)) // LABELS_AT_MOST)
    labelled = dict.fromkeys(name for part in names for name in part[::step])
    turned = channel is alt.X and max(len(str(name)) for name in order) > 3
    axis = alt.Axis(
        title=title or None,
        grid=False,
        ticks=False,
        domain=False,
        labelPadding=4,
        labelAngle=-45 if turned else 0,
        labelLimit=180,
    )
    if len(labelled) < len(order):
        shown = json.dumps(list(labelled))
        axis.labelExpr = (
            f"indexof({shown}, datum.value) < 0 ? '' : datum.label"
        )
    upwards = channel is alt.Y and not every
    return channel(
        field=column,
        type="ordinal",
        sort=order,
        axis=axis,
        scale=alt.Scale(reverse=upwards, round=True),
    )


def number(
    channel: Any,
    column: str,
    kept: pd.DataFrame,
    title: str,
    marked: Sequence[float | None] | None,
    domain: Range = None,
    zero: bool = True,
) -> Any:
    """Make an axis of numbers.

    Args:
        channel: `alt.X` or `alt.Y`.
        column: the numbers.
        kept: the table; its whole range decides the ends of the axis.
        title: axis title.
        marked: other numbers that the axis must contain; None lets the ends
            follow what is shown.
        domain: the ends themselves, instead.
        zero: whether 0 is to be on the axis.
    """
    scale = alt.Scale(nice=domain is None, zero=zero and not domain)
    if domain or marked is not None:
        shown = (column, LOW, HIGH, UNTRAINED)
        used = kept[[c for c in shown if c in kept]]
        extra = [m for m in (marked or ()) if m is not None] + [0.0] * zero
        low = min(used.min().min(), *extra, float("inf"))
        high = max(used.max().max(), *extra, -float("inf"))
        scale.domain = [float(end) for end in domain or (low, high)]
    axis = alt.Axis(title=title, domain=False, ticks=False, labelPadding=6)
    axis.tickCount = 6
    kind = {"type": "quantitative", "axis": axis, "scale": scale}
    return channel(field=column, **kind)


def series(
    channel: Any,
    kept: pd.DataFrame,
    column: str,
    legend: bool = True,
    line: bool = False,
) -> Any:
    """Give each series its colour, dash or opacity, as on all pages."""
    names = kept[column].drop_duplicates().tolist()
    looks = styles(map(str, names))
    ranges: dict[Any, list[Any]] = {
        alt.Color: [look.colour for look in looks],
        alt.StrokeDash: [list(look.dash) for look in looks],
        alt.Opacity: [look.opacity for look in looks],
    }
    scale = alt.Scale(type="ordinal", domain=names, range=ranges[channel])
    width = 52 + 7 * max(len(str(name)) for name in names)
    columns = f"max(1, floor(((containerSize()[0] || 600) - 60) / {width}))"
    key = alt.Legend(title=words(column), columns=alt.ExprRef(columns))
    if line:
        key.symbolType, key.symbolSize, key.symbolOpacity = "stroke", 400, 1
    return channel(
        field=column,
        type="nominal",
        sort=names,
        scale=scale,
        legend=key if legend else None,
    )


def tips(kept: pd.DataFrame, titles: Mapping[str, str]) -> list[Any]:
    """List what the pointer shows: the columns, error and control."""
    more = {"se": "standard error", UNTRAINED: "untrained"}
    shown = {**titles, **{c: name for c, name in more.items() if c in kept}}
    return [
        alt.Tooltip(
            field=column, title=title, type="quantitative", format=".3~f"
        )
        if pd.api.types.is_float_dtype(kept[column])
        else alt.Tooltip(field=column, title=title, type="nominal")
        for column, title in shown.items()
    ]


def rule(channel: Any, value: float) -> alt.Chart:
    """Draw a reference line at a value."""
    once = alt.Chart(alt.InlineData([{}]))
    mark = once.mark_rule(strokeDash=[4, 3], strokeWidth=1.5, aria=False)
    return mark.encode(channel(datum=value))
