"""How every chart of the book looks.

One Altair theme for light and dark (text and grid colours are signals that
the page may change without drawing again) and one colour for a model on all
pages. Do not use the palette for ordered quantities: it has no order; heat
maps have `SEQUENTIAL`.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import altair as alt

ROWS_AT_MOST = 20_000
SVG_MARKS_AT_MOST = 2_000
WORDS_AT_LEAST = 4
PANEL = 270
SEQUENTIAL = "viridis"
DIVERGING = "purpleorange"
FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
SIGNALS: dict[str, str | bool] = {
    "theme_fg": "#2b2f36",
    "theme_muted": "#5f6670",
    "theme_grid": "#d9dce1",
    "theme_dark": False,
}
"""What the page sets when its theme changes, with the values for light."""


PALETTE = {
    "blue": ("#1256df", "#4383ff"),
    "red": ("#8e000e", "#d05c01"),
    "green": ("#00694e", "#1fb06c"),
    "pink": ("#f41c72", "#d2b5b4"),
    "gold": ("#c18b00", "#bac62b"),
    "sky": ("#03a0d5", "#36cbff"),
    "plum": ("#712264", "#9570a1"),
    "grey": ("#948f96", "#7c7f7a"),
}
"""Colours for the light and the dark page. On each they are at least 13
CIEDE2000 apart, also for the three dichromacies (Machado et al. 2009), and
have a contrast of at least 3 to the page."""

DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (7, 3), (2, 3), (9, 3, 2, 3))
OPACITIES = (1.0, 0.6, 0.4, 0.25)

MODELS = {
    "vit_cls": ("blue", 0),
    "vit_cls_twin": ("blue", 1),
    "vit_cls_ft_digits": ("blue", 2),
    "vit_cls_ft_sketch": ("blue", 3),
    "vit_gap": ("sky", 0),
    "vit_narrow": ("sky", 1),
    "vit_narrow_data_10": ("sky", 2),
    "vit_data_03": ("grey", 1),
    "vit_data_10": ("grey", 2),
    "vit_noskip_early": ("plum", 1),
    "vit_noskip_middle": ("plum", 2),
    "resnet": ("red", 0),
    "mixer": ("plum", 0),
    "moco_v3": ("green", 0),
    "moco_v3_ft": ("green", 1),
    "dino": ("gold", 0),
    "mae": ("pink", 0),
    "mae_ft": ("pink", 1),
}
"""A bundled model's colour and its dash (lines) or opacity (bars)."""


@dataclass(frozen=True)
class Style:
    """A series' colour, dash pattern (pixels on, off) and opacity."""

    colour: dict[str, str]
    dash: tuple[int, ...]
    opacity: float


def ink(hue: str) -> dict[str, str]:
    """Return a colour of the palette as the expression that charts use."""
    light, dark = PALETTE[hue]
    return {"expr": f"theme_dark ? '{dark}' : '{light}'"}


def styles(names: Iterable[str]) -> list[Style]:
    """Give each series its colour and dash.

    Models of the zoo have fixed ones, with or without `lab/` or `natural/`,
    the first of a name where it comes twice; all other names take the free
    colours in order of appearance, then dashed ones.

    Args:
        names: series names, without repeats.

    Returns:
        One style a name, all different for up to 32 names.
    """
    series = list(names)
    bare = {n: re.sub("^(lab|natural)/", "", n) for n in series}
    first = {short: n for n, short in reversed(bare.items())}
    known = {
        n: MODELS[short]
        for n, short in bare.items()
        if short in MODELS and first[short] == n
    }
    taken = set(known.values())
    hues = {hue for hue, _ in taken}
    free = [
        (hue, dash)
        for dash in range(len(DASHES))
        for hue in sorted(PALETTE, key=lambda h: h in hues)
        if (hue, dash) not in taken
    ] or list(MODELS.values())
    others = [name for name in series if name not in known]
    given = {n: free[i % len(free)] for i, n in enumerate(others)}
    pairs = ((known | given)[name] for name in series)
    return [Style(ink(h), DASHES[d], OPACITIES[d]) for h, d in pairs]


def described(description: str) -> str:
    """Return the description, or refuse one that describes nothing.

    Args:
        description: what a reader who cannot see the chart should know.

    Raises:
        ValueError: when it has fewer than four words.
    """
    words = description.split()
    if len(words) < WORDS_AT_LEAST:
        raise ValueError(
            f"description={description!r} has {len(words)} words; expected at "
            f"least {WORDS_AT_LEAST}: say in a sentence what the chart shows, "
            "for readers who cannot see it"
        )
    return " ".join(words)


def theme() -> alt.theme.ThemeConfig:
    """Return the Altair theme; text and lines follow three signals."""
    fg, muted, grid, _ = ({"expr": name} for name in SIGNALS)
    small: dict[str, Any]
    axis: dict[str, Any]
    legend: dict[str, Any]
    title: dict[str, Any]
    small = {"labelColor": fg, "titleColor": fg}
    small |= {"labelFontSize": 12, "titleFontSize": 12}
    axis = {"domainColor": muted, "tickColor": muted, "gridColor": grid}
    axis |= {"titleFontWeight": 500, "titlePadding": 8, "labelLimit": 130}
    legend = {"orient": "bottom", "titleFontWeight": 500, "labelLimit": 220}
    legend |= {"symbolStrokeWidth": 2, "symbolSize": 70, "titleLimit": 320}
    title = {"anchor": "start", "fontSize": 14, "fontWeight": 600}
    title |= {"color": fg, "subtitleColor": muted, "subtitleFontSize": 12}
    return alt.theme.ThemeConfig(
        config={
            "params": [{"name": n, "value": v} for n, v in SIGNALS.items()],
            "background": "transparent" if in_book() else "white",
            "font": FONT,
            "axis": small | axis,
            "legend": small | legend,
            "header": small | {"titleFontWeight": 600},
            "title": title | {"offset": 12, "subtitlePadding": 4},
            "view": {"stroke": None, "continuousHeight": 280},
            "range": {
                "category": [ink(hue) for hue in PALETTE],
                "ramp": {"scheme": SEQUENTIAL},
                "heatmap": {"scheme": SEQUENTIAL},
                "diverging": {"scheme": DIVERGING},
            },
            "mark": {"color": ink("blue")},
            "rule": {"color": muted},
            "text": {"color": fg},
        }
    )


def in_book() -> bool:
    """Tell whether the book is being built: no kernel will answer then."""
    return os.environ.get("BOOK_BUILD") == "1"
