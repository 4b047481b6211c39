"""Findings of a run, each a small chart and a sentence.

The charts are those of the executed pages, made smaller; the sentences are
the claims with what the run found. Nothing is measured here.
"""

import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any

import helpers.claims.verdicts as verdicts
from helpers.charts.rendering import figures_in
from helpers.charts.theme import described
from helpers.claims.ledger import ledger_path, table
from helpers.claims.statements import find
from helpers.runtime.markup import Html

SAID = {
    verdicts.HOLDS: "this run shows it",
    verdicts.UNTRAINED_TOO: "this run shows it, and untrained models do too",
    verdicts.NO_EFFECT: "in this run the effect is too small to matter",
    verdicts.FAILS: "this run does not support it",
    verdicts.REFUTED: "this run does not support it",
    verdicts.UNDECIDED: "this run cannot decide",
    verdicts.NOT_MEASURABLE: "this run cannot measure it",
}
"""What each verdict means, as the end of a sentence."""
NOT_RUN = "its page has not been run yet"
HEIGHT = 150


def findings(pages: Mapping[str, Any], chosen: Mapping[str, str]) -> Html:
    """Show findings of the run that executes this page.

    Args:
        pages: those of `claims.ledger`.
        chosen: claim to how the address of a figure on its page starts, as
            `figure-radius-of-the-field`. A chart is left out where its page
            was not run.

    Returns:
        One card per claim.

    Raises:
        ValueError: a claim is unknown; names the nearest.
    """
    rows = [row for page in pages.values() for row in page["verdicts"]]
    known = {row["claim"]: row for row in table(rows)}
    cards, said = [], []
    for name, start in chosen.items():
        page = find(name).page
        text = sentence(name, known.get(name))
        title, anchor, chart = page.replace("_", " ").capitalize(), "", ""
        path = ledger_path().parent / "executed" / f"{page}.ipynb"
        if page in pages and path.is_file():
            notebook = json.loads(path.read_text("utf-8"))
            title = _title(notebook) or title
            anchor, chart = _chart(notebook, start)
        link = f'<a class="figure-number" href="{page}.html{anchor}">'
        cards.append(
            f'<figure class="{"vl-chart" if chart else "finding"}" '
            f'id="finding-{name}">{chart}<figcaption>{link}'
            f"{escape(title)}</a> {escape(text)}"
            "</figcaption></figure>"
        )
        said.append(text)
    return Html(f'<div class="tour">{"".join(cards)}</div>', "\n".join(said))


def sentence(name: str, row: Mapping[str, Any] | None) -> str:
    """Say what a paper claims, and what the run found.

    Args:
        name: of the claim.
        row: its row of `claims.table`; None where its page was not run.
    """
    claim = find(name).statement.rstrip(".")
    if row is None:
        return f"{claim}: {NOT_RUN}."
    found = SAID[row["verdict"]]
    measured = row["verdict"] != verdicts.NOT_MEASURABLE
    if measured and row["effect"] is not None:
        low, high = row["low"], row["high"]
        found += f" (effect {row['effect']:.2g}, {low:.2g} to {high:.2g})"
    return f"{claim}: {found}."


def _title(notebook: dict[str, Any]) -> str:
    """Return the title of an executed page, nothing if it has none."""
    sources = ["".join(cell["source"]) for cell in notebook["cells"]]
    found = re.search(r"^# (.+)$", "\n".join(sources[:1]), re.MULTILINE)
    return found[1] if found else ""


def _chart(notebook: dict[str, Any], start: str) -> tuple[str, str]:
    """Return the anchor of a page's figure, and the figure made small."""
    for anchor, spec in figures_in(notebook):
        if anchor.startswith(start):
            data = json.dumps(small(spec), separators=(",", ":"))
            data = data.replace("</", r"<\/")
            return f"#{anchor}", (
                '<div class="vl-view"></div>'
                f'<script type="application/json">{data}</script>'
            )
    return "", ""


def small(spec: dict[str, Any]) -> dict[str, Any]:
    """Make a chart low, without a title and without controls.

    Where a reader chooses what a chart shows, its first choice stays; so does
    a note that says what lines or signs mean.

    Args:
        spec: a Vega-Lite specification of one panel.
    """
    described(spec.get("description", ""))
    params = [
        {key: value for key, value in param.items() if key != "bind"}
        for param in spec.get("params", [])
    ]
    kept = {key: value for key, value in spec.items() if key != "title"}
    heading = spec.get("title")
    notes = heading.get("subtitle") if isinstance(heading, dict) else None
    if notes:
        kept["title"] = {"text": notes, "fontWeight": "normal"}
    return kept | {"params": params, "width": "container", "height": HEIGHT}
