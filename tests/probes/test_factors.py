"""What is read of factors: planted features, and a second route."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeClassifier

from helpers import claims, images, models
from helpers.probes import factors, skill
from helpers.probes.factors import _summaries
from helpers.probes.skill import REPEATS

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def sets():
    return (
        images.load("wardrobe", "train", limit=120),
        images.load("wardrobe", limit=60),
    )


@pytest.fixture(scope="module")
def found(sets):
    model = models.load("lab/vit_narrow?random")
    return model, factors.encoded(model, *sets, batch_size=50)


def test_every_factor_of_the_lab_is_a_target(sets):
    known = factors.known(sets[1])
    assert set(known) == {
        *("garment", "fabric", "position", "size", "tilt"),
        *("hue", "coarseness"),
    }
    angle = torch.atan2(known["hue"][:, 0], known["hue"][:, 1])
    turned = (angle / (2 * torch.pi)) % 1
    np.testing.assert_allclose(turned, sets[1].targets["hue"], atol=1e-6)
    np.testing.assert_array_equal(
        known["position"], np.c_[sets[1].targets["x"], sets[1].targets["y"]]
    )
    assert list(factors.known(images.load("digits", limit=9))) == ["class"]


def test_summaries_are_the_means_of_the_quadrants():
    tokens = torch.randn(3, 1 + 4 * 6, 5)
    got = _summaries(tokens, (4, 6), 1)
    grid = tokens[:, 1:].reshape(3, 4, 6, 5)
    torch.testing.assert_close(got[:, 0], grid.mean((1, 2)))
    torch.testing.assert_close(got[:, 2], grid[:, :2, 3:].mean((1, 2)))
    torch.testing.assert_close(got[:, 3], grid[:, 2:, :3].mean((1, 2)))
    torch.testing.assert_close(
        _summaries(tokens[:, 1:17], None, 0)[:, 4],
        tokens[:, 1:17].reshape(3, 4, 4, 5)[:, 2:, 2:].mean((1, 2)),
    )
    with pytest.raises(ValueError, match="25 tokens form no square"):
        _summaries(torch.randn(2, 26, 3), (5, 6), 1)


def test_rows_are_complete_and_agree_with_scikit_learn(found, sets):
    model, got = found
    table = got.table
    assert len(table) == 12 * 2 * 2 * 7
    assert not table[["skill", "low", "high", "held_out"]].isna().any().any()
    assert (table.low <= table.skill).all()
    assert (table.skill <= table.high).all()
    layer = "blocks.4.out"
    pooled = []
    for part in sets:
        with torch.no_grad():
            taken = []
            handle = model.module.blocks[4].register_forward_hook(
                lambda _m, _i, y, taken=taken: taken.append(y[:, 1:].mean(1))
            )
            for _, (x,) in part.batches(model, batch_size=64):
                model(x)
            handle.remove()
        pooled.append(torch.cat(taken).double().numpy())
    mean, scale = pooled[0].mean(0), pooled[0].std(0) + 1e-5
    bank, asked = ((p - mean) / scale for p in pooled)
    row = table[(table.layer == layer) & (table.reading == "mean")]
    row = row.set_index("factor")
    labels = [part.targets["fabric"] for part in sets]
    probe = RidgeClassifier(alpha=row.penalty["fabric"]).fit(bank, labels[0])
    accuracy = probe.score(asked, labels[1])
    chance = np.mean(labels[1] == np.bincount(labels[0]).argmax())
    want = (accuracy - chance) / (1 - chance)
    assert row.skill["fabric"] == pytest.approx(want, abs=0.02)


def test_draws_are_joint_and_give_the_intervals(found):
    _, got = found
    skill = got.skill("position", "attn", "mean")
    assert skill.shape == (1 + REPEATS, 12)
    rows = got.table.query(
        "factor == 'position' and site == 'attn' and reading == 'mean'"
    )
    np.testing.assert_allclose(skill[0], rows.skill)
    band = claims.interval(skill[:, 3])
    assert (band.low, band.high) == pytest.approx(
        (rows.low.iloc[3], rows.high.iloc[3])
    )
    same = claims.interval(skill[:, 3] - skill[:, 3])
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert claims.curve(skill).value.tolist() == pytest.approx(skill[0])
    with pytest.raises(ValueError, match="nearest: 'position'"):
        got.skill("positions")


def test_intervals_cover_as_often_as_they_say():
    draw = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        wrong = torch.from_numpy(draw.random(80) < 0.3).double()
        worst = torch.ones(80)
        row = skill.with_intervals([{}], [(wrong, worst)], seed=1).table.iloc[
            0
        ]
        inside += row.low <= 0.7 <= row.high
    assert 0.87 <= inside / 200 <= 0.99


def test_pixels_are_read_as_by_scikit_learn(sets):
    model = models.load("lab/vit_narrow?random")
    got = factors.pixels(model, *sets)
    assert len(got.table) == 7
    row = got.table.set_index("factor").loc["hue"]
    truth = [factors.known(part)["hue"].numpy() for part in sets]
    seen = []
    for part in sets:
        tensors = torch.stack([model.transform(picture) for picture in part])
        cells = tensors.reshape(len(part), 3, 8, 8, 8, 8).mean((3, 5))
        seen.append(cells.flatten(1).double().numpy())
    mean, scale = seen[0].mean(0), seen[0].std(0) + 1e-5
    bank, asked = ((x - mean) / scale for x in seen)
    guess = Ridge(alpha=row.penalty).fit(bank, truth[0]).predict(asked)
    error = np.square(truth[1] - guess).sum()
    worst = np.square(truth[1] - truth[0].mean(0)).sum()
    assert row.skill == pytest.approx(1 - error / worst, abs=1e-4)


def test_other_images_have_their_class_and_cnns_no_attention():
    train = images.load("digits", "train", limit=80)
    test = images.load("digits", limit=30)
    got = factors.encoded(models.load("lab/resnet?random"), train, test)
    assert set(got.table.site) == {"out"}
    assert set(got.table.factor) == {"class"}
    with pytest.raises(ValueError, match="both in the bank and"):
        factors.encoded(models.load("lab/resnet?random"), test, test)
