"""Curves of a report that others can add to: kept, published, drawn again.

`keep` leaves the curves of a model in the executed page; `vitscope publish`
collects them in `data/results/<measure>.csv`, whose README defines the
columns; `read` refuses a file that is not in order, `chart` draws it, and
`published` joins all files for the page `results`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nbformat import NotebookNode

from helpers import charts
from helpers.report.among_others import at_depths
from helpers.report.parts import Part
from helpers.runtime.errors import unknown
from helpers.runtime.paths import DATA

KEY = "vitscope_curves"  # in the metadata of a cell's output
FOLDER = DATA / "results"
MEASURES = {
    "attention_distance": "attention distance, 1 = uniform attention",
    "norm_ratio": "log2 of the norm ratio of skip and branch",
    "field_radius": "radius of the receptive field in image widths",
    "ridge_accuracy": "accuracy of a ridge probe",
    "accuracy_under_shift": "accuracy of a ridge probe on shifted images",
}
"""The measures that are published: name of the file -> what it holds."""
POINTS = ("panel", "layer", "depth", "value", "low", "high")
ORIGIN = ("version", "torch", "timm", "device")
COLUMNS = ("model", "weights", "images", *POINTS, "settings", *ORIGIN)
HASH = r"[0-9a-f]{64}"


class Kept:
    """Curves as a page shows them: a sentence, and data for publishing."""

    def __init__(self, rows: list[dict[Any, Any]]) -> None:
        self.rows = rows

    def _repr_mimebundle_(
        self, **_: Any
    ) -> tuple[dict[str, str], dict[str, Any]]:
        names = ", ".join(dict.fromkeys(r["measure"] for r in self.rows))
        text = (
            f"{len(self.rows)} points of these measures are kept with the "
            f"page, and can be published: {names or 'none'}."
        )
        return {"text/markdown": text, "text/plain": text}, {KEY: self.rows}


def keep(parts: Mapping[str, Mapping[str, Part]]) -> Kept:
    """Keep the curves of the examined models with the page.

    Args:
        parts: spec of a model -> measure, one of MEASURES -> its part of the
            report. Points without a value are left out.

    Raises:
        ValueError: an unknown measure; names the nearest.
    """
    rows: list[dict[Any, Any]] = []
    for spec, measures in parts.items():
        for measure, part in measures.items():
            if measure not in MEASURES:
                raise unknown("measure", measure, MEASURES)
            if part.curves.empty:
                continue
            points = part.curves[list(POINTS)].dropna()
            points = points.assign(measure=measure, spec=spec)
            rows += points.to_dict("records")
    return Kept(rows)


def kept_in(notebook: NotebookNode) -> list[dict[str, Any]]:
    """Read the curves back from an executed notebook."""
    return [
        row
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for row in output.get("metadata", {}).get(KEY, [])
    ]


def bare(spec: str) -> str:
    """Leave out of a spec the folders of files on somebody's disk."""
    files = r"(@|folder:|parquet:|imagenet:|hf:(?=[./]))"
    return re.sub(rf"{files}[^?]*/", r"\1", spec)


def read(path: Path) -> pd.DataFrame:
    """Read the published curves of one measure.

    Args:
        path: `<measure>.csv`.

    Returns:
        One row per point, in COLUMNS.

    Raises:
        ValueError: an unknown measure, columns that are not COLUMNS, a point
            that occurs twice or holds no finite numbers, a depth outside 0 to
            1, an interval that does not hold its value, or weights that are
            no sha256; names the line.
    """
    if path.stem not in MEASURES:
        raise unknown(f"measure of {path.name}:", path.stem, MEASURES)
    table = pd.read_csv(path, keep_default_na=False)
    if list(table) != list(COLUMNS):
        raise ValueError(
            f"{path.name} has the columns {', '.join(map(str, table))}; "
            f"expected {', '.join(COLUMNS)}"
        )
    for name in ("depth", "value", "low", "high"):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    key = table[["model", "weights", "images", "panel", "layer"]]
    inside = (table.low <= table.value) & (table.value <= table.high)
    wrong = {
        "occurs twice": key.duplicated(),
        "has no interval that holds its value": ~inside,
        "has a depth outside 0 to 1": ~table.depth.between(0, 1),
        "has weights that are no sha256": ~table.weights.str.fullmatch(HASH),
        "names no model or images": (table.model == "") | (table.images == ""),
        "is not finite": ~np.isfinite(table[["value", "low", "high"]]).all(
            axis=1
        ),
    }
    for what, rows in wrong.items():
        if rows.any():
            line = int(np.flatnonzero(rows)[0]) + 2
            raise ValueError(f"line {line} of {path.name} {what}")
    return table


def published(folder: Path = FOLDER) -> pd.DataFrame:
    """Read all curves that are published, of all measures.

    Args:
        folder: of the files `<measure>.csv`.

    Returns:
        One row per point, first the measures that most models have: COLUMNS,
        the `file` it comes from, its `measure` and panel in words, and `name`,
        what to call the model: without the architecture where it is a file,
        with the images, and with the start of the hash where it was published
        with several weights.

    Raises:
        FileNotFoundError: no file there.
        ValueError: a file that is not in order, see `read`.
    """
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise FileNotFoundError(
            f"no curves in {folder}; `vitscope publish` writes them there"
        )
    table = pd.concat(
        [read(path).assign(file=path.stem) for path in files],
        ignore_index=True,
    )
    panel = (" (" + table.panel + ")").where(table.panel != "", "")
    table["measure"] = table.file.map(MEASURES) + panel
    short = table.model.str.replace(
        r"^.*@(.*)\.\w+(\?.*)?$", r"\1", regex=True
    )
    seen = table.images.str.replace("^(folder|parquet):", "", regex=True)
    table["name"] = short + " on " + seen
    several = table.groupby("name").weights.transform("nunique") > 1
    table.loc[several, "name"] += ", " + table.weights.str[:6]
    models = table.groupby("measure").name.transform("nunique")
    return table.iloc[(-models).argsort(kind="stable")].reset_index(drop=True)


def aligned(table: pd.DataFrame, steps: int) -> pd.DataFrame:
    """Read all curves at the same depths, so that measures can be compared.

    Args:
        table: as `published` gives it.
        steps: how many depths, from 0 to 1.

    Returns:
        One row per curve and depth that lies within it: `model` (its name),
        `measure`, `depth` and `value`.
    """
    depths, keys = np.linspace(0, 1, steps), ["name", "measure"]
    rows = [
        pd.DataFrame({"depth": depths, "value": at_depths(depths, curve)})
        .assign(model=str(name), measure=str(measure))
        .dropna()
        for (name, measure), curve in table.groupby(keys, sort=False)
    ]
    return pd.concat(rows, ignore_index=True)


def chart(table: pd.DataFrame, measure: str) -> Any:
    """Draw the published curves of one measure, one line per model.

    Args:
        table: as `read` gives it.
        measure: one of MEASURES.
    """
    return charts.lines(
        table.assign(model=table.model + " on " + table.images),
        x="depth",
        y="value",
        color="model",
        band=("low", "high"),
        facet="panel" if table.panel.nunique() > 1 else None,
        title=MEASURES[measure].capitalize(),
        y_title=MEASURES[measure],
        description=f"Lines of the {MEASURES[measure]} against depth, one "
        "for each model whose curves are published.",
    )
