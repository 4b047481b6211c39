"""Where a model stands among others: the same curves, the same numbers.

The others are what is usual: at every depth their median and their range,
and for every number how many lie above and below. With a dozen of models
this is a yardstick, not a distribution: a model outside the range is unlike
these models, which says nothing about its quality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from helpers import charts
from helpers.report.parts import Part
from helpers.runtime.arrays import Floats

STEPS = 11  # depths at which the others are summarised


class Sentence(str):
    """A sentence that a page shows as text."""

    def _repr_markdown_(self) -> str:
        return str(self)


def beside(
    own: Part, others: Mapping[str, Part], name: str, rest: str
) -> pd.DataFrame:
    """Join the curves of a model with a summary of those of others.

    Curves of others are interpolated over depth; where one has no curve in a
    panel, or none at that depth, the others speak.

    Args:
        own: the part of the model.
        others: the same part of the others, by name.
        name: of the model.
        rest: what the others are called.

    Returns:
        One row per point: `depth`, `value`, `low`, `high`, `panel`, `model`.
        For the others `value` is the median; `low` and `high` the range.
    """
    depths = np.linspace(0, 1, STEPS)
    tables = [own.curves.dropna(subset="value").assign(model=name)]
    for panel in own.curves.panel.unique():
        lines = [
            at_depths(depths, part.curves[part.curves.panel == panel])
            for part in others.values()
            if len(part.curves)
        ]
        each = np.array([line for line in lines if np.isfinite(line).any()])
        if not len(each):
            continue
        kept = np.isfinite(each).any(0)
        low, middle, high = np.nanquantile(each[:, kept], [0, 0.5, 1], 0)
        columns = {"depth": depths[kept], "value": middle}
        columns |= {"low": low, "high": high}
        table = pd.DataFrame(columns)
        tables.append(table.assign(panel=panel, model=rest))
    return pd.concat(tables, ignore_index=True)


def at_depths(depths: Floats, curve: pd.DataFrame) -> Floats:
    """Read a curve at other depths, on straight lines between its points.

    Args:
        depths: where to read it.
        curve: one row per point, `depth` and `value`.

    Returns:
        One value per depth: NaN outside the curve, but a curve of one point
        holds everywhere.
    """
    points = curve.dropna(subset="value").sort_values("depth")
    if points.empty:
        return np.full(len(depths), np.nan)
    outside = {"left": np.nan, "right": np.nan}
    if len(points) == 1:
        outside = {}
    found: Floats = np.interp(depths, points.depth, points.value, **outside)
    return found


def chart(parts: Mapping[str, Part], name: str, rest: str, **how: Any) -> Any:
    """Draw a model's curves before those of others, or say why there are none.

    Args:
        parts: the same part of several models, by name.
        name: which of them is examined.
        rest: what the others are called together.
        **how: as `charts.lines` takes it.

    Returns:
        A chart, or a `Sentence`.
    """
    own = parts[name]
    if own.curves.empty or own.curves.value.isna().all():
        return missing(own)
    others = {other: part for other, part in parts.items() if other != name}
    table = beside(own, others, name, rest)
    panels = table.panel.nunique() > 1
    return charts.lines(
        table,
        y="value",
        band=("low", "high"),
        facet="panel" if panels else None,
        **how,
    )


def bars(parts: Mapping[str, Part], name: str, **how: Any) -> Any:
    """Draw the values of a part that has no depth, one group a panel.

    Args:
        parts: the same part of several models, by name.
        name: which of them is examined.
        **how: as `charts.bars` takes it.

    Returns:
        A chart, or a `Sentence` where the examined model has no values.
    """
    if parts[name].curves.empty:
        return missing(parts[name])
    table = pd.concat(p.curves.assign(model=n) for n, p in parts.items())
    return charts.bars(
        table, x="value", y="panel", color="model", band=("low", "high"), **how
    )


def missing(*parts: Part) -> Sentence:
    """Say what is missing in some parts and why, one line each."""
    notes = dict.fromkeys(part.note for part in parts if part.note)
    lines = [f"- Left out: {note}." for note in notes]
    return Sentence("\n".join(lines) or "- Nothing.")


def summary(parts: Mapping[str, Sequence[Part]], name: str) -> pd.DataFrame:
    """Tabulate all numbers of a model among those of others.

    Args:
        parts: name of a model -> those parts that were measured of it.
        name: which of them is examined.

    Returns:
        One row per number of this model: `measure`, its `value`, the `lowest`,
        `median` and `highest` of the others that have it, and `below`, how
        many of those lie below, as in `3 of 7`.
    """
    numbers = {
        other: {k: v for part in each for k, v in part.numbers.items()}
        for other, each in parts.items()
    }
    own = numbers.pop(name)
    rows = []
    for measure, value in own.items():
        theirs = [each.get(measure, np.nan) for each in numbers.values()]
        known = np.array(theirs)[np.isfinite(theirs)]
        row: dict[str, Any] = {"measure": measure, "value": value}
        if len(known):
            low, middle, high = np.quantile(known, [0, 0.5, 1])
            row |= {"lowest": low, "median": middle, "highest": high}
            below = int((known < value).sum())
            if np.isfinite(value):
                row["below"] = f"{below} of {len(known)}"
        rows.append(row)
    columns = ["measure", "value", "lowest", "median", "highest", "below"]
    return pd.DataFrame(rows, columns=columns).fillna({"below": ""})
