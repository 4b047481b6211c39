"""How a chart reaches the page: without asking another machine.

While the book is built, a renderer writes each chart into its page as a
numbered figure with a caption and an address of its own; `charts.js` draws it
there and adds what takes it along: link, data, PNG, SVG. Call `setup()` once
in a page's first cell: figures are counted from there.
"""

import html
import json
import re
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import altair as alt

from helpers.charts.theme import (
    ROWS_AT_MOST,
    SVG_MARKS_AT_MOST,
    described,
    in_book,
    theme,
)

_numbers: Iterator[int] = count(1)
_addresses: set[str] = set()
_FIGURE = re.compile(
    r'<figure class="vl-chart" id="([^"]+)">.*?json">(.*?)</script>', re.DOTALL
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
    name, caption = captioned(_words(spec.get("title", "")), text)
    figure = (
        f'<figure class="vl-chart" id="{name}"><div class="vl-view"></div>'
        f'<script type="application/json">{data}</script>{caption}</figure>'
    )
    return {"text/html": figure, "text/plain": text}


def captioned(title: str, text: str) -> tuple[str, str]:
    """Give the next figure of the page its address and its caption.

    Args:
        title: of the figure; its address is made of it, so that links outlive
            a renumbering.
        text: what the figure shows.

    Returns:
        The id of the figure, and the caption as HTML.
    """
    number = next(_numbers)
    slug = "-".join(re.findall(r"[a-z0-9]+", title.lower()))
    name = f"figure-{slug or number}"
    if name in _addresses:  # a title that comes twice
        name += f"-{number}"
    _addresses.add(name)
    return name, (
        f'<figcaption><a class="figure-number" href="#{name}">Figure {number}'
        f"</a> {html.escape(text)}</figcaption>"
    )


def _words(title: Any) -> str:
    """Return the title of a specification as plain words."""
    text = title.get("text", "") if isinstance(title, dict) else title
    return text if isinstance(text, str) else ""


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


def figures_in(
    notebook: Mapping[str, Any],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the charts back from an executed notebook of the book.

    Args:
        notebook: its JSON.

    Yields:
        Address and specification of each, its tables packed.
    """
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            text = "".join(output.get("data", {}).get("text/html", ""))
            for name, spec in _FIGURE.findall(text):
                yield name, json.loads(spec)


def unpack(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the columns that `pack` has made of a table, with their names."""
    return {
        field: column.get("values")
        or [column["levels"][code] for code in column["codes"]]
        for field, column in columns.items()
    }


def setup() -> None:
    """Make the book's theme Altair's default, for this Python session.

    While the book is built (environment variable `BOOK_BUILD=1`) charts are
    also rendered without any address of another machine; elsewhere Altair's
    own renderer stays.
    """
    global _numbers
    _numbers = count(1)
    _addresses.clear()
    alt.theme.register("vitscope", enable=True)(theme)
    alt.data_transformers.enable("default", max_rows=ROWS_AT_MOST)
    if in_book():
        alt.renderers.register("vitscope", render)
        alt.renderers.enable("vitscope")
