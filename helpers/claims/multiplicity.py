"""How many verdicts chance would give, and how many survive its correction.

A p-value is read off the interval: the distance of the effect from the
border, in units of the half of the interval that points there. Do not use it
for a single claim; its verdict is taken from the interval itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from scipy import stats

from helpers.claims.statements import find
from helpers.claims.verdicts import (
    FAILS,
    HOLDS,
    NOT_MEASURABLE,
    REFUTED,
    UNTRAINED_TOO,
)
from helpers.intervals.estimates import TAILS

RATE = 0.05  # of false ones among the verdicts that are kept


def p_value(row: Mapping[str, Any]) -> float:
    """Return the two-sided p-value of an effect against its border.

    Args:
        row: a verdict with `claim`, `effect`, `low` and `high`.

    Returns:
        0.05 where the interval just reaches the border; 0 where an interval
        of no length lies beside it, 1 where that lies on it.
    """
    apart = row["effect"] - find(row["claim"]).border
    near = row["low"] if apart > 0 else row["high"]
    half = abs(row["effect"] - near)
    if half <= 0:
        return float(apart == 0)
    quantile = stats.norm.ppf(TAILS[1])
    return float(2 * stats.norm.sf(abs(apart) / half * quantile))


def by_chance(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Count verdicts for and against claims, and what chance has to do.

    Args:
        rows: verdicts, as `claims.verdicts_in` reads them or `claims.table`
            joins them.

    Returns:
        For each of `holds` (trained or untrained) and the two kinds of
        failure together: `found`, `expected` if no claim had an effect, and
        `kept` when the false discovery rate is held at 5 % (Benjamini and
        Hochberg 1995).
    """
    known = [
        row
        for row in rows
        if row["effect"] is not None and row["verdict"] != NOT_MEASURABLE
    ]
    values = [p_value(row) for row in known]
    adjusted = stats.false_discovery_control(values) if known else []
    kinds = {HOLDS: (HOLDS, UNTRAINED_TOO), FAILS: (FAILS, REFUTED)}
    return [
        {
            "verdict": kind,
            "found": sum(row["verdict"] in words for row in known),
            "expected": TAILS[0] * len(known),
            "kept": sum(
                row["verdict"] in words and bool(p <= RATE)
                for row, p in zip(known, np.asarray(adjusted), strict=True)
            ),
        }
        for kind, words in kinds.items()
    ]
