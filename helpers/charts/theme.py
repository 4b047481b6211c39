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
from pathlib import Path
from typing import Any

import altair as alt
import yaml

ROWS_AT_MOST = 20_000
SVG_MARKS_AT_MOST = 2_000
WORDS_AT_LEAST = 4
PANEL = 270
SEQUENTIAL = "viridis"
DIVERGING = "purpleorange"
MARKED = "#f41c72"
LOOKS: dict[str, Any] = yaml.safe_load(
    Path(__file__).with_suffix(".yaml").read_text("utf-8")
)
SIGNALS: dict[str, str | bool] = LOOKS["signals"]
"""What the page sets when its theme changes, with the values for light."""
PALETTE: dict[str, tuple[str, str]] = LOOKS["palette"]
"""Colours for the light and the dark page."""
MODELS = {name: (hue, place) for name, (hue, place) in LOOKS["models"].items()}
"""A bundled model's colour and the number of its dash or opacity."""
DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (7, 3), (2, 3), (9, 3, 2, 3))
OPACITIES = (1.0, 0.6, 0.4, 0.25)


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
        One style per name, all different for up to 32 names.
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
    own = {
        "params": [{"name": n, "value": v} for n, v in SIGNALS.items()],
        "background": "transparent" if in_book() else "white",
        "range": {
            "category": [ink(hue) for hue in PALETTE],
            "ramp": {"scheme": SEQUENTIAL},
            "heatmap": {"scheme": SEQUENTIAL},
            "diverging": {"scheme": DIVERGING},
        },
        "mark": {"color": ink("blue")},
    }
    return alt.theme.ThemeConfig(config=LOOKS["config"] | own)


def in_book() -> bool:
    """Tell whether the book is being built: no kernel will answer then."""
    return os.environ.get("BOOK_BUILD") == "1"
