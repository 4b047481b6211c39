"""Labelled pictures in parquet files, read a row group at a time.

Only the labels are held. Pictures come from the row group they lie in, and
about a gigabyte of groups is kept, so a set may be larger than memory. The
columns follow from the types that the files declare; where more than one
would do, nothing is guessed. Do not use it for files without pictures in
them, such as tables of addresses.
"""

import io
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from helpers.images.found import Found, Index, decode
from helpers.runtime.errors import unknown

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
        ValueError: damaged file, column missing or ambiguous, no rows, or
            labels that are withheld.
    """
    notes = [_footer(path) for path in paths]
    schema = notes[0].schema.to_arrow_schema()
    features = _features(schema)
    image, label = _columns(schema, features, image, label, source)
    where = [
        (path, note, group)
        for path, note in zip(paths, notes, strict=True)
        for group in range(note.num_row_groups)
    ]
    groups = [note.row_group(group) for _, note, group in where]
    starts = [0, *np.cumsum([g.num_rows for g in groups]).tolist()][:-1]
    largest = max((g.total_byte_size for g in groups), default=1)
    labels, class_names = _labels(
        pa.chunked_array(
            [
                chunk
                for path, note in zip(paths, notes, strict=True)
                for chunk in _column(
                    path, note, range(note.num_row_groups), label
                ).chunks
            ],
            schema.field(label).type,
        ),
        features.get(label, {}).get("names"),
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


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is damaged or not a parquet file like the others: {error}"
    )


def _features(schema: Any) -> Mapping[str, Any]:
    """Read the note of the `datasets` library on its columns, if any."""
    note = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features: dict[str, Any] = note.get("info", {}).get("features", {})
    return {k: v for k, v in features.items() if isinstance(v, dict)}


def _columns(
    schema: Any, features: Mapping[str, Any], image: str, label: str, at: str
) -> tuple[str, str]:
    def declared(kind: str) -> list[str]:
        return [k for k, v in features.items() if v.get("_type") == kind]

    def typed(*tests: Any) -> list[str]:
        return [f.name for f in schema if any(t(f.type) for t in tests)]

    kinds = pa.types
    classes, numbers = declared("ClassLabel"), typed(kinds.is_integer)
    texts = typed(kinds.is_string, kinds.is_large_string)
    usual = [[n for n in c if n == "label"] for c in (classes, numbers, texts)]
    pictures = (
        declared("Image"),
        [
            f.name
            for f in schema
            if kinds.is_struct(f.type) and f.type.get_field_index("bytes") >= 0
        ],
        typed(kinds.is_binary, kinds.is_large_binary),
    )
    ways = {
        "image": (image, pictures),
        "label": (label, (usual[0], classes, *usual[1:], numbers, texts)),
    }
    chosen = []
    for kind, (asked, candidates) in ways.items():
        found = next(filter(None, candidates), [])
        if asked and asked not in schema.names:
            raise unknown(f"{kind} column of {at}:", asked, schema.names)
        if not asked and len(found) > 1:
            raise ValueError(
                f"{at} has {len(found)} {kind} columns: {', '.join(found)}; "
                f"choose one in the spec, like ?{kind}={found[0]}"
            )
        if not asked and not found:
            raise ValueError(
                f"{at} needs a column of encoded images and one of labels "
                f"(integers or text), but there is none for the {kind}; "
                f"its columns are {', '.join(schema.names)}"
            )
        chosen.append(asked or found[0])
    return chosen[0], chosen[1]


def _labels(
    column: Any, names: Sequence[str] | None, at: str
) -> tuple[Index, tuple[str, ...]]:
    if not len(column):
        raise ValueError(f"{at} has no rows")
    if column.null_count:
        raise ValueError(f"{at} lacks {column.null_count} labels")
    values = column.to_numpy()
    if pa.types.is_integer(column.type):
        labels = values.astype(np.int64)
    elif pa.types.is_string(column.type) or pa.types.is_large_string(
        column.type
    ):
        texts, labels = np.unique(values.astype(str), return_inverse=True)
        names = texts.tolist()
    else:
        raise ValueError(f"{at} holds {column.type}, not integers or text")
    names = names or [str(i) for i in range(int(labels.max()) + 1)]
    if labels.min() < 0 or labels.max() >= len(names):
        raise ValueError(
            f"{at} holds {labels.min()} to {labels.max()}, but its "
            f"{len(names)} classes count from 0; are the labels withheld?"
        )
    return labels.astype(np.int64), tuple(names)
