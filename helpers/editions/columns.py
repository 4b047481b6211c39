"""Text in columns, and sizes and times in words."""

from collections.abc import Iterable, Sequence

import helpers.editions.required_files as required_files

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


def gigabytes(size: float) -> str:
    """Write a number of bytes to two digits."""
    amount = size / required_files.GB
    return f"{amount:.0f} GB" if amount >= 10 else f"{amount:.2g} GB"


def duration(seconds: float) -> str:
    """Write a time to two digits, in the unit that suits it."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.0f} s"
