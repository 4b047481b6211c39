"""Claims with their measured effects and verdicts, as a table.

Plain HTML that reads well without a style sheet, in a notebook, and better
with the book's.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from helpers.claims.summaries import flat
from helpers.runtime.errors import unknown
from helpers.runtime.markup import Html

SIGNS = {
    "holds": ("✓", "holds"),
    "holds, untrained too": ("○", "untrained"),
    "no effect": ("=", "none"),
    "does not hold here": ("✗", "fails"),
    "does not hold": ("✗", "fails"),
    "undecided": ("?", "undecided"),
    "not measurable here": ("–", "unmeasured"),
}
"""For each verdict a sign and a CSS class: never colour alone."""
FILTERS = ("paper", "verdict", "protocol", "page")


def verdicts(
    rows: Iterable[Mapping[str, Any]], *, title: str = "", link: bool = False
) -> Html:
    """Show claims with their measured effects and verdicts as a table.

    Args:
        rows: for each claim `statement` and `verdict`, and where there are
            any `effect`, `low`, `high` (the interval), `border`, `side`
            (`above` or `below`), `margin`, `place` (in the paper), `printed`
            (the paper's number), `quote`, `protocol`, `note`, `page`,
            `control`, `trainings` and `shorter` (see `claims.table`), and
            `published`: by edition, the `verdict`, `effect`, `low` and
            `high` it came to, which makes a column for each.
        title: the table's caption.
        link: whether this is the ledger: each statement leads to its page,
            to the chart above its verdict there, and the rows can be filtered
            and taken along where the book's script runs.

    Raises:
        ValueError: an unknown verdict.
    """
    rows = list(rows)
    others = list(
        dict.fromkeys(e for row in rows for e in row.get("published", ()))
    )
    head = "".join(
        f'<th scope="col">{escape(name)}</th>'
        for name in ("claim", "measured", "verdict", *others)
    )
    body = "".join(_row(row, others, link) for row in rows)
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    kind = "verdicts ledger" if link else "verdicts"
    data = _data(rows) if link else ""
    return Html(
        f'<table class="{kind}">{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>{data}",
        "\n".join(line for row in rows for line in _text(row)),
    )


def _row(row: Mapping[str, Any], others: Sequence[str], link: bool) -> str:
    """Write a claim as a row, with a cell for each other edition."""
    claim = escape(str(row["statement"]))
    name = escape(str(row.get("id", "")))
    facts = [f' id="{name}"' if name else ""]
    if link and row.get("page"):
        address = f"{escape(str(row['page']))}.html" + (name and f"#{name}")
        claim = f'<a href="{address}">{claim}</a>'
        facts += [f' data-{f}="{escape(str(row.get(f)))}"' for f in FILTERS]
    small = [row.get("place"), row.get("note")]
    if row.get("quote"):
        small.insert(1, f"“{row['quote']}”")
    if row.get("printed"):
        small.insert(1, f"in the paper: {row['printed']}")
    if row.get("uncontrolled"):
        small.append(f"no control: {row['uncontrolled']}")
    if row.get("protocol"):
        small.append(f"protocol: {row['protocol']}")
    notes = escape(" · ".join(str(s) for s in small if s))
    cells = [
        f"<td>{claim}<br><small>{notes}</small></td>",
        f"<td>{_effect(row)}</td><td>{_badge(str(row['verdict']))}</td>",
    ]
    for edition in others:
        other = row.get("published", {}).get(edition)
        cells.append(f'<td data-edition="{escape(edition)}">')
        if other:
            measured = "" if other["effect"] is None else _effect(other)
            cells.append(f"{_badge(other['verdict'])}<br>{measured}")
        cells.append("</td>")
    return f"<tr{''.join(facts)}>{''.join(cells)}</tr>"


def _data(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the rows for the script that filters and saves them."""
    text = json.dumps([flat(row) for row in rows]).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'


def _text(row: Mapping[str, Any]) -> Iterator[str]:
    """Write a claim for those who see no table."""
    yield f"{row['verdict']}: {row['statement']}"
    for edition, other in row.get("published", {}).items():
        yield f"  {edition}: {other['verdict']}"


def _badge(verdict: str) -> str:
    """Write a verdict with its sign."""
    if verdict not in SIGNS:
        raise unknown("verdict", verdict, SIGNS)
    sign, kind = SIGNS[verdict]
    return (
        f'<span class="verdict verdict-{kind}"><span aria-hidden="true">'
        f"{sign}</span> {verdict}</span>"
    )


def _effect(row: Mapping[str, Any]) -> str:
    """Format an effect, its interval and what was expected."""
    value, low, high = (row.get(key) for key in ("effect", "low", "high"))
    if value is None or math.isnan(value):
        return "<br>".join(["—", *_other_weights(row)])
    parts = [f"<strong>{_plain(value)}</strong>"]
    if low is not None and high is not None:
        parts.append(f"<small>[{_plain(low)}, {_plain(high)}]</small>")
    if row.get("border") is not None:
        side = {"above": "&gt;", "below": "&lt;"}[row.get("side", "above")]
        parts.append(f"<small>expected {side} {row['border']:g}</small>")
    if row.get("margin"):
        parts.append(f"<small>margin {row['margin']:g}</small>")
    parts += [f"<small>{text}</small>" for text in _other_weights(row)]
    return "<br>".join(parts)


def _other_weights(row: Mapping[str, Any]) -> Iterator[str]:
    """Say what second and shorter trainings and untrained models come to."""
    trainings, control = row.get("trainings"), row.get("control")
    earlier = {
        kind for kind, parts in row.get("outdated", {}).items() if parts
    }
    if trainings and "wide_low" in trainings:
        ends = (_plain(trainings[key]) for key in ("wide_low", "wide_high"))
        again = (m.removeprefix("lab/") for m in trainings["again"])
        yield (
            f"{trainings['count']} trainings [{', '.join(ends)}]"
            f"<br>again: {'<br>'.join(map(escape, again))}"
        ) + (", of an earlier version" if "seeds" in earlier else "")
    elif trainings and row.get("effect") is not None:
        yield "one training"
    if shorter := row.get("shorter"):
        yield (
            f"at {shorter['share']:g} of the scenes "
            f"{_plain(shorter['effect'])}"
            + (", still moving" if shorter["moves"] else "")
            + (", of an earlier version" if "lengths" in earlier else "")
        )
    if control:
        mean, low, high = (
            _plain(control[key]) for key in ("mean", "low", "high")
        )
        yield f"untrained {mean} ({low} to {high})" + (
            ", control of an earlier version" if "controls" in earlier else ""
        )
    elif row.get("uncontrolled"):
        yield "no control"


def _plain(value: float) -> str:
    """Format with three digits; 0 where only rounding is left."""
    return f"{round(value, 12) + 0.0:.3g}"
