"""Probes of modules against scikit-learn, and what rotation must not change.

Features are made up, so that the truth about them is known.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler, normalize

from helpers import images, models
from helpers.probes import modules, preprocessing, samples
from helpers.probes.held_out import hold_out
from helpers.probes.samples import Sample

LAYERS = ("blocks.0.out", "blocks.0.act")


def made(m=150, n=80, classes=3, widths=(5, 12), noise=1.0, seed=0):
    """Two layers of different width that hold classes, and their labels."""
    source = np.random.default_rng(seed)
    y = source.integers(classes, size=m + n)
    centres = source.normal(size=(classes, max(widths)))
    kept = [{}, {}]
    for name, width in zip(LAYERS, widths, strict=True):
        x = 2 + centres[y, :width] + noise * source.normal(size=(m + n, width))
        for part, rows in zip(kept, (x[:m], x[m:]), strict=True):
            part[name, "mean"] = torch.tensor(rows, dtype=torch.float32)
    truth = torch.tensor(y)
    return Sample(
        *("made", "class", kept[0], truth[:m], kept[1], truth[m:]),
        depths=dict.fromkeys(LAYERS, 0.5),
        device=torch.device("cpu"),
    )


def theirs(sample, layer, held):
    """The authors' probe, in scikit-learn."""
    bank, test = (
        normalize(part[layer, "mean"].double().numpy())
        for part in (sample.bank, sample.test)
    )
    y, held = sample.bank_labels.numpy(), held.numpy()
    scaler = StandardScaler().fit(bank[~held])
    model = LogisticRegression(C=1, max_iter=5000, tol=1e-10)
    model.fit(scaler.transform(bank[~held]), y[~held])
    right = model.predict(scaler.transform(test)) == sample.labels.numpy()
    return right, model.score(scaler.transform(bank[held]), y[held])


def test_is_the_probe_of_the_paper():
    sample = made()
    found = modules.probe(sample, held_out=0.2, seed=3)
    held = hold_out([sample.bank_labels], 0.2, 3)
    assert list(found.table.module) == ["RC2", "Act"]
    for i, layer in enumerate(found.table.layer):
        right, share = theirs(sample, layer, held)
        np.testing.assert_array_equal(found.right[:, i], right)
        assert found.table.held_out[i] == pytest.approx(share)
        assert found.table.accuracy[i] == pytest.approx(right.mean())
        assert found.table.low[i] < right.mean() < found.table.high[i]
    assert found.table.attrs["fitted"] == int((~held).sum())


def test_penalty_is_chosen_on_images_that_are_not_tested():
    sample = made(m=60, widths=(12, 30), noise=3)
    grid = (1e9, 1e2, 0.1)
    both = modules.probe(sample, settings=grid)
    each = [modules.probe(sample, settings=(p,)) for p in grid]
    shares = np.array([one.table.held_out for one in each])
    np.testing.assert_array_equal(both.table.held_out, shares.max(0))
    for i, best in enumerate(shares.argmax(0)):
        assert both.table.setting[i] == grid[best]
        np.testing.assert_array_equal(both.right[:, i], each[best].right[:, i])


@pytest.mark.parametrize("probe", ["logistic", "ridge"])
def test_layers_of_the_smallest_width_are_not_reduced(probe):
    sample = made()
    whole = modules.probe(sample, probe=probe)
    for how in preprocessing.REDUCTIONS:
        less = modules.probe(sample, probe=probe, reduce=how)
        np.testing.assert_array_equal(less.right[:, 0], whole.right[:, 0])
        assert (less.right[:, 1] != whole.right[:, 1]).any()


def test_pca_is_that_of_scikit_learn():
    source = np.random.default_rng(1)
    x = source.normal(size=(40, 9)) @ source.normal(size=(9, 9))
    x = (x - x.mean(0)) / x.std(0)
    bank, queries = torch.tensor(x[:30]), torch.tensor(x[30:])
    bank = bank - bank.mean(0)
    a, b = preprocessing.reduced(bank, queries, "pca", 4, 0)
    want = PCA(4).fit(bank.numpy())
    scale = np.sqrt(want.transform(bank.numpy()).var(0).mean())
    for got, x in ((a, bank), (b, queries)):
        ours = np.abs(got.numpy()[:, ::-1])
        np.testing.assert_allclose(
            ours, np.abs(want.transform(x.numpy())) / scale, atol=1e-9
        )


@pytest.mark.parametrize("how", preprocessing.REDUCTIONS)
def test_reduced_features_weigh_as_standardised_ones(how):
    bank = torch.randn(50, 20, dtype=torch.float64)
    a, b = preprocessing.reduced(bank, bank[:7], how, 6, 0)
    assert a.shape == (50, 6)
    assert float(a.var(0, correction=0).mean()) == pytest.approx(1)
    torch.testing.assert_close(a[:7], b)


def test_constant_features():
    sample = made()
    sample.bank["blocks.0.out", "mean"][:] = 0.3
    sample.bank["blocks.0.act", "mean"][:, 2] = 0.0
    with pytest.warns(UserWarning, match=r"blocks\.0\.out \(mean\)"):
        found = modules.probe(sample)
    assert np.isnan(found.right[:, 0]).all()
    assert np.isfinite(found.right[:, 1]).all()
    assert list(found.best().module) == ["Act"]


def test_block_is_chosen_by_the_column_asked_for():
    found = modules.probe(made())
    table = found.table.assign(
        module="RC2", held_out=[0.5, 0.5], accuracy=[0.2, 0.4]
    )
    found = modules.Probed(table, found.right)
    assert list(found.best().index) == [0]
    assert list(found.best("accuracy").index) == [1]


def test_sample_of_a_lab_model():
    model = models.load("lab/vit_narrow?random")
    kept = samples.sample(
        *(model, "digits", ",".join(modules.modules(model))),
        tokens=("mean", "cls"),
        num_train=40,
        num_images=10_000,
    )
    assert kept.target == "class"
    assert len(kept.bank) == 2 * 96
    assert len(kept.bank_labels) == 40
    assert len(kept.labels) == len(images.load("digits"))
    blocks = modules.probe(kept, "mean", "ridge").table
    assert (blocks.groupby("module").block.max() == 12).all()
    assert modules.modules(models.load("resnet18?random")) == ["out"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"probe": "ridgee"}, "nearest: 'ridge'"),
        ({"reduce": "pda"}, "nearest: 'pca'"),
        ({"tokens": "cls"}, "mean"),
        ({"held_out": 1.0}, "held_out"),
        ({"settings": (0.0,)}, "positive"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        modules.probe(made(), **settings)


def test_a_class_without_training_images_is_refused():
    sample = made()
    labels = torch.where(sample.bank_labels == 1, 0, sample.bank_labels)
    with pytest.raises(ValueError, match="class"):
        modules.probe(replace(sample, bank_labels=labels), "mean", "ridge")
