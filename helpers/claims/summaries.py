"""What a run says about each paper, in a line, and about each claim, flat."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from helpers.claims.statements import claims
from helpers.claims.verdicts import VERDICTS
from helpers.runtime.markup import Html

BOOK = "vitscope2026"
COLUMNS = (
    *("id", "paper", "place", "page", "statement", "protocol", "verdict"),
    *("effect", "low", "high", "border", "side", "margin", "note"),
)
CONTROL = ("mean", "low", "high", "draws", "holds")
SHORTER = ("share", "effect", "moves")


def named(paper: str) -> str:
    """Write the key of a paper as a citation: `Raghu et al. 2021`."""
    if paper == BOOK:
        return "Hypotheses of this book"
    found = re.fullmatch(r"([a-z]+)(\d{4})", paper)
    return f"{found[1].capitalize()} et al. {found[2]}" if found else paper


def by_paper(rows: Iterable[Mapping[str, Any]]) -> Html:
    """Sum up the verdicts on each paper, in a list.

    Args:
        rows: as `claims.table` joins them.
    """
    found = lines(rows)
    items = "".join(
        f"<li><strong>{escape(paper)}</strong>: {line}</li>"
        for paper, line in found.items()
    )
    text = "\n".join(f"{paper}: {line}" for paper, line in found.items())
    return Html(f"<ul>{items}</ul>", text)


def lines(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Sum up the verdicts on each paper, see `by_paper`.

    Returns:
        Citation to a line such as `12 claims: 5 holds, 7 undecided`, in the
        order of the book.
    """
    found: dict[str, Counter[str]] = {}
    for row in rows:
        paper = claims()[row["claim"]].paper
        found.setdefault(paper, Counter())[row["verdict"]] += 1
    return {
        named(paper): f"{counts.total()} claim{'s'[: counts.total() - 1]}: "
        + ", ".join(f"{counts[v]} {v}" for v in VERDICTS if counts[v])
        for paper, counts in found.items()
    }


def by_length(
    rows: Iterable[Mapping[str, Any]], share: float
) -> list[dict[str, Any]]:
    """List the effects of claims against the length of the trainings.

    Args:
        rows: as `claims.table` joins them; those without a shorter training
            are left out.
        share: of the scenes of its recipe that each model of the rows has
            seen.

    Returns:
        `claim`, `paper`, `share` (0 is untrained, the mean of the draws) and
        `effect`: minus the border of the claim, and turned so that positive
        values are on the claimed side. Claims that still move come first.
    """
    found = []
    known = [row for row in rows if row["shorter"]]
    for row in sorted(known, key=lambda row: not row["shorter"]["moves"]):
        points = {**row["shorter"]["effects"], share: row["effect"]}
        if row["control"]:
            points[0] = row["control"]["mean"]
        sign = -1 if row["side"] == "below" else 1
        found += [
            {
                "claim": row["claim"],
                "paper": named(row["paper"]),
                "share": at,
                "effect": sign * (points[at] - row["border"]),
            }
            for at in sorted(points)
        ]
    return found


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write a joined row as plain columns, for CSV and JSON.

    Returns:
        `COLUMNS`, then the number of `trainings` with the ends of the wider
        interval, the control: its mean, range, draws and how many of them
        hold, and the longest of the shorter trainings: its share of the
        scenes, its effect, and whether the effect moves from there to the
        row's. None where there is no such number.
    """
    trainings = row.get("trainings") or {}
    control = row.get("control") or {}
    shorter = row.get("shorter") or {}
    return {
        **{name: row.get(name) for name in COLUMNS},
        "trainings": trainings.get("count"),
        "wide_low": trainings.get("wide_low"),
        "wide_high": trainings.get("wide_high"),
        **{f"control_{name}": control.get(name) for name in CONTROL},
        **{f"shorter_{name}": shorter.get(name) for name in SHORTER},
    }
