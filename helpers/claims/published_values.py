"""What others have published about models that this book can load.

`data/published.csv` has one row per value: `model` as its spec, `measure`
(one of MEASURES), `layer`, `tokens` and `norm` that were read, `setting` in
words, `value` as a share, and `source`: a file at a commit, or a place in a
paper. A setting is part of a value: other images, another norm or another
number of neighbours give other numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from helpers.runtime.errors import unknown
from helpers.runtime.paths import DATA

FILE = DATA / "published.csv"
COLUMNS = (
    *("model", "measure", "layer", "tokens"),
    *("norm", "setting", "value", "source"),
)
MEASURES = {
    "knn": "accuracy of nearest neighbours",
    "linear": "accuracy of a linear probe",
    "attentive": "accuracy of an attentive probe",
    "fine-tuned": "accuracy after fine-tuning",
    "f1": "F1 of the predictions of two models",
}
OTHERS = ("norm", "setting", "source")
"""What a value depends on beside the model, the measure and the tokens."""


def values(path: Path = FILE) -> pd.DataFrame:
    """Read all published values.

    Args:
        path: the file.

    Returns:
        One row per value, in COLUMNS.

    Raises:
        ValueError: columns that are missing or unknown, an unknown measure, a
            value that is no share, or a row without a source; names the row.
    """
    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    for column in table:
        if column not in COLUMNS:
            raise unknown(f"column of {path.name}:", str(column), COLUMNS)
    if lacking := [c for c in COLUMNS if c not in table]:
        raise ValueError(f"{path.name} lacks columns: {', '.join(lacking)}")
    for line, row in enumerate(table.to_dict("records"), 2):
        where = f"in line {line} of {path.name}"
        if row["measure"] not in MEASURES:
            raise unknown(f"measure {where}:", row["measure"], MEASURES)
        number = pd.to_numeric(row["value"], errors="coerce")
        if not 0 < number <= 1:
            raise ValueError(
                f"value {where} is {row['value']!r}; expected a share, such "
                "as 0.761 for 76.1 %"
            )
        if not row["source"]:
            raise ValueError(
                f"{where} no source is given; expected a file at a commit "
                "(github.com/<owner>/<name>@<commit>:<path>) or a place in a "
                "paper"
            )
    return table.assign(value=table.value.astype(float))


def beside(
    ours: Mapping[str, Mapping[tuple[str, str], float]],
) -> pd.DataFrame:
    """Set published values beside those of a run.

    Args:
        ours: spec of a model -> measure and tokens -> our value, a share.

    Returns:
        One row per published value of these models and measures: `model`,
        `measure`, `tokens`, `ours`, `published`, `difference` (ours minus
        theirs; of the same tokens where the run has them, else of any), and
        what the value depends on, `norm`, `setting` and `source`.
    """
    rows = []
    for row in values().to_dict("records"):
        known = ours.get(row["model"], {})
        mine = {t: v for (m, t), v in known.items() if m == row["measure"]}
        if not mine:
            continue
        tokens = row["tokens"] if row["tokens"] in mine else next(iter(mine))
        rows.append(
            {
                "model": row["model"],
                "measure": row["measure"],
                "tokens": row["tokens"],
                "our tokens": tokens,
                "ours": mine[tokens],
                "published": row["value"],
                "difference": mine[tokens] - row["value"],
            }
            | {name: row[name] for name in OTHERS}
        )
    columns = ["model", "measure", "tokens", "our tokens", "ours"]
    columns += ["published", "difference", *OTHERS]
    return pd.DataFrame(rows, columns=columns)
