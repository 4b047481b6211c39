"""Figures that are no charts: rows of small images, and tables of verdicts.

Both are plain HTML that reads well without a style sheet, in a notebook, and
better with the book's. Not for photographs at full size: every image travels
inside the page.
"""

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from helpers.choices import unknown
from helpers.drawing.theme import Html, described

PICTURES_AT_MOST = 200
SIDE_AT_MOST = 512

SIGNS = {
    "holds": ("✓", "holds"),
    "does not hold": ("✗", "fails"),
    "undecided": ("?", "undecided"),
    "not measurable here": ("–", "unmeasured"),
}
"""For each verdict a sign and a CSS class: never colour alone."""


def pictures(
    images: Iterable[Any],
    labels: Sequence[str] | None = None,
    *,
    description: str,
    title: str = "",
    side: int = 96,
    columns: int | None = None,
) -> Html:
    """Show small images side by side, pixels kept sharp.

    Args:
        images: PIL images, or uint8 arrays or CPU tensors of shape (h, w),
            (h, w, 3) or (3, h, w), at most 512 pixels a side.
        labels: a caption for each image; also the words that stand for it.
        description: what the images show together, in a sentence.
        title: a heading above them.
        side: least width of an image on the page, in CSS pixels.
        columns: images in a row; as many as there is room for by default.

    Raises:
        ValueError: no or too many images, an array of another shape or type,
            or not one label an image.
    """
    text = described(description)
    shown = [png(image) for image in images]
    if not 0 < len(shown) <= PICTURES_AT_MOST:
        raise ValueError(
            f"got {len(shown)} images; expected 1 to {PICTURES_AT_MOST}"
        )
    captions = list(labels or [""] * len(shown))
    if len(captions) != len(shown):
        raise ValueError(
            f"{len(shown)} images and {len(captions)} labels; expected one "
            "an image"
        )
    words = [c or f"image {i + 1}" for i, c in enumerate(captions)]
    cells = [
        f'<figure style="margin:0"><img src="data:image/png;base64,{png}" '
        f'alt="{escape(alt)}" style="width:100%;image-rendering:pixelated">'
        + (f"<figcaption>{escape(caption)}</figcaption>" if caption else "")
        + "</figure>"
        for png, alt, caption in zip(shown, words, captions, strict=True)
    ]
    row = f"{columns},minmax(0,{2 * side}px)"
    if columns is None:
        row = f"auto-fill,minmax({side}px,1fr)"
    grid = (
        "display:grid;gap:0.6rem;text-align:center;font-size:0.85em;"
        f"grid-template-columns:repeat({row})"
    )
    head = f"<p><strong>{escape(title)}</strong></p>" if title else ""
    return Html(
        f'<div class="pictures" role="group" aria-label="{escape(text)}">'
        f'{head}<div style="{grid}">{"".join(cells)}</div></div>',
        text,
    )


def verdicts(
    rows: Iterable[Mapping[str, Any]], *, title: str = "", link: bool = False
) -> Html:
    """Show claims with their measured effects and verdicts as a table.

    Args:
        rows: for each claim `statement` and `verdict`, and where there are
            any `effect`, `low`, `high` (the interval), `border`, `side`
            (`above` or `below`), `place` (in the paper), `printed` (the
            paper's number), `note`, `page`, and `published`: by edition, the
            `verdict`, `effect`, `low` and `high` it came to, which makes a
            column for each.
        title: the table's caption.
        link: whether each statement leads to its `page`.

    Raises:
        ValueError: an unknown verdict.
    """
    body, text = [], []
    rows = list(rows)
    others = dict.fromkeys(e for row in rows for e in row.get("published", ()))
    for row in rows:
        verdict = str(row["verdict"])
        claim = escape(str(row["statement"]))
        if link and row.get("page"):
            claim = f'<a href="{escape(str(row["page"]))}.html">{claim}</a>'
        small = [row.get("place"), row.get("note")]
        if row.get("printed"):
            small.insert(1, f"in the paper: {row['printed']}")
        notes = escape(" · ".join(str(s) for s in small if s))
        body.append(
            f"<tr><td>{claim}<br><small>{notes}</small></td>"
            f"<td>{_effect(row)}</td><td>{_badge(verdict)}</td>"
        )
        text.append(f"{verdict}: {row['statement']}")
        for edition in others:
            other = row.get("published", {}).get(edition)
            body.append(f'<td data-edition="{escape(edition)}">')
            if other:
                measured = "" if other["effect"] is None else _effect(other)
                body.append(f"{_badge(other['verdict'])}<br>{measured}")
                text.append(f"  {edition}: {other['verdict']}")
            body.append("</td>")
        body.append("</tr>")
    head = "".join(
        f'<th scope="col">{escape(name)}</th>'
        for name in ("claim", "measured", "verdict", *others)
    )
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    return Html(
        f'<table class="verdicts">{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>",
        "\n".join(text),
    )


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
        return "—"
    parts = [f"<strong>{_plain(value)}</strong>"]
    if low is not None and high is not None:
        parts.append(f"<small>[{_plain(low)}, {_plain(high)}]</small>")
    if row.get("border") is not None:
        side = {"above": "&gt;", "below": "&lt;"}[row.get("side", "above")]
        parts.append(f"<small>expected {side} {row['border']:g}</small>")
    return "<br>".join(parts)


def _plain(value: float) -> str:
    """Format with three digits; 0 where only rounding is left."""
    return f"{round(value, 12) + 0.0:.3g}"


def png(image: Any) -> str:
    """Encode an image as base64 PNG."""
    if not isinstance(image, Image.Image):
        pixels = np.asarray(image)
        if pixels.ndim == 3 and pixels.shape[0] == 3 != pixels.shape[2]:
            pixels = pixels.transpose(1, 2, 0)
        grey = pixels.ndim == 2
        if pixels.dtype != np.uint8 or not (grey or pixels.shape[2:] == (3,)):
            raise ValueError(
                f"an image of shape {pixels.shape} and type {pixels.dtype}; "
                "expected uint8 and (h, w), (h, w, 3) or (3, h, w)"
            )
        image = Image.fromarray(pixels)
    if max(image.size) > SIDE_AT_MOST:
        raise ValueError(
            f"an image of {image.width} x {image.height} pixels; expected at "
            f"most {SIDE_AT_MOST} a side: shrink it first"
        )
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
