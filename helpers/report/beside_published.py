"""A run's numbers beside those that others have published.

Where none is published for a model, as for those of the lab, the page says
so in a sentence.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from helpers import charts
from helpers.claims.published_values import beside
from helpers.report.among_others import Sentence
from helpers.report.probed import TOKENS

NONE = Sentence(
    "No value of these models is published in a setting like this one; "
    "`vitscope published` lists the models that have some."
)
SHOWN = ("model", "measure", "tokens", "norm", "setting")


def of_curves(table: pd.DataFrame) -> pd.DataFrame:
    """Set published values beside the probes of published curves.

    The probe is that of the class, after the last layer of each model.

    Args:
        table: as `curves.published` gives it.

    Returns:
        As `claims.beside_published`, with the `images` of ours.
    """
    probed_for = (table.file == "ridge_accuracy") & (table.panel == "class")
    rows = []
    for images, part in table[probed_for].groupby("images"):
        last = part.sort_values("depth").groupby("model").value.last()
        ours = {
            str(m): {("linear", TOKENS): float(v)} for m, v in last.items()
        }
        rows.append(beside(ours).assign(images=images))
    return pd.concat([beside({}), *rows], ignore_index=True)


def differences(known: pd.DataFrame) -> pd.DataFrame | None:
    """Show the differences as a table; nothing where `chart` says why.

    Args:
        known: as `claims.beside_published` gives it.
    """
    return known.round(4) if len(known) else None


def chart(known: pd.DataFrame, images: str) -> Any:
    """Draw each published value beside ours.

    Args:
        known: as `claims.beside_published` gives it.
        images: what ours was measured on.

    Returns:
        A chart, or a `Sentence` where nothing is published.
    """
    if known.empty:
        return NONE
    names = known[list(SHOWN)].agg(" · ".join, axis=1)
    both = pd.concat(
        pd.DataFrame({"name": names, "value": known[column], "of": label})
        for column, label in (
            ("published", "published"),
            ("ours", f"this run, {images}"),
        )
    ).drop_duplicates(["name", "of"])
    return charts.bars(
        both,
        x="value",
        y="name",
        color="of",
        title="Published values and those of this run",
        x_title="accuracy",
        description="Bars: published values of the models of this page, "
        "each beside the value of this run.",
    )
