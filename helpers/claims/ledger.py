"""Verdicts on pages, and the ledger of all.

`show` puts the verdicts on the page in a form that the ledger reads back.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

import helpers.claims.other_weights as other_weights
import helpers.claims.published as published
import helpers.claims.verdict_table as verdict_table
from helpers.claims.protocols import protocol, worded
from helpers.claims.statements import claims, find
from helpers.claims.verdicts import Verdict, not_measurable
from helpers.runtime.paths import checkout

KEY = "vitscope_claims"  # in the metadata of a cell's output


class Shown:
    """Verdicts as a page shows them: a table, and data for the ledger."""

    def __init__(self, verdicts: Sequence[Verdict]) -> None:
        self.verdicts = list(verdicts)

    def _repr_mimebundle_(
        self, **_: Any
    ) -> tuple[dict[str, str], dict[str, Any]]:
        rows = [asdict(verdict) for verdict in self.verdicts]
        text = [
            f"{claims()[v.claim].statement} {v.verdict}" for v in self.verdicts
        ]
        # A page is shown before the ledger knows what it ran with.
        shown = str(verdict_table.verdicts(table(rows, pages={})))
        return (
            {"text/html": shown, "text/plain": "\n".join(text)},
            {KEY: rows},
        )


def show(*verdicts: Verdict) -> Shown:
    """Put verdicts on the page and into the ledger.

    Raises:
        ValueError: a claim is judged twice; names it.
    """
    _once(verdict.claim for verdict in verdicts)
    return Shown(verdicts)


def table(
    rows: Sequence[dict[str, Any]], pages: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Join verdicts with what is claimed, one dictionary per claim.

    `protocol` says whose experiment it was, where the ledger knows; a claim
    that fails in the paper's own *does not hold*. `control`, `trainings` and
    `shorter` say what untrained models, second and shorter trainings make of
    it, and the verdict follows from the first two, see
    `other_weights.compare`; `outdated` lists what has changed since these
    were measured. `published` has the verdicts of other editions, by the
    edition.

    Args:
        rows: verdicts as dictionaries.
        pages: what each page ran with; what the ledger says, by default.
    """
    run = ledger()
    pages = run["pages"] if pages is None else pages
    others = published.read(without=run["edition"])
    joined = []
    for row in rows:
        claim = find(row["claim"])
        page = pages.get(claim.page, {})
        given = page["parameters"] if page else running()
        beside = other_weights.compare(row, given)
        tier = protocol(claim.page, given) if page else ""
        word = worded(beside.pop("verdict"), tier)
        known = {
            edition: verdicts[claim.id]
            for edition, verdicts in others.items()
            if claim.id in verdicts
        }
        more = {
            **beside,
            "verdict": word,
            "protocol": tier,
            "published": known,
            "outdated": page.get("outdated", {}),
        }
        joined.append(asdict(claim) | row | more)
    return joined


def judged(paper: str = "") -> list[dict[str, Any]]:
    """Return every claim of the book with its verdict in the ledger.

    Args:
        paper: the key of one paper; all of them when empty.

    Returns:
        As `table`, in the order of the book; claims that no page has judged
        yet are not measurable.
    """
    found = {
        row["claim"]: row
        for page in ledger()["pages"].values()
        for row in page["verdicts"]
    }
    return table(
        [
            found.get(name) or asdict(not_measurable(name, "not run yet"))
            for name, claim in claims().items()
            if paper in ("", claim.paper)
        ]
    )


def running() -> Mapping[str, Any]:
    """Return the names of the notebook that is running; none elsewhere."""
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    names: Mapping[str, Any] = shell.user_ns if shell else {}
    return names


def verdicts_in(notebook: NotebookNode) -> list[dict[str, Any]]:
    """Read the verdicts back from an executed notebook.

    Raises:
        ValueError: a claim is judged twice; names it.
    """
    found: list[dict[str, Any]] = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            found += output.get("metadata", {}).get(KEY, [])
    _once(row["claim"] for row in found)
    return found


def _once(names: Iterable[str]) -> None:
    """Refuse a claim that is judged twice."""
    for name, times in Counter(names).items():
        if times > 1:
            raise ValueError(f"claim {name} is judged {times} times on a page")


def ledger() -> dict[str, Any]:
    """Read the ledger of the run that executes this page.

    Outside a run: that of the last run of the lab edition in this checkout.

    Returns:
        The edition, and for each page its seconds, parameters, verdicts and
        environment. No pages when nothing has run yet.
    """
    try:
        text = ledger_path().read_text("utf-8")
    except FileNotFoundError:
        return {"edition": "none", "pages": {}}
    content: dict[str, Any] = json.loads(text)
    return content


def ledger_path() -> Path:
    """Return where the ledger lies; the executed pages lie beside it."""
    given = os.environ.get("VITSCOPE_LEDGER")
    return Path(given or checkout() / "_build/editions/lab/ledger.json")
