"""Where models stand among others: the same curves, the same numbers.

The others are what is usual: at every depth their median and their range,
and for every number how many lie above and below. With a dozen of models
this is a yardstick, not a distribution: a model outside the range is unlike
these models, which says nothing about its quality.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from helpers import charts, models
from helpers.report.parts import Part
from helpers.runtime.arrays import Floats

if TYPE_CHECKING:
    from helpers.models.vision_model import VisionModel

STEPS = 11  # depths at which the others are summarised


class Sentence(str):
    """A sentence that a page shows as text."""

    def _repr_markdown_(self) -> str:
        return str(self)


def load(specs: Sequence[str]) -> dict[str, VisionModel]:
    """Load the models that a report examines, by their names in charts.

    Returns:
        Name -> model; a file is named without its folder, where that leaves
        the names apart.

    Raises:
        ValueError: a model that is given twice, or what `models.load` refuses.
    """
    once(specs)
    loaded = [models.load(spec) for spec in specs]
    short = [re.sub("@.*/", "@", model.name) for model in loaded]
    if len({*short}) < len(short):
        short = [model.name for model in loaded]
    return dict(zip(short, loaded, strict=True))


def once(specs: Sequence[str]) -> None:
    """Refuse a model that is given twice.

    Raises:
        ValueError: names it, and what may be meant.
    """
    spec, count = Counter(specs).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"model {spec!r} is given {count} times; name each model once "
            f"(beside itself untrained, say: {models.untrained(spec)!r})"
        )


def beside(
    own: Mapping[str, Part], others: Mapping[str, Part], rest: str
) -> pd.DataFrame:
    """Join the curves of examined models with a summary of those of others.

    Curves of others are interpolated over depth; where one has no curve in a
    panel, or none at that depth, the others speak.

    Args:
        own: the part of each examined model, by name.
        others: the same part of the others, by name.
        rest: what the others are called.

    Returns:
        One row per point: `depth`, `value`, `low`, `high`, `panel`, `model`.
        For the others `value` is the median; `low` and `high` the range.
    """
    depths = np.linspace(0, 1, STEPS)
    tables = [
        part.curves.dropna(subset="value").assign(model=name)
        for name, part in own.items()
        if len(part.curves)
    ]
    for panel in pd.concat(tables).panel.unique():
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


def chart(
    parts: Mapping[str, Part], names: Collection[str], rest: str, **how: Any
) -> Any:
    """Draw curves of models before those of others, or say why there are none.

    Args:
        parts: the same part of several models, by name.
        names: which of them are examined.
        rest: what the others are called together.
        **how: as `charts.lines` takes it.

    Returns:
        A chart, or a `Sentence`.
    """
    own = {name: parts[name] for name in names}
    if not any(_has_values(part) for part in own.values()):
        return missing(*own.values())
    others = {name: p for name, p in parts.items() if name not in own}
    table = beside(own, others, rest)
    panels = table.panel.nunique() > 1
    return charts.lines(
        table,
        y="value",
        band=("low", "high"),
        facet="panel" if panels else None,
        **how,
    )


def _has_values(part: Part) -> bool:
    return len(part.curves) > 0 and bool(part.curves.value.notna().any())


def bars(parts: Mapping[str, Part], names: Collection[str], **how: Any) -> Any:
    """Draw the values of a part that has no depth, one group a panel.

    Args:
        parts: the same part of several models, by name.
        names: which of them are examined.
        **how: as `charts.bars` takes it.

    Returns:
        A chart, or a `Sentence` where no examined model has values.
    """
    own = [parts[name] for name in names]
    if all(part.curves.empty for part in own):
        return missing(*own)
    table = pd.concat(p.curves.assign(model=n) for n, p in parts.items())
    return charts.bars(
        table, x="value", y="panel", color="model", band=("low", "high"), **how
    )


def missing(*parts: Part, whose: str = "") -> Sentence:
    """Say what is missing in some parts and why, one line each.

    Args:
        *parts: of one model.
        whose: its name, where a page tells of several models.
    """
    notes = dict.fromkeys(part.note for part in parts if part.note)
    of = f" of {whose}" if whose else ""
    lines = [f"- Left out{of}: {note}." for note in notes]
    return Sentence("\n".join(lines) or "- Nothing.")


def summary(
    parts: Mapping[str, Sequence[Part]], names: Collection[str]
) -> pd.DataFrame:
    """Tabulate all numbers of some models among those of others.

    Args:
        parts: name of a model -> those parts that were measured of it.
        names: which of them are examined.

    Returns:
        One row per number of these models: `measure`, its `value`, or of
        several models one column each, by name; the `lowest`, `median` and
        `highest` of the others that have it; and of a single model `below`,
        how many of those lie below, as in `3 of 7`.
    """
    numbers = {
        other: {k: v for part in each for k, v in part.numbers.items()}
        for other, each in parts.items()
    }
    own = {name: numbers.pop(name) for name in names}
    alone = len(own) == 1
    rows = []
    for measure in dict.fromkeys(m for each in own.values() for m in each):
        theirs = [each.get(measure, np.nan) for each in numbers.values()]
        known = np.array(theirs)[np.isfinite(theirs)]
        ours = {name: each.get(measure, np.nan) for name, each in own.items()}
        value = next(iter(ours.values()))
        row: dict[str, Any] = {"measure": measure}
        row |= {"value": value} if alone else ours
        if len(known):
            low, middle, high = np.quantile(known, [0, 0.5, 1])
            row |= {"lowest": low, "median": middle, "highest": high}
            if alone and np.isfinite(value):
                row["below"] = f"{(known < value).sum()} of {len(known)}"
        rows.append(row)
    columns = ["measure", *(["value"] if alone else own)]
    columns += ["lowest", "median", "highest", *["below"] * alone]
    table = pd.DataFrame(rows, columns=columns)
    return table.fillna({"below": ""}) if alone else table
