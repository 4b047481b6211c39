"""Labelled pictures in parquet files, read a row group at a time.

Only the labels are held. Pictures come from the row group they lie in, and
about a gigabyte of groups is kept, so a set may be larger than memory. Do not
use it for files without pictures in them, such as tables of addresses.
"""

import io
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from helpers.images.found import Found, Index, decode
from helpers.images.schema import (
    classes_of,
    columns,
    is_text,
    plain,
)

HELD = 2**30  # bytes of row groups in memory


def find(
    paths: Sequence[Path],
    source: str,
    image: str = "",
    label: str = "",
    licence: str = "as the owner of the files says",
) -> Found:
    """Find the pictures of some parquet files, all rows of them.

    Labels that are text become positions among their sorted names, those of
    these files; integers keep their meaning, also where classes are missing.

    Args:
        paths: files of one schema, in order.
        source: where they come from.
        image: the column of encoded pictures (bytes, or a struct with
            `bytes`); by default the only one there is.
        label: the column of classes (integers or text); by default the only
            one declared as such, one named `label`, or the only integers.
        licence: under which terms they may be used.

    Raises:
        ValueError: damaged file, malformed note on its columns, column
            missing, ambiguous or of another kind, no rows, labels that are
            withheld or that count no classes.
    """
    notes = [_footer(path) for path in paths]
    schema = notes[0].schema.to_arrow_schema()
    image, label, names = columns(schema, image, label, source)
    where = [
        (path, note, group)
        for path, note in zip(paths, notes, strict=True)
        for group in range(note.num_row_groups)
    ]
    groups = [note.row_group(group) for _, note, group in where]
    starts = [0, *np.cumsum([g.num_rows for g in groups]).tolist()][:-1]
    largest = max((g.total_byte_size for g in groups), default=1)
    kind = plain(schema.field(label).type)
    chunks = [
        _whole(p, n, label, kind) for p, n in zip(paths, notes, strict=True)
    ]
    labels, class_names = classes_of(
        pa.chunked_array([c for part in chunks for c in part.chunks], kind),
        names,
        f"column {label!r} of {source}",
    )

    @lru_cache(maxsize=max(1, HELD // max(largest, 1)))
    def cells(group: int) -> Any:
        path, note, own = where[group]
        return _column(path, note, [own], image)

    def read(rows: Index) -> list[Image.Image]:
        pictures: dict[int, Image.Image] = {}
        for i in sorted(map(int, rows)):
            group = bisect_right(starts, i) - 1
            cell = cells(group)[i - starts[group]].as_py()
            data = cell["bytes"] if isinstance(cell, dict) else cell
            name = f"row {i} of {source}"
            if data is None:
                raise ValueError(f"no image in {name}, only its address")
            pictures[i] = decode(io.BytesIO(data), name)
        return [pictures[int(i)] for i in rows]

    return Found(
        np.arange(len(labels)), labels, class_names, read, licence, source
    )


def num_rows(path: Path) -> int:
    """Count the rows of a parquet file, from its footer."""
    return int(_footer(path).num_rows)


def _footer(path: Path) -> Any:
    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _column(path: Path, note: Any, groups: Sequence[int], name: str) -> Any:
    try:
        with pq.ParquetFile(path, metadata=note) as file:  # one per thread
            return file.read_row_groups(list(groups), columns=[name])[name]
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _damaged(path, error) from error


def _whole(path: Path, note: Any, name: str, kind: Any) -> Any:
    """Read a column of a whole file, as values of one type."""
    column = _column(path, note, range(note.num_row_groups), name)
    if is_text(column.type) != is_text(kind):
        raise _damaged(path, f"{name!r} holds {column.type}")
    try:
        return column.cast(kind)
    except pa.ArrowException as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: object) -> ValueError:
    return ValueError(
        f"{path} is damaged or not a parquet file like the others: {error}"
    )
