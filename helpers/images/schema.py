"""Which columns of a parquet file hold pictures and classes.

The columns follow from the types that the files declare, and from the note
that the `datasets` library keeps in them; where more than one would do,
nothing is guessed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from helpers.images.found import Index
from helpers.runtime.errors import unknown

MOST_CLASSES = 100_000  # of labels that are numbers without names


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
        for note in named.values():
            names = note.get("names", []) if _is(note, "ClassLabel") else []
            if not isinstance(names, list) or {*map(type, names)} - {str}:
                raise TypeError(f"names of classes are no texts: {names!r}")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{at} has a malformed note of the datasets library in its "
            f"metadata ({error}); write the file again without it "
            "(pyarrow: table.replace_schema_metadata(None))"
        ) from error
    return named


def _is(note: Mapping[str, Any], kind: str) -> bool:
    return bool(note.get("_type") == kind)


def columns(
    schema: Any, image: str, label: str, at: str
) -> tuple[str, str, list[str]]:
    """Choose the columns of pictures and of classes.

    Args:
        schema: of the first file.
        image: the column of pictures; empty for the only one there is.
        label: the column of classes, likewise.
        at: where the files come from, for messages.

    Returns:
        Both columns, and the names of the classes where they are declared.

    Raises:
        ValueError: a malformed note on the columns, or a column that is
            missing, ambiguous or of another kind.
    """
    features = _features(schema, at)

    def typed(test: Callable[[Any], bool]) -> list[str]:
        return [field.name for field in schema if test(field.type)]

    def declared(kind: str, names: list[str]) -> list[str]:
        return [n for n in names if _is(features.get(n, {}), kind)]

    cells, encoded, numbers, texts = map(
        typed, (_cells, _bytes, _int, is_text)
    )
    pictures = [*cells, *encoded]
    ways = [declared("Image", pictures), cells, encoded]
    image = _choose("image", image, pictures, ways, schema, at)
    classes = declared("ClassLabel", numbers)
    usual = [["label"] * ("label" in c) for c in (classes, numbers, texts)]
    ways = [usual[0], classes, *usual[1:], numbers, texts]
    label = _choose("label", label, [*numbers, *texts], ways, schema, at)
    names = features[label].get("names", []) if label in classes else []
    return image, label, names


def _choose(
    kind: str,
    asked: str,
    valid: list[str],
    ways: list[list[str]],
    schema: Any,
    at: str,
) -> str:
    """Take the column asked for, or the only one that the first way finds."""
    found = [asked] if asked else next(filter(None, ways), [])
    if asked and asked not in schema.names:
        raise unknown(f"{kind} column of {at}:", asked, schema.names)
    if asked and asked not in valid:
        raise ValueError(
            f"column {asked!r} of {at} cannot be the {kind}: it holds "
            f"{schema.field(asked).type}; columns that can: "
            f"{', '.join(valid) or 'none'}"
        )
    if len(found) > 1:
        raise ValueError(
            f"{at} has {len(found)} {kind} columns: {', '.join(found)}; "
            f"choose one in the spec, like ?{kind}={found[0]}"
        )
    if not found:
        raise ValueError(
            f"{at} needs a column of encoded images and one of labels "
            f"(integers or text), but there is none for the {kind}; its "
            f"columns are {', '.join(schema.names)}"
        )
    return found[0]


def plain(kind: Any) -> Any:
    """Return the type of the values, where they are kept in a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _int(kind: Any) -> bool:
    return bool(pa.types.is_integer(plain(kind)))


def is_text(kind: Any) -> bool:
    """Tell whether a column holds text."""
    return str(plain(kind)) in ("string", "large_string", "string_view")


def _bytes(kind: Any) -> bool:
    return str(plain(kind)) in ("binary", "large_binary", "binary_view")


def _cells(kind: Any) -> bool:
    """Tell the pairs of bytes and path that hold pictures on the hub."""
    return pa.types.is_struct(kind) and any(
        part.name == "bytes" and _bytes(part.type) for part in kind
    )


def classes_of(
    column: Any, names: Sequence[str], at: str
) -> tuple[Index, tuple[str, ...]]:
    """Number the classes of a column.

    Args:
        column: (n,) integers or text.
        names: of the classes, where they are declared.
        at: the column and its place, for messages.

    Returns:
        (n,) labels, and one name per class.

    Raises:
        ValueError: no labels, or numbers that count no classes.
    """
    if not len(column):
        raise ValueError(f"{at} has no rows")
    if column.null_count:
        raise ValueError(f"{at} lacks {column.null_count} labels")
    values = column.to_numpy()
    if is_text(column.type):
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
