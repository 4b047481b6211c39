"""The parts of a report on one model, and its place among others."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import (
    attention,
    battery,
    charts,
    cka,
    images,
    models,
    probes,
    reading,
    residual,
    standing,
)
from helpers.battery import Part

VIT, CNN = "lab/vit_cls?random", "lab/resnet?random"


@pytest.fixture(scope="module")
def scenes():
    return images.load("wardrobe", limit=12)


@pytest.fixture(scope="module")
def vit():
    return models.load(VIT)


@pytest.fixture(scope="module")
def cnn():
    return models.load(CNN)


def test_likeness_is_the_mean_of_best_values():
    c = np.array([[0.1, 0.5], [np.nan, 0.3], [np.nan, np.nan]])
    assert battery.likeness(c) == pytest.approx(0.4)
    assert np.isnan(battery.likeness(np.full((2, 2), np.nan)))


def test_a_model_is_its_own_nearest_relative(scenes, vit, cnn):
    pairs = {"cnn": (vit, cnn), "itself": (vit, vit)}
    found = battery.relatives(cka.measure_pairs(pairs, scenes, batch_size=4))
    assert found.model.tolist() == ["itself", "cnn"]
    first = found.iloc[0]
    assert (first.value, first.cka) == pytest.approx((1, 1))
    assert first.nearest == "blocks.11.out"
    with pytest.raises(ValueError, match="at least one other"):
        battery.relatives({})


def test_attention_is_that_of_its_measure(scenes, vit, cnn):
    part = battery.distances(vit, scenes, 12)
    table = attention.mean_distance(vit, scenes)
    means = table.groupby("block").relative.mean()
    assert part.curves.value.to_numpy() == pytest.approx(means.to_numpy())
    last = part.numbers["attention distance, last third"]
    assert last == pytest.approx(means.iloc[8:].mean())
    assert (part.curves.low <= part.curves.value).all()
    assert "no attention" in battery.distances(cnn, scenes).note


def test_norms_of_a_vit_and_of_models_without_them(scenes, vit, cnn):
    part = battery.norms(vit, scenes, 12)
    rows = residual.measure(vit, scenes).per_image
    rows = rows[(rows.quantity == "log2_ratio") & (rows.kind == "patch")]
    low = rows[rows.depth <= 0.5].value.mean()
    assert part.numbers["log2 norm ratio, lower half"] == pytest.approx(low)
    assert set(part.curves.panel) == {"class token", "patches or positions"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        empty = battery.norms(cnn, scenes)  # its branches begin at zero
    assert "no norm ratio" in empty.note
    assert empty.curves.empty
    other = models.load("densenet121?random")
    assert "skip connections" in battery.norms(other, scenes).note


def test_fields_have_a_radius_within_the_image(vit):
    few = images.load("wardrobe", limit=2)
    part = battery.reach(vit, few, 1)
    assert len(part.curves) == 12
    assert part.curves.value.between(0, 1).all()


def test_probes_are_those_of_their_measure(cnn):
    bank = images.load("wardrobe", "train", limit=60)
    asked = images.load("wardrobe", limit=20)
    part = reading.by_layer(cnn, bank, asked, ["garment"])
    table = probes.layerwise(
        cnn, bank, asked, tokens=["patches"], probes=["ridge"],
        targets=["garment"],
    ).table  # fmt: skip
    assert part.curves.value.tolist() == table.accuracy.tolist()
    row = reading.best(part.curves, "garment")
    assert row.held_out == table.held_out.max()
    assert part.numbers["accuracy on garment, best layer"] == row.value
    with pytest.raises(ValueError, match="none tells 'fabric'"):
        reading.best(part.curves, "fabric")


def test_under_shift(vit, monkeypatch):
    bank = images.load("wardrobe", "train", limit=120)
    asked = images.load("wardrobe", limit=40)
    sketch = images.load("wardrobe:sketch", limit=40)
    digits = images.load("digits", limit=40)

    def pooled(_model, given, layer, tokens, _size):
        truth = torch.as_tensor(given.targets["garment"])
        if given.spec.endswith("sketch"):  # the first half is told wrongly
            truth = torch.cat([(truth[:20] + 1) % 10, truth[20:]])
        return {(layer, tokens[0]): torch.eye(10)[truth]}

    monkeypatch.setattr(reading.features, "pooled", pooled)
    sets = [asked, sketch, digits]
    part = reading.under_shift(vit, bank, sets, "blocks.0.out", "garment")
    assert part.curves.panel.tolist() == ["unchanged", "sketch"]
    assert part.curves.value.tolist() == [1, 0.5]
    kept = part.numbers["accuracy kept under shift, garment"]
    assert kept == pytest.approx(0.5)
    assert part.note == "no such garment in digits"
    alone = reading.under_shift(vit, bank, [asked, digits], "x", "garment")
    assert alone.curves.empty
    assert "digits" in alone.note


def test_no_share_is_kept_of_an_accuracy_at_chance(vit, monkeypatch):
    bank = images.load("wardrobe", "train", limit=120)
    sets = [images.load("wardrobe", limit=40)] * 2
    noise = torch.Generator().manual_seed(0)
    monkeypatch.setattr(
        reading.features,
        "pooled",
        lambda _model, given, *_: {
            0: torch.randn(len(given), 3, generator=noise)
        },
    )
    part = reading.under_shift(vit, bank, sets, "x", "garment")
    assert np.isnan(part.numbers["accuracy kept under shift, garment"])
    assert "chance" in part.note


def line(values, panel=""):
    values = np.asarray(values, float)
    depths = np.linspace(0, 1, len(values))
    same = {"value": values, "low": values, "high": values}
    return pd.DataFrame({"depth": depths, **same, "panel": panel})


def test_others_are_summarised_by_median_and_range():
    own = Part(curves=line([5, 5]))
    others = {
        "a": Part(curves=line([0, 1])),
        "b": Part(curves=line([1, 1, 1])),
        "c": Part(curves=line([4, 2])),
        "d": Part(note="none"),
        "e": Part(curves=line([9, 9], "another")),
    }
    table = standing.beside(own, others, "own", "peers")
    rest = table[table.model == "peers"].set_index("depth")
    assert rest.loc[0.0, ["low", "value", "high"]].tolist() == [0, 1, 4]
    assert rest.loc[0.5, ["low", "value", "high"]].tolist() == [0.5, 1, 3]
    assert (table[table.model == "own"].value == 5).all()


def test_summary_counts_those_below():
    parts = {
        "own": [Part({"x": 2.0}), Part({"y": np.nan, "z": 1.0})],
        "a": [Part({"x": 1.0, "y": 1.0})],
        "b": [Part({"x": 4.0})],
        "c": [Part({"x": np.nan})],
    }
    x, y, z = standing.summary(parts, "own").to_dict("records")
    assert (x["lowest"], x["median"], x["highest"]) == (1, 2.5, 4)
    assert [row["below"] for row in (x, y, z)] == ["1 of 2", "", ""]
    assert np.isnan(z["median"])


def test_what_is_missing_is_said():
    none = Part(note="x has no attention")
    said = standing.chart({"own": none, "a": none}, "own", "peers")
    assert said == "- Left out: x has no attention."
    assert said._repr_markdown_() == said
    assert standing.bars({"own": none}, "own") == said
    assert standing.missing(Part()) == "- Nothing."


def test_charts_of_parts():
    how = {"description": "A line of one model before those of others."}
    parts = {"own": Part(curves=line([1, 2])), "a": Part(curves=line([0, 3]))}
    drawn = standing.chart(parts, "own", "peers", **how)
    assert isinstance(drawn, charts.alt.TopLevelMixin)
    assert isinstance(
        standing.bars(
            {k: Part(curves=line([1])) for k in parts}, "own", **how
        ),
        charts.alt.TopLevelMixin,
    )
