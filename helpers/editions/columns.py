"""Text in columns and paragraphs, and sizes in words."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

WIDTH = 79


def table(rows: Iterable[Sequence[object]]) -> str:
    """Write rows in columns; the first row is the head."""
    texts = [[str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = [
        "  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True))
        for row in texts
    ]
    return "\n".join(line.rstrip() for line in lines)


def labelled(label: str, words: Iterable[str]) -> str:
    """Write words behind a label, wrapped; no word is broken."""
    return textwrap.fill(
        ", ".join(words),
        WIDTH,
        initial_indent=f"    {label:8}",
        subsequent_indent=" " * 12,
        break_long_words=False,
        break_on_hyphens=False,
    )


def effect(row: Mapping[Any, Any]) -> str:
    """Write an effect between the ends of its interval; nothing if none."""
    value = row.get("effect")
    if value is None or value != value:  # NaN where a table has no value
        return ""
    return f"{value:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def gigabytes(size: float | None) -> str:
    """Write a number of bytes to two digits; None is not known."""
    if size is None:
        return "unknown"
    amount = size / 1e9
    return f"{amount:.0f} GB" if amount >= 10 else f"{amount:.2g} GB"
