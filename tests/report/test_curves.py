"""Published curves: kept by a page, refused or drawn again."""

import json
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from helpers import editions
from helpers.editions import edition, publish, publish_curves, results
from helpers.report import beside_published, curves
from helpers.report.parts import Part
from helpers.runtime.paths import checkout
from tests import minibook

FILES = sorted((checkout() / "data" / "results").glob("*.csv"))
HASH = "0123456789abcdef" * 4
POINTS = pd.DataFrame(
    {
        "panel": ["garment", "garment", "class"],
        "layer": ["blocks.0.out", "blocks.1.out", "blocks.0.out"],
        "depth": [0.0, 1.0, 0.0],
        "value": [0.5, 0.123456789, np.nan],
        "low": [0.4, 0.1, 0.0],
        "high": [0.6, 0.2, 0.0],
    }
)
ORIGIN = {"torch": "2.6", "timm": "1.0", "device": "CPU", "system": "x"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_contributed_file_draws_its_chart_again(path: Path) -> None:
    table = curves.read(path)
    drawn = curves.chart(table, path.stem).to_dict()
    found = pd.concat(
        pd.DataFrame(rows) for rows in drawn["datasets"].values()
    )
    assert len(table)
    for column in ("depth", "value"):
        assert {*found[column].dropna()} == {*table[column]}
    assert {*found["model"].dropna()} == {*table.model + " on " + table.images}
    assert "/" not in "".join(table.images)


def test_files_of_results_are_there() -> None:
    assert {path.stem for path in FILES} <= {*curves.MEASURES}
    assert len(FILES) >= 3
    readme = (checkout() / "data" / "results" / "README.md").read_text()
    for word in (*curves.COLUMNS, *(f"{m}.csv" for m in curves.MEASURES)):
        assert f"`{word}`" in readme


def made(root: Path, given: dict[str, Any], points: pd.DataFrame) -> None:
    """Put an executed page with curves into an edition's folder."""
    parts = {"ridge_accuracy": Part(curves=points)}
    both = [given["model"], *given.get("beside", [])]
    shown = curves.keep(dict.fromkeys(both, parts))
    data, more = shown._repr_mimebundle_()
    output = nbformat.v4.new_output(
        "display_data", data=data, metadata=json.loads(json.dumps(more))
    )
    page = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("", outputs=[output])]
    )
    page.metadata.vitscope = {"parameters": given, "environment": ORIGIN}
    (own,) = [j for j in jobs(root) if j.page == "first"]
    path = results.executed(report().folder(root), own)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(page, path)


def report() -> editions.Edition:
    return editions.Edition("inspect-mine", "Mine")


def jobs(root: Path) -> list[Any]:
    return list(editions.plan(report(), root, validators={}))


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(edition, "FOLDER", tmp_path / "none")
    monkeypatch.setattr(publish, "FOLDER", tmp_path / "none")
    monkeypatch.setattr(publish, "identity", lambda spec: {"weights": HASH})
    monkeypatch.setattr(results, "changes", lambda *_: [])
    return minibook.make(tmp_path)


GIVEN = {
    "model": "vit_tiny@/data/me/my.pth",
    "images": "folder:/data/me/pets",
    "seed": 3,
    "num_bank": 10,
    "targets": "class",
}


def test_curves_of_a_report_become_rows(book: Path) -> None:
    made(book, GIVEN, POINTS)
    assert publish.publish(report(), book) == book / "data" / "results"
    path = book / "data" / "results" / "ridge_accuracy.csv"
    assert path.read_text().splitlines() == [
        ",".join(curves.COLUMNS),
        *(
            f"vit_tiny@my.pth,{HASH},folder:pets,garment,{rest},"
            f"num_bank=10 seed=3,{curves_version()},2.6,1.0,CPU"
            for rest in (
                "blocks.0.out,0,0.5,0.4,0.6",
                "blocks.1.out,1,0.123457,0.1,0.2",
            )
        ),
    ]


def curves_version() -> str:
    import helpers

    return helpers.__version__


def test_new_rows_take_the_place_of_old_ones(book: Path) -> None:
    made(book, GIVEN, POINTS)
    publish.publish(report(), book)
    made(book, GIVEN | {"model": "other"}, POINTS)
    publish.publish(report(), book)
    made(book, GIVEN, POINTS.assign(value=[0.45, 0.15, 0.0]))
    publish.publish(report(), book)
    table = curves.read(book / "data" / "results" / "ridge_accuracy.csv")
    by_model = table.groupby("model").value.apply(list)
    assert by_model["other"] == [0.5, 0.123457]
    assert by_model["vit_tiny@my.pth"] == [0.45, 0.15, 0.0]


def test_models_that_stood_side_by_side_are_published_each(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = {"vit_tiny@/data/me/my.pth": HASH, "other": "f" * 64}
    monkeypatch.setattr(
        publish, "identity", lambda spec: {"weights": hashes[spec]}
    )
    made(book, GIVEN | {"beside": ["other"]}, POINTS)
    publish.publish(report(), book)
    table = curves.read(book / "data" / "results" / "ridge_accuracy.csv")
    weights = table.groupby("model").weights.unique().str.join("")
    assert weights.to_dict() == {"vit_tiny@my.pth": HASH, "other": "f" * 64}
    assert len(table) == 4


def test_what_is_not_up_to_date_is_not_published(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(book, GIVEN, POINTS)
    monkeypatch.setattr(results, "changes", lambda *_: ["data"])
    with pytest.raises(ValueError, match=r"first of inspect-mine.*\(data\)"):
        publish.publish(report(), book)
    assert publish_curves.write(report(), book, [], lambda _: {}) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("lab/vit_cls", "lab/vit_cls"),
        ("hf:facebook/dinov2-small", "hf:facebook/dinov2-small"),
        ("hf:./mine/dinov2?random", "hf:dinov2?random"),
        ("vit@weights/a.pth?img_size=64", "vit@a.pth?img_size=64"),
        ("imagenet:/data/ILSVRC", "imagenet:ILSVRC"),
        ("wardrobe:sketch", "wardrobe:sketch"),
    ],
)
def test_folders_are_nobodys_business(spec: str, expected: str) -> None:
    assert curves.bare(spec) == expected


def test_an_unknown_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="'ridge'; nearest: 'ridge_accuracy'"):
        curves.keep({"a": {"ridge": Part()}})
    none = {"field_radius": Part(note="none")}
    assert curves.keep({"a": none}).rows == []


def kept(folder: Path, measure: str, **columns: Any) -> None:
    """Write a file of published curves: one model, on two lines."""
    ends = {"depth": [0.25, 0.75], "layer": ["a", "b"]}
    pd.DataFrame(ROW | {"panel": ""} | ends | columns).to_csv(
        folder / f"{measure}.csv", index=False
    )


def test_all_published_curves_are_there_once() -> None:
    table = curves.published()
    whole = [curves.read(path).assign(file=path.stem) for path in FILES]
    expected = pd.concat(whole, ignore_index=True)
    key = ["file", "model", "weights", "images", "panel", "layer"]
    pd.testing.assert_frame_equal(
        table[list(expected)].sort_values(key, ignore_index=True),
        expected.sort_values(key, ignore_index=True),
    )
    models = table.groupby("measure", sort=False).name.nunique()
    assert models.is_monotonic_decreasing
    drawn = ["name", "measure", "depth"]
    assert not table.duplicated(drawn).any()
    assert table.name.nunique() == len(
        table[["model", "weights", "images"]].drop_duplicates()
    )


def test_names_in_charts(tmp_path: Path) -> None:
    model = "vit@my.v2.pth?img_size=64"
    kept(tmp_path, "field_radius", model=model, images="folder:pets")
    kept(tmp_path, "ridge_accuracy", weights=[HASH, "f" * 64], panel="class")
    table = curves.published(tmp_path)
    assert [*table.name] == [
        *("a on a, 012345", "a on a, ffffff"),
        *["my.v2 on pets"] * 2,
    ]
    assert [*table.measure.unique()] == [
        f"{curves.MEASURES['ridge_accuracy']} (class)",
        curves.MEASURES["field_radius"],
    ]


def test_no_published_curves(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="`vitscope publish` writes"):
        curves.published(tmp_path)


def test_curves_are_read_at_the_same_depths(tmp_path: Path) -> None:
    kept(tmp_path, "field_radius", value=[1.0, 2.0], low=0, high=3)
    table = curves.aligned(curves.published(tmp_path), 5)
    assert table.depth.to_list() == pytest.approx([0.25, 0.5, 0.75])
    assert table.value.to_list() == pytest.approx([1, 1.5, 2])
    assert {*table.model} == {"a on a"}
    assert {*table.measure} == {curves.MEASURES["field_radius"]}


def test_last_probes_stand_beside_published_values(tmp_path: Path) -> None:
    """A file, another target and another measure have nothing beside them."""
    model = "vit_small_patch16_224.dino"
    numbers = {"value": [0.4, 0.7], "low": 0, "high": 1}
    kept(tmp_path, "ridge_accuracy", model=model, panel="class", **numbers)
    kept(tmp_path, "field_radius", model=model, panel="class", **numbers)
    table = curves.published(tmp_path)
    found = beside_published.of_curves(table)
    known = pd.read_csv(checkout() / "data" / "published.csv")
    known = known[(known.model == model) & (known.measure == "linear")]
    assert len(found) == len(known) > 0
    assert {*found.ours} == {0.7}
    assert {*found.images} == {"a"}
    expected = [*(0.7 - known.value).round(6)]
    assert [*found.difference.round(6)] == expected
    drawn = beside_published.chart(found, "here").to_dict()
    (rows,) = drawn["datasets"].values()
    assert {row["value"] for row in rows} == {0.7, *known.value}
    for change in ({"model": f"{model}@my.pth"}, {"panel": "garment"}):
        none = beside_published.of_curves(table.assign(**change))
        assert none.empty
        assert beside_published.differences(none) is None
        assert beside_published.chart(none, "here") == beside_published.NONE


ROW = dict.fromkeys(curves.COLUMNS, "a") | {
    "weights": HASH,
    "depth": "0.5",
    "value": "1",
    "low": "0.5",
    "high": "2",
}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ridge_accurace", {}, "unknown measure.*nearest: 'ridge_accuracy'"),
        ("ridge_accuracy", {"value": "3"}, "line 2 of.*no interval that hol"),
        ("ridge_accuracy", {"value": "x"}, "line 2 of.*no interval"),
        ("ridge_accuracy", {"high": "inf"}, "line 2 of.*is not finite"),
        ("ridge_accuracy", {"depth": "2"}, "a depth outside 0 to 1"),
        ("ridge_accuracy", {"weights": "ab"}, "weights that are no sha256"),
        ("ridge_accuracy", {"model": ""}, "names no model or images"),
        ("ridge_accuracy", {"more": "1"}, "has the columns.*expected model"),
    ],
)
def test_rows_that_are_refused(
    tmp_path: Path, name: str, change: dict[str, str], message: str
) -> None:
    path = tmp_path / f"{name}.csv"
    pd.DataFrame([ROW | change]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=message):
        curves.read(path)


def test_a_point_that_occurs_twice(tmp_path: Path) -> None:
    path = tmp_path / "ridge_accuracy.csv"
    pd.DataFrame([ROW, ROW]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"line 3 of.*occurs twice"):
        curves.read(path)
