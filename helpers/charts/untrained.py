"""The lines of a chart on untrained models, to be drawn beside its own.

`vitscope controls` executes a page with untrained weights and keeps the lines
that it draws against depth; the page draws them beside its own while it runs
with the same parameters. A chart is known by its description, a line by the
names of its panel, choice and series. All names and depths of a chart must
agree, or nothing is drawn.

A line is kept as its points, `depth:value` with spaces between, under its
names, joined by semicolons.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from nbformat import NotebookNode

import helpers.charts.encodings as encodings
import helpers.charts.rendering as rendering
import helpers.claims.other_weights as other_weights
from helpers.claims.ledger import running
from helpers.claims.other_weights import CONTROLS, CURVES

DEPTH = re.compile("depth|block|layer")
"""How a column is called that has the depth in the network."""
OWN = re.compile(r"untrained|\?random")
"""How a page calls untrained models that it draws itself."""
SEED = re.compile(r"\?random=\d+")
"""What the weights of a control add to the name of a model."""
RESULT = re.compile(r" \([^()]*\d[^()]*\)$")
"""A number that the page found, behind the name of a series."""
Point = tuple[str, str]
"""The names of a line, and a depth."""
NOTE = "thin grey lines: untrained"
SENTENCE = (
    "Thin grey lines: the same on untrained models, the mean over draws of "
    "their weights."
)


def beside(
    data: pd.DataFrame, description: str, x: str, names: Sequence[str | None]
) -> pd.DataFrame:
    """Add what untrained models show, as a column, where that is known.

    Args:
        data: the table of the chart.
        description: of the chart.
        x: column of the depths.
        names: columns of panel, choice and series.

    Returns:
        The table; as it was where no control speaks of the chart, or where
        the chart shows untrained models itself.

    Raises:
        ValueError: a file of controls of another form; names it.
    """
    draws = draws_of(" ".join(description.split()), running())
    columns = [name for name in names if name]
    shown = {str(name) for column in columns for name in data[column]}
    if not draws or any(map(OWN.search, shown)):
        return data
    points = _points(data, x, columns)
    alike = all(draw.keys() == {*points} for draw in draws)
    if not alike or len({*points}) < len(points):
        return data
    means = [np.mean([draw[point] for draw in draws]) for point in points]
    return data.assign(**{encodings.UNTRAINED: means})


def draws_of(
    description: str, given: Mapping[str, Any]
) -> list[dict[Point, float]]:
    """Read what a chart shows with each draw of untrained weights.

    Returns:
        The value at each point; nothing where no page, or more than one, that
        runs with the values given has the chart.
    """
    found = []
    for path in sorted((other_weights.FOLDER / CONTROLS).glob("*.json")):
        content = other_weights.read(CONTROLS, path.stem)
        kept = [run.get(CURVES, {}) for run in content["runs"].values()]
        draws = [
            curves[description] for curves in kept if description in curves
        ]
        if draws and other_weights.speaks_of(content, given):
            try:
                found.append([_read(lines) for lines in draws])
            except (AttributeError, ValueError) as error:
                raise ValueError(
                    f"{path.name}: expected lines as points depth:value, with "
                    f"spaces between, for the chart {description!r}"
                ) from error
    return found[0] if len(found) == 1 else []


def _read(lines: Mapping[str, str]) -> dict[Point, float]:
    """Read lines as `lines_in` gives them."""
    return {
        (names, depth): float(value)
        for names, line in lines.items()
        for depth, _, value in (point.partition(":") for point in line.split())
    }


def lines_in(notebook: NotebookNode) -> dict[str, dict[str, str]]:
    """Collect what an executed notebook draws as lines against depth.

    Returns:
        Description of a chart to its lines, by their names. A chart whose
        lines cannot be told apart by their names is left out, and so is one
        whose description comes twice.
    """
    found: dict[str, dict[str, str]] = {}
    for _, spec in rendering.figures_in(notebook):
        lines = _lines(spec)
        if lines:
            again = spec["description"] in found
            found[spec["description"]] = {} if again else lines
    return {text: lines for text, lines in found.items() if lines}


def _lines(spec: dict[str, Any]) -> dict[str, str]:
    """Return the lines of a specification, if it has any against depth."""
    layers = spec.get("spec", spec).get("layer", [])
    axes = [
        layer["encoding"]
        for layer in layers
        # As `charts.lines` draws a series.
        if "strokeDash" in layer.get("encoding", {})
        and DEPTH.match(layer["encoding"]["x"]["field"])
        and layer["encoding"]["x"]["type"] == "quantitative"
    ]
    if not axes:
        return {}
    x, y, series = (axes[0][axis]["field"] for axis in ("x", "y", "color"))
    choices = [
        param["name"].removeprefix("choose_")
        for param in spec.get("params", [])
        if param["name"].startswith("choose_")
    ]
    panels = [spec["facet"]["field"]] if "facet" in spec else []
    packed = spec["datasets"][spec["data"]["name"]]
    table = pd.DataFrame(rendering.unpack(packed))
    points = _points(table, x, [*panels, *choices, series])
    if len({*points}) < len(points):
        return {}
    lines: dict[str, list[str]] = {}
    values = table[y].astype(float)
    for (names, depth), value in zip(points, values, strict=True):
        lines.setdefault(names, []).append(f"{depth}:{value:.4g}")
    return {names: " ".join(line) for names, line in lines.items()}


def _points(data: pd.DataFrame, x: str, columns: Sequence[str]) -> list[Point]:
    """Return names and depth of each row as they are with any weights."""
    names = [
        [RESULT.sub("", SEED.sub("", str(name))) for name in data[column]]
        for column in columns
    ]
    joined = map("; ".join, zip(*names, strict=True))
    depths = (f"{depth:.6g}" for depth in data[x])
    return list(zip(joined, depths, strict=True))
