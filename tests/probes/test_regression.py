"""Regressions against scikit-learn, closed forms and invariances."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from helpers import probes
from helpers.probes.held_out import hold_out
from helpers.probes.regression import errors, regressions, skill

torch.set_num_threads(1)

CLASSES = 4


def data(n=260, d=9, seed=0):
    """Features with a class, and a plane of quantities, linear and noisy."""
    weights = torch.Generator().manual_seed(7)
    draw = torch.Generator().manual_seed(seed)
    centres = 3 * torch.randn(CLASSES, d, generator=weights).double()
    labels = torch.arange(n) % CLASSES
    x = centres[labels] + torch.randn(n, d, generator=draw).double()
    mix = torch.randn(d, 2, generator=weights).double()
    noise = torch.randn(n, 2, generator=draw).double()
    where = 5 + x @ mix + noise * torch.tensor([1.0, 4.0])
    return x, {"kind": labels, "where": where}


@pytest.mark.parametrize("width", [9, 400])
@pytest.mark.parametrize("penalty", [0.5, 100.0])
def test_quantities_are_those_of_scikit_learn(width, penalty):
    x, y = data(d=width)
    queries, _ = data(50, width, seed=1)
    found = regressions(x, y, queries, [penalty])
    mean, scale = x.mean(0), x.std(0, correction=0) + 1e-5
    model = Ridge(alpha=penalty).fit((x - mean) / scale, y["where"])
    want = model.predict((queries - mean) / scale)
    np.testing.assert_allclose(found["where"].scores, want, atol=1e-8)
    np.testing.assert_allclose(found["where"].constant, y["where"].mean(0))


def test_classes_are_read_as_by_the_ridge_classifier():
    x, y = data()
    queries, _ = data(50, seed=1)
    found = regressions(x, y, queries, [2.0])["kind"].scores
    want = probes.ridge(x, y["kind"], queries, [2.0])[0]
    torch.testing.assert_close(found, want)


def test_targets_do_not_disturb_each_other():
    x, y = data()
    queries, _ = data(50, seed=1)
    both = regressions(x, y, queries)
    alone = regressions(x, {"kind": y["kind"]}, queries)["kind"]
    torch.testing.assert_close(both["kind"].scores, alone.scores)
    assert both["kind"].tried == pytest.approx(alone.tried)


def test_the_penalty_is_the_best_on_held_out_images():
    x, y = data(120, 60)
    grid = [0.01, 1.0, 100.0, 1e4]
    found = regressions(x, y, x[:5], grid, held_out=0.25, seed=3)["where"]
    held = hold_out([y["kind"]], 0.25, 3)
    mean, scale = x[~held].mean(0), x[~held].std(0, correction=0) + 1e-5
    got, truth = (x - mean) / scale, y["where"]
    base = (truth[held] - truth[~held].mean(0)).square().sum()
    for penalty in grid:
        model = Ridge(alpha=penalty).fit(got[~held], truth[~held])
        guess = torch.as_tensor(model.predict(got[held]))
        miss = (truth[held] - guess).square().sum()
        want = float(1 - miss / base)
        assert found.tried[penalty] == pytest.approx(want, abs=1e-8)
    assert found.tried[found.penalty] == max(found.tried.values())


def test_skill_is_r2_and_accuracy_above_chance():
    draw = torch.Generator().manual_seed(0)
    truth = torch.randn(80, 1, generator=draw).double()
    guess = truth + 0.5 * torch.randn(80, 1, generator=draw)
    r2 = skill(errors(guess, truth), errors(truth.mean(0), truth))
    assert float(r2) == pytest.approx(r2_score(truth, guess))
    labels = torch.tensor([0, 0, 1, 2])
    scores = torch.eye(3)[[0, 0, 1, 1]]  # three of four are right
    constant = torch.tensor([0.5, 0.2, 0.3])  # two of four
    got = skill(errors(scores, labels), errors(constant, labels))
    assert float(got) == pytest.approx((0.75 - 0.5) / (1 - 0.5))
    assert torch.isnan(skill(torch.zeros(4), torch.zeros(4)))


def test_skill_does_not_depend_on_units():
    x, y = data()
    queries, truth = data(60, seed=1)
    got = []
    for scale, shift in ((1, 0), (1000, -3)):
        known = {"where": y["where"] * scale + shift}
        read = regressions(x, known, queries)["where"]
        asked = truth["where"] * scale + shift
        got.append(
            skill(errors(read.scores, asked), errors(read.constant, asked))
        )
    torch.testing.assert_close(*got)
    assert 0.3 < float(got[0]) < 1


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (torch.zeros(260, 1), "'t' is the same for all images"),
        (torch.zeros(260), "need quantities of shape"),
        (torch.full((260, 1), torch.nan), "'t' is NaN"),
        (
            torch.zeros(260, dtype=torch.int64),
            "'t': all images have one class",
        ),
        (2 * (torch.arange(260) % 2), "'t': 1 of 3 classes have no"),
        (torch.zeros(3, dtype=torch.int64), "need 260 labels"),
    ],
)
def test_targets_that_cannot_be_read_are_refused(target, said):
    x, _ = data()
    with pytest.raises(ValueError, match=said):
        regressions(x, {"t": target}, x)


def test_features_that_cannot_be_read_are_refused():
    x, y = data()
    with pytest.raises(probes.ConstantFeaturesError):
        regressions(torch.ones(260, 3), y, x)
    with pytest.raises(ValueError, match="queries have 3 features"):
        regressions(x, y, torch.ones(260, 3))
    with pytest.raises(ValueError, match="must be positive"):
        regressions(x, y, x, [0.0])


def test_inputs_are_left_alone():
    x, y = data()
    before = x.clone(), y["where"].clone()
    regressions(x, y, x)
    assert all(map(torch.equal, before, (x, y["where"])))
