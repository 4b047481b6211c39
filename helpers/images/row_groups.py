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
from collections.abc import Callable, Mapping, Sequence
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
MOST_CLASSES = 100_000  # of labels that are numbers without names


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
    features = _features(schema, source)
    image, label = _columns(schema, features, image, label, source)
    where = [
        (path, note, group)
        for path, note in zip(paths, notes, strict=True)
        for group in range(note.num_row_groups)
    ]
    groups = [note.row_group(group) for _, note, group in where]
    starts = [0, *np.cumsum([g.num_rows for g in groups]).tolist()][:-1]
    largest = max((g.total_byte_size for g in groups), default=1)
    kind = _plain(schema.field(label).type)
    chunks = [
        _whole(p, n, label, kind) for p, n in zip(paths, notes, strict=True)
    ]
    labels, class_names = _labels(
        pa.chunked_array([c for part in chunks for c in part.chunks], kind),
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


def _whole(path: Path, note: Any, name: str, kind: Any) -> Any:
    """Read a column of a whole file, as values of one type."""
    column = _column(path, note, range(note.num_row_groups), name)
    if _text(column.type) != _text(kind):
        raise _damaged(path, f"{name!r} holds {column.type}")
    try:
        return column.cast(kind)
    except pa.ArrowException as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: object) -> ValueError:
    return ValueError(
        f"{path} is damaged or not a parquet file like the others: {error}"
    )


def _features(schema: Any, at: str) -> Mapping[str, Any]:
    """Read the note of the `datasets` library on its columns, if any.

    Raises:
        ValueError: it is not as that library writes it, so that names of
            classes would be lost or wrong.
    """
    note = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(note).get("info", {}).get("features", {})
        named = {k: v for k, v in features.items() if isinstance(v, dict)}
        for names in (v["names"] for v in named.values() if "names" in v):
            if not isinstance(names, list) or {*map(type, names)} - {str}:
                raise TypeError(f"names of classes are no texts: {names!r}")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{at} has a malformed note of the datasets library in its "
            f"metadata ({error}); write the file again without it "
            "(pyarrow: table.replace_schema_metadata(None))"
        ) from error
    return named


def _columns(
    schema: Any, features: Mapping[str, Any], image: str, label: str, at: str
) -> tuple[str, str]:
    def declared(kind: str) -> list[str]:
        return [k for k, v in features.items() if v.get("_type") == kind]

    def typed(test: Callable[[Any], bool]) -> list[str]:
        return [field.name for field in schema if test(field.type)]

    classes, numbers, texts = declared("ClassLabel"), typed(_int), typed(_text)
    usual = [[n for n in c if n == "label"] for c in (classes, numbers, texts)]
    pictures = (declared("Image"), typed(_cells), typed(_bytes))
    ways = {
        "image": (image, pictures, [*typed(_cells), *typed(_bytes)]),
        "label": (
            *(label, (usual[0], classes, *usual[1:], numbers, texts)),
            [*numbers, *texts],
        ),
    }
    chosen = []
    for kind, (asked, candidates, valid) in ways.items():
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
        column = asked or found[0]
        if column not in valid:
            there = column in schema.names
            held = schema.field(column).type if there else "nothing"
            raise ValueError(
                f"column {column!r} of {at} cannot be the {kind}: it holds "
                f"{held}; columns that can: {', '.join(valid) or 'none'}"
            )
        chosen.append(column)
    return chosen[0], chosen[1]


def _plain(kind: Any) -> Any:
    """Return the type of the values, where they are kept in a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _int(kind: Any) -> bool:
    return bool(pa.types.is_integer(_plain(kind)))


def _text(kind: Any) -> bool:
    return str(_plain(kind)) in ("string", "large_string", "string_view")


def _bytes(kind: Any) -> bool:
    return str(_plain(kind)) in ("binary", "large_binary", "binary_view")


def _cells(kind: Any) -> bool:
    """Tell the pairs of bytes and path that hold pictures on the hub."""
    return pa.types.is_struct(kind) and any(
        part.name == "bytes" and _bytes(part.type) for part in kind
    )


def _labels(
    column: Any, names: Sequence[str] | None, at: str
) -> tuple[Index, tuple[str, ...]]:
    if not len(column):
        raise ValueError(f"{at} has no rows")
    if column.null_count:
        raise ValueError(f"{at} lacks {column.null_count} labels")
    values = column.to_numpy()
    if _text(column.type):
        texts, labels = np.unique(values.astype(str), return_inverse=True)
        return labels.astype(np.int64), tuple(texts.tolist())
    low, high = int(values.min()), int(values.max())
    if low < 0 or (names and high >= len(names)):
        count = f"{len(names)} " if names else ""
        raise ValueError(
            f"{at} holds {low} to {high}, but its {count}classes count from "
            "0; are the labels withheld?"
        )
    if not names and high >= MOST_CLASSES:
        raise ValueError(
            f"{at} holds numbers up to {high}, more than the {MOST_CLASSES} "
            "classes that are counted without names; if it is not an "
            "identifier, store the classes as text"
        )
    names = names or [str(i) for i in range(high + 1)]
    return values.astype(np.int64), tuple(names)
