"""What is no image set: each case is refused in words, and never hangs."""

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from helpers import images
from helpers.images import schema


def encoded(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (level, 0, 0)).save(file, "PNG")
    return file.getvalue()


CELLS = [{"bytes": encoded(i), "path": f"{i}.png"} for i in range(10)]
LABELS = [i % 3 for i in range(10)]
WORDS = [("dog", "ant", "cat")[i % 3] for i in range(10)]


def written(path: Path, note: Any = None, **columns: Any) -> str:
    """Write ten pictures with labels to a file; return its spec."""
    table = pa.table({"img": CELLS, "label": LABELS} | columns)
    if note is not None:
        note = note if isinstance(note, bytes) else json.dumps(note).encode()
        table = table.replace_schema_metadata({b"huggingface": note})
    pq.write_table(table, path / "a.parquet")
    return f"parquet:{path / 'a.parquet'}"


def numbers(*values: int, kind: Any = None) -> pa.Array:
    return pa.array((values * 10)[:10], kind or pa.int64())


def classes(names: Any) -> dict[str, Any]:
    kinds = {"label": {"_type": "ClassLabel", "names": names}}
    return {"info": {"features": kinds}}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": numbers(7, 10**12)}, "up to 1000000000000, more than"),
        (
            {"label": numbers(2**64 - 1, kind=pa.uint64())},
            "up to 18446744073709551615, more than",
        ),
        ({"label": numbers(-(2**63), 5)}, "labels withheld"),
        ({"label": [0.5] * 10}, "there is none for the label"),
        ({"label": [[1]] * 10}, "there is none for the label"),
        ({"img": list(range(10))}, "there is none for the image"),
        ({"img": ["a.png"] * 10}, "there is none for the image"),
        ({"img": [{"bytes": "text"}] * 10}, "there is none for the image"),
        ({"img": [b"no picture"] * 10}, r"unreadable image: row 4 of"),
    ],
)
def test_columns_that_hold_something_else(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    spec = written(tmp_path, **columns)
    with pytest.raises(ValueError, match=message):
        images.load(spec)[0]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "image=label",
            r"'label' .* cannot be the image: it holds int64; .*"
            "columns that can: img",
        ),
        (
            "label=img",
            r"'img' .* cannot be the label: it holds struct.*"
            "columns that can: label",
        ),
    ],
)
def test_columns_of_the_wrong_kind(
    tmp_path: Path, query: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        images.load(f"{written(tmp_path)}?{query}")


@pytest.mark.parametrize(
    "note",
    [
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        [],
        {"info": []},
        {"info": {"features": [1]}},
        classes(3),
        classes([1, 2, 3]),
        classes("abc"),
        classes({"0": "ant"}),
        classes(None),
    ],
    ids=repr,
)
def test_a_malformed_note_of_the_datasets_library(
    tmp_path: Path, note: Any
) -> None:
    with pytest.raises(ValueError, match="malformed note of the datasets"):
        images.load(written(tmp_path, note))


def test_a_note_on_a_column_with_a_part_called_names(tmp_path: Path) -> None:
    part = {"names": {"dtype": "string", "_type": "Value"}}
    note = {"info": {"features": {"people": part, "label": {"names": 5}}}}
    people = [{"names": "x"}] * 10
    found = images.load(written(tmp_path, note, people=people))
    assert found.class_names == ("0", "1", "2")


def test_a_note_on_a_column_that_is_not_there(tmp_path: Path) -> None:
    note = {"info": {"features": {"klass": {"_type": "ClassLabel"}}}}
    wanted = images.load(written(tmp_path))
    found = images.load(written(tmp_path, note))
    np.testing.assert_array_equal(found.labels, wanted.labels)
    columns = {"label": pa.nulls(10), "img": CELLS}
    with pytest.raises(ValueError, match="there is none for the label"):
        images.load(written(tmp_path, note, **columns))


def test_the_most_classes_without_names(tmp_path: Path) -> None:
    most = schema.MOST_CLASSES
    found = images.load(written(tmp_path, label=numbers(most - 1)))
    assert len(found.class_names) == most
    with pytest.raises(ValueError, match=f"up to {most}, more than"):
        images.load(written(tmp_path, label=numbers(most)))


def test_labels_in_a_dictionary_are_those_written_out(tmp_path: Path) -> None:
    wanted = images.load(written(tmp_path, label=WORDS), "train")
    column = pa.array(WORDS).dictionary_encode()
    spec = written(tmp_path, label=column)
    held = pq.read_schema(tmp_path / "a.parquet").field("label").type
    assert pa.types.is_dictionary(held)
    found = images.load(spec, "train")
    np.testing.assert_array_equal(found.labels, wanted.labels)
    assert found.class_names == wanted.class_names


@pytest.mark.parametrize("both", [(LABELS, WORDS), (WORDS, LABELS)])
def test_files_whose_labels_differ_in_kind(
    tmp_path: Path, both: tuple[list[Any], ...]
) -> None:
    for k, labels in enumerate(both):
        written(tmp_path, label=labels)
        (tmp_path / "a.parquet").rename(tmp_path / f"test-{k}.parquet")
    with pytest.raises(ValueError, match=r"test-1.*not a parquet file like"):
        images.load(f"parquet:{tmp_path}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    os.mkfifo(tmp_path / "cats" / "a.png")
    with pytest.raises(ValueError, match=r"cats/a\.png.*not a regular file"):
        images.load(f"folder:{tmp_path}", "train")[0]
    pipe = tmp_path / "test.parquet"
    os.mkfifo(pipe)
    for spec in (f"parquet:{pipe}", f"folder:{pipe}", f"imagenet:{pipe}"):
        with pytest.raises(FileNotFoundError, match="folder"):
            images.check(spec)
    with pytest.raises(ValueError, match="no parquet file with 'test'"):
        images.load(f"parquet:{tmp_path}")


@pytest.mark.parametrize("limit", [2.5, "3", True, np.float64(2), [4], 0, -1])
def test_limits_that_are_no_number_of_images(limit: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot draw .* whole number"):
        images.load("digits", limit=limit)


def test_a_limit_of_numpy_will_do() -> None:
    assert len(images.load("digits", limit=np.int32(3))) == 3  # type: ignore


@pytest.mark.parametrize("seed", [-1, 0.5, None, "a"])
def test_seeds_that_are_none(seed: Any) -> None:
    with pytest.raises(ValueError, match="seed must be a whole number"):
        images.load("digits", limit=2, seed=seed)


@pytest.mark.parametrize("spec", [["digits"], None, 5, Path("digits"), b"x"])
def test_specs_that_are_no_text(spec: Any) -> None:
    with pytest.raises(TypeError, match="image spec is of type"):
        images.load(spec)
