"""Published values: every row has a source, and stands beside ours."""

import re
from pathlib import Path

import pandas as pd
import pytest

from helpers import claims, models
from helpers.claims import published_values
from helpers.editions import listings
from helpers.report import beside_published
from helpers.runtime.paths import checkout

HEAD = ",".join(published_values.COLUMNS)
ROW = "vit_base_patch16_224.dino,knn,last,cls,final,k 20,0.761,a@1:b"
MAE = "vit_base_patch16_224.mae"


def test_every_row_has_a_source_that_can_be_opened() -> None:
    table = published_values.values()
    assert len(table) >= 40
    assert not table.drop(columns="value").duplicated().any()
    for source in table.source:
        assert re.fullmatch(
            r"github\.com/[\w-]+/[\w-]+@[0-9a-f]{7}:[\w./]+|"
            r"[a-z]+\d{4}, section [\d.]+",
            source,
        )
    bibliography = (checkout() / "book/references.bib").read_text("utf-8")
    for source in table.source[~table.source.str.startswith("github")]:
        assert f"{{{source.split(',')[0]}," in bibliography


def test_the_final_norm_is_told_where_both_were_measured() -> None:
    table = published_values.values()
    mae = table[(table.model == MAE) & (table.measure == "knn")]
    by_norm = mae.set_index("norm").value
    assert by_norm["final"] < by_norm["raw"] / 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEAD}\n{ROW.replace('knn', 'kn')}", "unknown measure in line 2"),
        (f"{HEAD}\n{ROW.replace('knn', 'kn')}", "'kn'; nearest: 'knn'"),
        (f"{HEAD}\n{ROW}\n{ROW.replace('0.761', '76.1')}", "in line 3 of.*76"),
        (f"{HEAD}\n{ROW.replace('0.761', 'high')}", "'high'; expected a sha"),
        (f"{HEAD}\n{ROW.replace('0.761', '')}", "expected a share"),
        (f"{HEAD}\n{ROW.replace('a@1:b', '')}", "line 2 of.*no source"),
        (f"{HEAD},more\n{ROW},1", "unknown column of.*'more'"),
        (HEAD.replace("norm,", ""), "lacks columns: norm"),
    ],
)
def test_rows_that_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "published.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        published_values.values(path)


def test_ours_stand_beside_them_with_the_difference() -> None:
    known = claims.beside_published(
        {MAE: {("knn", "cls"): 0.4, ("linear", "patches"): 0.5}, "lab/x": {}}
    )
    assert {*known.model} == {MAE}
    assert {*known.measure} == {"knn", "linear"}
    knn = known[known.measure == "knn"].set_index("norm")
    assert knn.difference["raw"] == pytest.approx(0.4 - 0.3557)
    assert knn.difference["final"] == pytest.approx(0.4 - 0.1614)
    linear = known[known.measure == "linear"]
    assert (linear["our tokens"] == "patches").all()
    assert (linear.tokens == "cls").all()
    drawn = beside_published.chart(known, "wardrobe")
    data = next(iter(drawn.to_dict()["datasets"].values()))
    values = pd.DataFrame(data)
    assert {*values["of"]} == {"published", "this run, wardrobe"}
    assert {0.4, 0.5, 0.3557, 0.1614} <= {*values.value.round(4)}
    assert len(beside_published.differences(known)) == len(known)


def test_a_model_without_published_values_is_told() -> None:
    none = claims.beside_published({"lab/mae": {("knn", "cls"): 0.4}})
    shown = beside_published.chart(none, "wardrobe")
    assert "No value of these models is published" in str(shown)
    assert beside_published.differences(none) is None


def test_they_are_listed() -> None:
    text = listings.published("dinov2")
    assert "vit_base_patch14_dinov2.lvd142m" in text
    assert "github.com/facebookresearch/dinov2@" in text
    assert MAE not in text
    with pytest.raises(ValueError, match=f"nearest: .*'{MAE}'"):
        listings.published("vit_base_patch16_224.maee")


def test_specs_are_read_without_loading() -> None:
    for spec in {*published_values.values().model}:
        assert models.check(spec) == spec
