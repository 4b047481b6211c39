"""A run's numbers beside those that others have published.

Where none is published for a model, as for those of the lab, the page says
so in a sentence.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from helpers import charts
from helpers.report.among_others import Sentence

NONE = Sentence(
    "No value of these models is published in a setting like this one; "
    "`vitscope published` lists the models that have some."
)
SHOWN = ("model", "measure", "tokens", "norm", "setting")


def differences(known: pd.DataFrame) -> pd.DataFrame | Sentence:
    """Show the differences as a table, or say that there are none.

    Args:
        known: as `claims.beside_published` gives it.
    """
    return known.round(4) if len(known) else NONE


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
