"""Few-shot draws, and their probes against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import LabelBinarizer

from helpers import features, few_shot, images, models, probes

VIT = "lab/vit_narrow?random"


@pytest.fixture(scope="module")
def digits():
    return images.load("digits", "train")


@pytest.fixture(scope="module")
def measured(digits):
    banks = few_shot.draws(digits, 5, count=2)
    queries = few_shot.cut(images.load("digits", limit=60), 2)
    table = few_shot.accuracy(models.load(VIT), banks, queries)
    return banks, queries, table


def test_draws_are_balanced_and_disjoint(digits):
    draws = few_shot.draws(digits, 7, count=3, seed=1)
    for draw in draws:
        assert np.bincount(draw.labels).tolist() == [7] * 10
        at = np.searchsorted(digits.index, draw.index)
        assert (draw.labels == digits.labels[at]).all()
    every = np.concatenate([draw.index for draw in draws])
    assert len(set(every.tolist())) == 210


def test_draws_by_a_factor_of_the_scenes():
    scenes = images.load("wardrobe", "train", limit=400)
    (draw,) = few_shot.draws(scenes, 3, target="garment")
    assert np.bincount(draw.targets["garment"]).tolist() == [3] * 10
    assert few_shot.labels(draw, "garment").dtype == torch.int64


def test_a_draw_shows_its_own_pictures(digits):
    (draw,) = few_shot.draws(digits, 2)
    at = np.flatnonzero(digits.index == draw.index[5]).item()
    assert np.array_equal(draw[5], digits[at])


def test_refuses_more_shots_than_images_and_unknown_targets(digits):
    with pytest.raises(ValueError, match="200 images of '0'"):
        few_shot.draws(digits, 50, count=4)
    with pytest.raises(ValueError, match="categorical target of digits"):
        few_shot.draws(digits, 2, target="clas")


def test_cut_leaves_a_rest_out(digits):
    parts = few_shot.cut(digits, 5)
    assert [len(part) for part in parts] == [len(digits) // 5] * 5
    with pytest.raises(ValueError, match="do not make"):
        few_shot.cut(few_shot.cut(digits, 400)[0], 9)


def test_accuracy_is_that_of_a_ridge_of_scikit_learn(measured):
    banks, queries, table = measured
    model, layer = models.load(VIT), "blocks.6.out"
    x, q = (
        features.extract(model, part[1], layer)[layer]
        for part in (banks, queries)
    )
    penalty = probes.readout(
        torch.from_numpy(x),
        few_shot.labels(banks[1]),
        torch.from_numpy(q),
        "ridge",
        seed=1,
    ).setting
    mean, scale = x.mean(0), x.std(0) + 1e-5
    target = LabelBinarizer(neg_label=-1).fit_transform(banks[1].labels)
    ridge = Ridge(alpha=penalty).fit((x - mean) / scale, target)
    guess = ridge.predict((q - mean) / scale).argmax(1)
    row = table[(table.layer == layer) & (table.draw == 1)]
    assert row.accuracy.item() == np.mean(guess == queries[1].labels)


def test_table_has_a_row_a_layer_and_draw(measured):
    *_, table = measured
    assert len(table) == 12 * 2
    assert table.attrs["shots"] == 5


def test_averages_over_draws_with_their_standard_error(measured):
    *_, table = measured
    found = few_shot.averaged(table)
    assert found.layer.tolist() == [f"blocks.{i}.out" for i in range(12)]
    a, b = table[table.layer == "blocks.3.out"].accuracy
    assert found.accuracy[3] == pytest.approx((a + b) / 2)
    assert found.se[3] == pytest.approx(abs(a - b) / 2)


def test_middle_third_by_draw(measured):
    *_, table = measured
    blocks = [f"blocks.{i}.out" for i in range(4, 8)]
    mine = table[table.layer.isin(blocks) & (table.draw == 1)].accuracy
    assert few_shot.middle(table)[1] == pytest.approx(mine.mean())
