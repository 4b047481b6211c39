"""How a chart reaches the page: without asking another machine.

While the book is built, a renderer writes each chart into its page, where
`charts.js` draws it. Call `setup()` once in a page's first cell.
"""

import html
import json
from typing import Any

import altair as alt

from helpers.charts.theme import (
    ROWS_AT_MOST,
    SVG_MARKS_AT_MOST,
    described,
    in_book,
    theme,
)


def render(spec: dict[str, Any], **_: Any) -> dict[str, str]:
    """Turn a Vega-Lite specification into a figure that the page draws.

    Args:
        spec: a Vega-Lite specification with a description.

    Returns:
        A MIME bundle: the figure as text/html (drawn by `charts.js` once it
        is in view) and its description as text/plain.

    Raises:
        ValueError: when the description is missing or too short.
    """
    text = described(spec.get("description", ""))
    tables = spec.get("datasets", {})
    canvas = sum(map(len, tables.values())) > SVG_MARKS_AT_MOST
    spec = {
        **spec,
        "datasets": {name: pack(rows) for name, rows in tables.items()},
        "usermeta": {"renderer": "canvas" if canvas else "svg"},
    }
    data = json.dumps(spec, separators=(",", ":")).replace("</", r"<\/")
    figure = (
        '<figure class="vl-chart"><div class="vl-view"></div>'
        f'<script type="application/json">{data}</script>'
        f"<noscript><p>{html.escape(text)}</p></noscript></figure>"
    )
    return {"text/html": figure, "text/plain": text}


def pack(rows: list[dict[str, Any]]) -> Any:
    """Store a table by columns, names as positions in a list of levels.

    A fifth of the size; `charts.js` makes rows of it again. Rows without
    fields or with different ones are left as they are.
    """
    fields = list(rows[0]) if rows else []
    if not fields or any(list(row) != fields for row in rows):
        return rows
    columns: dict[str, Any] = {}
    for field in fields:
        values = [row[field] for row in rows]
        if all(isinstance(value, str) for value in values):
            place = {v: i for i, v in enumerate(dict.fromkeys(values))}
            codes = [place[value] for value in values]
            columns[field] = {"levels": list(place), "codes": codes}
        else:
            columns[field] = {"values": values}
    return columns


def setup() -> None:
    """Make the book's theme Altair's default, for this Python session.

    While the book is built (environment variable `BOOK_BUILD=1`) charts are
    also rendered without any address of another machine; elsewhere Altair's
    own renderer stays.
    """
    alt.theme.register("vitscope", enable=True)(theme)
    alt.data_transformers.enable("default", max_rows=ROWS_AT_MOST)
    if in_book():
        alt.renderers.register("vitscope", render)
        alt.renderers.enable("vitscope")
