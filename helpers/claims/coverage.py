"""What the papers show, item by item, and where the book measures it.

`data/coverage.yaml` lists every figure, table and appendix with a result, the
claims that stand for it, and in which way tensor, tokens, sample and statistic
differ from the paper's. Verdicts are no part of it: it says what was asked,
not what came out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any

import yaml

from helpers.claims.statements import find
from helpers.runtime.errors import unknown
from helpers.runtime.markup import Html
from helpers.runtime.paths import DATA

SAME, OPEN = "same", "open: "
PARTS = ("tensor", "tokens", "sample", "statistic")
STATES = ("as in the paper", "otherwise", "in part", "drawn only")


@dataclass(frozen=True)
class Item:
    """A figure, table or appendix of a paper.

    Attributes:
        paper: key in the bibliography.
        item: its number in the paper.
        shows: what it shows.
        page: the page of the book that measures it.
        claims: the claims that stand for it.
        tensor: `same`, `open: ` and our choice where the paper does not say,
            or what differs; likewise `tokens`, `sample` and `statistic`.
        missing: what of it is not measured, or nothing.
    """

    paper: str
    item: str
    shows: str
    page: str
    claims: Sequence[str]
    tensor: str
    tokens: str
    sample: str
    statistic: str
    missing: str = ""

    @property
    def state(self) -> str:
        """One of `STATES`: how much of the item is measured, and how."""
        if not self.claims:
            return "drawn only"
        if self.missing:
            return "in part"
        parts = [getattr(self, part) for part in PARTS]
        same = all(part == SAME or part.startswith(OPEN) for part in parts)
        return "as in the paper" if same else "otherwise"


@cache
def items() -> tuple[Item, ...]:
    """Read all items, paper by paper, in the order of the file.

    Raises:
        ValueError: an item that `read` refuses.
    """
    rows = yaml.safe_load((DATA / "coverage.yaml").read_text("utf-8"))
    return tuple(map(read, rows))


def read(row: Mapping[str, Any]) -> Item:
    """Check one item of the file.

    Raises:
        ValueError: no such claim, or one of another paper; claims of several
            pages; or an item with neither a claim nor a page, or with no
            claim and nothing missing. Names the item.
    """
    name = f"{row['paper']}, {row['item']}"
    stated = [find(claim) for claim in row["claims"]]
    for claim in stated:
        if claim.paper != row["paper"]:
            raise unknown(f"paper of {name}", row["paper"], [claim.paper])
    pages = {claim.page for claim in stated} or {str(row.get("page", ""))}
    if len(pages) > 1 or "" in pages:
        raise ValueError(f"{name}: expected one page, found {pages}")
    if not stated and not row.get("missing"):
        raise ValueError(f"{name} has no claim: say what is missing")
    return Item(**{**row, "page": pages.pop()})


def table(chosen: Iterable[Item]) -> Html:
    """Show items, their pages and what differs from the paper as a table."""
    body, text = [], []
    for item in chosen:
        parts = [(part, getattr(item, part)) for part in PARTS]
        told = [f"{part}: {found}" for part, found in parts if found != SAME]
        told += [f"missing: {item.missing}"] if item.missing else []
        count = len(item.claims)
        judged = f"{count} claim{'' if count == 1 else 's'}"
        page = escape(item.page.replace("_", " "))
        body.append(
            f"<tr><td><strong>{escape(item.item)}</strong> "
            f"<small>({escape(item.paper)})</small><br>{escape(item.shows)}"
            f'</td><td><a href="{escape(item.page)}.html">'
            f"{page}</a><br><small>{judged}</small></td>"
            f"<td>{item.state}<br>"
            f"<small>{escape('; '.join(told))}</small></td></tr>"
        )
        text.append(f"{item.paper}, {item.item}: {item.page}, {item.state}")
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("in the paper", "page", "how it is measured")
    )
    return Html(
        f'<table class="verdicts"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>",
        "\n".join(text),
    )
