"""The parts of a report on one model, and its place among others."""

import copy
import warnings
from dataclasses import replace

import altair as alt
import numpy as np
import pandas as pd
import pytest
import torch

from helpers import cka, features, images, models
from helpers.measures import attention, residual
from helpers.probes import modules
from helpers.probes.modules import probe
from helpers.probes.samples import Sample
from helpers.report import among_others, parts, probed, shifted
from helpers.report.parts import Part

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


def test_mean_best_match_is_the_mean_of_best_values():
    c = np.array([[0.1, 0.5], [np.nan, 0.3], [np.nan, np.nan]])
    assert parts.mean_best_match(c) == pytest.approx(0.4)
    assert np.isnan(parts.mean_best_match(np.full((2, 2), np.nan)))


def test_a_model_is_its_own_nearest_relative(scenes, vit, cnn):
    pairs = {"cnn": (vit, cnn), "itself": (vit, vit)}
    found = parts.relatives(cka.measure_pairs(pairs, scenes, batch_size=4))
    assert found.model.tolist() == ["itself", "cnn"]
    first = found.iloc[0]
    assert (first.value, first.cka) == pytest.approx((1, 1))
    assert first.nearest == "blocks.11.out"
    with pytest.raises(ValueError, match="at least one other"):
        parts.relatives({})


def test_attention_is_that_of_its_measure(scenes, vit, cnn):
    part = parts.distances(vit, scenes, 12)
    table = attention.mean_distance(vit, scenes)
    means = table.groupby("block").relative.mean()
    assert part.curves.value.to_numpy() == pytest.approx(means.to_numpy())
    last = part.numbers["attention distance, last third"]
    assert last == pytest.approx(means.iloc[8:].mean())
    assert (part.curves.low <= part.curves.value).all()
    assert "no attention" in parts.distances(cnn, scenes).note


def test_norms_of_a_vit_and_of_models_without_them(scenes, vit, cnn):
    part = parts.norms(vit, scenes, 12)
    rows = residual.measure(vit, scenes).per_image
    rows = rows[(rows.quantity == "log2_ratio") & (rows.kind == "patch")]
    low = rows[rows.depth <= 0.5].value.mean()
    assert part.numbers["log2 norm ratio, lower half"] == pytest.approx(low)
    assert set(part.curves.panel) == {"class token", "patches or positions"}
    shut = copy.deepcopy(cnn)  # branches that add nothing
    for layer in shut.module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.zeros_(layer.weight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        empty = parts.norms(shut, scenes)
    assert "no norm ratio" in empty.note
    assert empty.curves.empty
    other = models.load("densenet121?random")
    assert "skip connections" in parts.norms(other, scenes).note


def test_fields_have_a_radius_within_the_image(vit):
    few = images.load("wardrobe", limit=2)
    part = parts.reach(vit, few, 1)
    assert len(part.curves) == 12
    assert part.curves.value.between(0, 1).all()


@pytest.fixture(scope="module")
def sets():
    shifted = ["wardrobe", "wardrobe:sketch", "digits"]
    return [images.load(spec, limit=40) for spec in shifted]


@pytest.fixture(scope="module")
def bank():
    return images.load("wardrobe", "train", limit=120)


def test_pooled_are_modules_first_and_then_outputs(vit, bank, sets):
    first, sketch, digits = probed.pool(vit, bank, sets, "garment")
    assert len(first.test) == 12 * 8
    assert len(sketch.test) == len(digits.test) == 12
    assert sketch.bank is first.bank
    key = "blocks.5.out", probed.TOKENS
    alone = features.pooled(vit, sets[1], key[0], [probed.TOKENS])
    torch.testing.assert_close(sketch.test[key], alone[key])
    assert sketch.labels.tolist() == list(sets[1].targets["garment"])
    assert digits.labels.tolist() == list(sets[2].labels)
    with pytest.raises(ValueError, match="nearest: 'garment'"):
        probed.pool(vit, bank, sets, "garmet")


def test_probes_of_layers_and_modules_are_one_measure(vit, bank, sets):
    (first,) = probed.pool(vit, bank, sets[:1], "garment")
    found = probe(first, probed.TOKENS, "ridge")
    layers = probed.by_layer(first, bank, sets[0], ["garment", "fabric"])
    assert list(layers.curves.panel.unique()) == ["garment", "fabric"]
    outputs = found.table[found.table.module == "RC2"]
    curve = layers.curves[layers.curves.panel == "garment"]
    assert curve.value.tolist() == outputs.accuracy.tolist()
    top = outputs.iloc[int(outputs.held_out.argmax())]
    assert layers.numbers["accuracy on garment, best block"] == top.accuracy
    modules = probed.by_module(found)
    assert modules.curves.panel.tolist() == list(found.best().module)
    lead = modules.numbers["lead of that module over block outputs"]
    value = modules.numbers["accuracy on garment, best module"]
    assert value - lead == pytest.approx(top.accuracy)


def test_a_network_without_modules_says_so(cnn, bank, sets):
    (first,) = probed.pool(cnn, bank, sets[:1], "garment")
    found = modules.probe(first, probed.TOKENS, "ridge")
    assert "none of the modules" in probed.by_module(found).note
    nothing = modules.Probed(found.table.assign(held_out=np.nan), found.right)
    with pytest.raises(ValueError, match="none tells 'garment'"):
        probed.best(nothing)


def known(answers, wrong=0):
    """Features of 2 blocks: noise, and what gives the answer away."""
    noise = torch.Generator().manual_seed(len(answers) + wrong)
    told = torch.eye(10)[(answers + (torch.arange(len(answers)) < wrong)) % 10]
    keys = [(f"blocks.{i}.out", probed.TOKENS) for i in (0, 1)]
    blind = torch.randn(len(answers), 3, generator=noise)
    return dict(zip(keys, (told, blind), strict=True))


def made(spec, bank, images, wrong=0):
    truth = torch.as_tensor(bank.targets["garment"])
    asked = torch.as_tensor(images.targets.get("garment", images.labels))
    return Sample(
        *(spec, "garment", known(truth), truth, known(asked, wrong), asked),
        depths={"blocks.0.out": 0.0, "blocks.1.out": 1.0},
        device=torch.device("cpu"),
    )


def test_under_shift(bank, sets):
    wrong = [0, 20, 0]  # of 40
    specs = [images.spec for images in sets]
    pooled = [
        made(spec, bank, images, some)
        for spec, images, some in zip(specs, sets, wrong, strict=True)
    ]
    part = shifted.under_shift(pooled, sets)
    assert list(part.curves.panel.unique()) == ["unchanged", "sketch"]
    first = part.curves[part.curves.layer == "blocks.0.out"]
    assert first.value.tolist() == [1, 0.5]
    last = part.curves.value.iloc[-1]
    assert part.numbers == {
        "accuracy kept under shift, garment": pytest.approx(0.5),
        "lead over the last block under shift": pytest.approx(0.5 - last),
    }
    assert part.note == "no such garment in digits"
    alone = shifted.under_shift([pooled[0], pooled[2]], [sets[0], sets[2]])
    assert alone.curves.empty
    assert "digits" in alone.note


def test_no_share_is_kept_of_an_accuracy_at_chance(bank, sets):
    keys = ("blocks.1.out", probed.TOKENS)
    pooled = [made("wardrobe", bank, images) for images in [sets[0]] * 2]
    blind = [
        replace(x, bank={keys: x.bank[keys]}, test={keys: x.test[keys]})
        for x in pooled
    ]
    part = shifted.under_shift(blind, [sets[0]] * 2)
    assert np.isnan(part.numbers["accuracy kept under shift, garment"])
    assert "chance" in part.note


def test_distance_of_shifted_images_is_in_units_of_the_variance(bank, sets):
    specs = ["wardrobe", "wardrobe:sketch"]
    near, far = (made(spec, bank, sets[0]) for spec in specs)
    key = "blocks.1.out", probed.TOKENS
    spread = near.bank[key].var(0).sum().sqrt()
    moved = near.test[key] + torch.tensor([2.0, 0, 0]) * spread
    far = replace(far, test=far.test | {key: moved})
    part = shifted.distances([near, far])
    assert part.curves.panel.tolist() == ["unchanged", "sketch"]
    start, end = part.curves.value
    assert end - start == pytest.approx(4, abs=0.8)  # 2 from noise of means
    assert part.curves.low[1] < end < part.curves.high[1]
    (number,) = part.numbers.values()
    assert number == end
    scaled = [
        replace(
            x,
            bank={key: 7 * x.bank[key]},
            test={key: 7 * x.test[key]},
        )
        for x in (near, far)
    ]
    assert shifted.distances(scaled).curves.value.to_numpy() == (
        pytest.approx(part.curves.value.to_numpy(), rel=1e-5)
    )
    few = replace(far, test={key: moved[:9]}, labels=far.labels[:9])
    assert "needs 40 images, got 9" in shifted.distances([near, few]).note
    assert "no shifted" in shifted.distances([near]).note


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
    table = among_others.beside({"own": own}, others, "peers")
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
    x, y, z = among_others.summary(parts, ["own"]).to_dict("records")
    assert (x["lowest"], x["median"], x["highest"]) == (1, 2.5, 4)
    assert [row["below"] for row in (x, y, z)] == ["1 of 2", "", ""]
    assert np.isnan(z["median"])


def test_what_is_missing_is_said():
    none = Part(note="x has no attention")
    said = among_others.chart({"own": none, "a": none}, ["own"], "peers")
    assert said == "- Left out: x has no attention."
    assert said._repr_markdown_() == said
    assert among_others.bars({"own": none}, ["own"]) == said
    assert among_others.missing(Part()) == "- Nothing."


def test_several_models_stand_before_the_others():
    none = Part(note="no heads")
    own = {"x": Part(curves=line([5, 6])), "y": Part(curves=line([7], "z"))}
    others = {"a": Part(curves=line([0, 2])), "b": Part(curves=line([4], "z"))}
    table = among_others.beside(own | {"w": none}, others, "peers")
    assert list(table.model.unique()) == ["x", "y", "peers"]
    rest = table[table.model == "peers"].groupby("panel").value
    assert rest.first().to_dict() == {"": 0, "z": 4}
    assert {*table[table.model == "y"].value} == {7}
    drawn = among_others.chart(
        own | others | {"w": none},
        ["w", "x"],
        "peers",
        description="A line of one model before those of others.",
    )
    (rows,) = drawn.to_dict()["datasets"].values()
    assert {row["model"] for row in rows} == {"x", "peers"}


def test_numbers_of_several_models_stand_side_by_side():
    parts = {
        "own": [Part({"x": 2.0})],
        "mine": [Part({"x": 3.0, "y": 1.0})],
        "a": [Part({"x": 1.0, "y": 5.0})],
    }
    table = among_others.summary(parts, ["own", "mine"]).set_index("measure")
    ends = ["lowest", "median", "highest"]
    assert list(table) == ["own", "mine", *ends]
    assert table.loc["x"].tolist() == [2, 3, 1, 1, 1]
    assert table.loc["y"].tolist() == pytest.approx(
        [np.nan, 1, 5, 5, 5], nan_ok=True
    )
    said = among_others.missing(Part(note="no heads"), whose="mine")
    assert said == "- Left out of mine: no heads."


def test_examined_models_are_named_apart(tmp_path):
    mine = among_others.load([VIT, CNN])
    assert list(mine) == ["vit_cls?random", "resnet?random"]
    folders = [tmp_path / name for name in "ab"]
    specs = []
    for folder in folders:
        folder.mkdir()
        path = folder / "w.pth"
        torch.save(mine["resnet?random"].module.state_dict(), path)
        specs.append(f"lab/resnet@{path}")
    assert list(among_others.load(specs[:1])) == ["resnet@w.pth"]
    assert [name.count("/") > 1 for name in among_others.load(specs)] == [
        *(True, True)
    ]
    with pytest.raises(ValueError, match=r"'lab/mae' is given 2 times.*\?ran"):
        among_others.load(["lab/mae", CNN, "lab/mae"])


def test_charts_of_parts():
    how = {"description": "A line of one model before those of others."}
    parts = {"own": Part(curves=line([1, 2])), "a": Part(curves=line([0, 3]))}
    drawn = among_others.chart(parts, ["own"], "peers", **how)
    assert isinstance(drawn, alt.TopLevelMixin)
    assert isinstance(
        among_others.bars(
            {k: Part(curves=line([1])) for k in parts}, ["own"], **how
        ),
        alt.TopLevelMixin,
    )
