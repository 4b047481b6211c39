"""Rows of small images.

Plain HTML that reads well without a style sheet, in a notebook, and better
with the book's. Not for photographs at full size: every image travels inside
the page.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from helpers.charts.rendering import captioned
from helpers.charts.theme import described, in_book
from helpers.runtime.markup import Html

PICTURES_AT_MOST = 200
SIDE_AT_MOST = 512


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
            or not one label per image.
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
        f'<figure style="margin:0"><img src="{url}" '
        f'alt="{escape(alt)}" style="width:100%;image-rendering:pixelated">'
        + (f"<figcaption>{escape(caption)}</figcaption>" if caption else "")
        + "</figure>"
        for url, alt, caption in zip(shown, words, captions, strict=True)
    ]
    row = f"{columns},minmax(0,{2 * side}px)"
    if columns is None:
        row = f"auto-fill,minmax({side}px,1fr)"
    grid = (
        "display:grid;gap:0.6rem;text-align:center;font-size:0.85em;"
        f"grid-template-columns:repeat({row})"
    )
    head = f"<p><strong>{escape(title)}</strong></p>" if title else ""
    body = f'{head}<div style="{grid}">{"".join(cells)}</div>'
    label = f'role="group" aria-label="{escape(text)}"'
    if not in_book():
        return Html(f'<div class="pictures" {label}>{body}</div>', text)
    name, caption = captioned(title, text)
    return Html(
        f'<figure class="pictures" id="{name}" {label}>{body}{caption}'
        "</figure>",
        text,
    )


def png(image: Any) -> str:
    """Write an image, checked, into an address as PNG."""
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
    return address(image, "PNG", optimize=True)


def address(image: Image.Image, kind: str, **how: Any) -> str:
    """Write an image into an address that holds all of it."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{data}"
