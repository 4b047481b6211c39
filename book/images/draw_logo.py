"""Draw the book's mark: a similarity map under a lens.

Run `python book/images/draw_logo.py`; it writes `logo.svg` and `favicon.png`
beside itself.
"""

from pathlib import Path

from PIL import Image, ImageDraw

HERE = Path(__file__).parent
RAMP = ["#fde725", "#5ec962", "#21918c", "#3b528b", "#440154"]
RING = "#5f6f8a"
PATCHES, SIDE = 5, 9.2
CENTRE, RADIUS, WIDTH = 27.0, 22.0, 4.4
HANDLE = (43.5, 43.5, 58.0, 58.0)


def cells() -> list[tuple[float, float, str]]:
    """Return left, top and colour of each patch of the map."""
    start = CENTRE - PATCHES * SIDE / 2
    return [
        (start + j * SIDE, start + i * SIDE, RAMP[abs(PATCHES - 1 - i - j)])
        for i in range(PATCHES)
        for j in range(PATCHES)
    ]


def svg() -> str:
    """Return the mark as SVG."""
    rects = "".join(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{SIDE}" height="{SIDE}" '
        f'fill="{colour}"/>'
        for x, y, colour in cells()
    )
    circle = f'<circle cx="{CENTRE:g}" cy="{CENTRE:g}" r="{RADIUS:g}"'
    x1, y1, x2, y2 = HANDLE
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" '
        'role="img" aria-label="A similarity map under a lens">'
        f'<clipPath id="lens">{circle}/></clipPath>'
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{RING}" '
        'stroke-width="8" stroke-linecap="round"/>'
        f'<g clip-path="url(#lens)">{rects}</g>'
        f'{circle} fill="none" stroke="{RING}" stroke-width="{WIDTH}"/>'
        "</svg>\n"
    )


def png(size: int, zoom: int = 8) -> Image.Image:
    """Return the mark as an image of `size` pixels a side."""
    k = size * zoom / 64
    full = (size * zoom, size * zoom)
    picture = Image.new("RGBA", full)
    draw = ImageDraw.Draw(picture)
    x1, y1, x2, y2 = (v * k for v in HANDLE)
    draw.line((x1, y1, x2, y2), RING, round(8 * k))
    draw.ellipse((x2 - 4 * k, y2 - 4 * k, x2 + 4 * k, y2 + 4 * k), RING)
    patches = Image.new("RGBA", full)
    pen = ImageDraw.Draw(patches)
    for x, y, colour in cells():
        pen.rectangle((x * k, y * k, (x + SIDE) * k, (y + SIDE) * k), colour)
    lens = Image.new("L", full)
    low, high = (CENTRE - RADIUS) * k, (CENTRE + RADIUS) * k
    ImageDraw.Draw(lens).ellipse((low, low, high, high), 255)
    picture.paste(patches, mask=lens)
    half = WIDTH / 2 * k
    box = (low - half, low - half, high + half, high + half)
    draw.ellipse(box, outline=RING, width=round(WIDTH * k))
    return picture.resize((size, size), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    (HERE / "logo.svg").write_text(svg(), "utf-8")
    png(64).save(HERE / "favicon.png", optimize=True)
