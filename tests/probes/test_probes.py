"""Probes against scikit-learn, float64 transcriptions and invariances."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from helpers import claims, images, models, probes
from helpers.probes.held_out import hold_out
from helpers.probes.knn import BANK_ROWS, SIMILARITIES, largest

torch.set_num_threads(1)

CLASSES = 5


def data(
    n: int = 300, d: int = 12, seed: int = 0, offset: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Correlated float64 features whose means differ between classes.

    `offset` is common to all images, in standard deviations.
    """
    mixing = torch.Generator().manual_seed(99)
    mix = torch.randn(d, d, generator=mixing, dtype=torch.float64)
    mix *= torch.logspace(0, -2, d, dtype=torch.float64)
    centres = torch.randn(CLASSES, d, generator=mixing, dtype=torch.float64)
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    noise = torch.randn(n, d, generator=draw, dtype=torch.float64)
    return (centres[labels] + noise) @ mix + offset * mix.norm(dim=0), labels


def by_sklearn_knn(bank, labels, queries, k, temperature):
    def weights(distance):
        return np.exp((1 - distance) / temperature)

    vote = KNeighborsClassifier(
        k, metric="cosine", weights=weights if temperature else "uniform"
    )
    return vote.fit(bank, labels).predict_proba(queries)


@pytest.mark.parametrize("temperature", [0.07, None])
@pytest.mark.parametrize("k", [1, 7, 299, 300])
def test_knn_is_that_of_scikit_learn(k, temperature):
    bank, labels = data()
    queries, _ = data(40, seed=1)
    got = probes.knn(bank, labels, queries, k, temperature)
    want = by_sklearn_knn(bank, labels, queries, k, temperature)
    np.testing.assert_allclose(got, want, atol=1e-9)
    single = probes.knn(bank.float(), labels, queries.float(), k, temperature)
    np.testing.assert_allclose(single, want, atol=1e-3)


def test_knn_does_not_depend_on_pieces(monkeypatch):
    bank, labels = data(1000)
    queries, _ = data(33, seed=1)
    whole = probes.knn(bank, labels, queries)
    parts = zip(bank.split(9), labels.split(9), strict=True)
    pieces = probes.knn(iter(list(parts)), None, queries)
    torch.testing.assert_close(pieces, whole)
    monkeypatch.setitem(BANK_ROWS, "cpu", 64)
    monkeypatch.setitem(SIMILARITIES, "cpu", 640)
    torch.testing.assert_close(probes.knn(bank, labels, queries), whole)
    order = torch.randperm(1000)
    shuffled = probes.knn(bank[order], labels[order], queries)
    torch.testing.assert_close(shuffled, whole)


def test_of_equal_neighbours_the_first_in_the_bank_wins(monkeypatch):
    bank = torch.tensor([[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 60)
    bank = torch.cat([bank, torch.tensor([[2.0, 0.0]] * 6)])
    labels = torch.arange(70) % 10  # images 0-3 and 64-69 are equally near
    for rows in (64, 5, 2**14):
        monkeypatch.setitem(BANK_ROWS, "cpu", rows)
        votes = probes.knn(bank, labels, bank[:1], k=5)[0]
        assert votes.nonzero().flatten().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("k", [1, 6, 50, 776, 777, 900])
@pytest.mark.parametrize("levels", [3, 40, 10**6])
def test_the_largest_are_those_of_a_stable_sort(k, levels):
    draw = torch.Generator().manual_seed(k)
    x = torch.randint(levels, (60, 777), generator=draw).float()
    value, column = torch.sort(x, dim=1, descending=True, stable=True)
    got = largest(x, k)
    assert torch.equal(got[0], value[:, :k])
    assert torch.equal(got[1], column[:, :k])


def by_sklearn_ridge(bank, labels, queries, penalty):
    bank, queries = bank.double().numpy(), queries.double().numpy()
    mean, scale = bank.mean(0), bank.std(0) + 1e-5
    target = 2 * np.eye(int(labels.max()) + 1)[labels] - 1
    fit = Ridge(penalty, solver="svd").fit((bank - mean) / scale, target)
    return fit.predict((queries - mean) / scale)


@pytest.mark.parametrize("n", [400, 60, 30])  # summed, kept, dual
@pytest.mark.parametrize("offset", [0.0, 60.0])
def test_ridge_is_that_of_scikit_learn(n, offset):
    bank, labels = data(n, 40, offset=offset)
    queries, _ = data(50, 40, seed=1, offset=offset)
    penalties = (2.0**-10, 1.0, 1000.0)
    got = probes.ridge(bank, labels, queries, penalties)
    single = probes.ridge(bank.float(), labels, queries.float(), penalties)
    rounded = bank.float(), labels, queries.float()
    for i, p in enumerate(penalties):
        want = by_sklearn_ridge(bank, labels, queries, p)
        np.testing.assert_allclose(got[i], want, atol=1e-7)
        want = by_sklearn_ridge(*rounded, p)
        np.testing.assert_allclose(single[i], want, atol=5e-4)


@pytest.mark.parametrize("n", [500, 45, 20])
def test_streamed_and_merged_ridge_equals_one_piece(n):
    bank, labels = data(n, 10, offset=5.0)
    queries, _ = data(20, 10, seed=1, offset=5.0)
    whole = probes.ridge(bank, labels, queries, [0.1, 10.0])
    parts = [probes.RidgeStatistics([CLASSES]) for _ in range(3)]
    for i, rows in enumerate(torch.arange(n).split(7)):
        # the last part sees few images, the first ones many
        part = parts[0 if i % 2 else 1 if i else 2]
        part.update(bank[rows], labels[rows])
    for order in ((0, 1, 2), (2, 1, 0)):
        merged = probes.RidgeStatistics([CLASSES])
        for i in order:
            merged.merge(parts[i])
        got = merged.solve().scores(queries, [0.1, 10.0])
        torch.testing.assert_close(got, whole, atol=1e-8, rtol=0)


def test_streamed_ridge_keeps_no_images():
    statistics = probes.RidgeStatistics([CLASSES])
    bank, labels = data(5000, 10)
    for x, y in zip(bank.split(50), labels.split(50), strict=True):
        statistics.update(x, y)
    assert not statistics._rows
    assert statistics.images == 5000


def test_sets_of_labels_are_fitted_as_if_alone():
    bank, labels = data()
    other = (torch.arange(len(bank)) // 7) % 3
    queries, _ = data(20, seed=1)
    fit = probes.RidgeStatistics([CLASSES, 3])
    fit.update(bank, torch.stack([labels, other], 1))
    both = fit.solve().scores(queries, [1.0])
    for part, y in zip(
        both.split([CLASSES, 3], 2), (labels, other), strict=True
    ):
        torch.testing.assert_close(part, probes.ridge(bank, y, queries, [1.0]))


@pytest.mark.parametrize(("n", "d"), [(300, 12), (40, 60)])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_logistic_is_that_of_scikit_learn(n, d, offset):
    bank, labels = data(n, d, offset=offset)
    queries, _ = data(50, d, seed=1, offset=offset)
    got = probes.logistic(bank, labels, queries, (0.1, 1.0, 100.0))
    assert all(got.converged)
    for logits, p in zip(got.logits, (0.1, 1.0, 100.0), strict=True):
        fit = LogisticRegression(
            C=1 / p, tol=1e-10, max_iter=10_000, solver="newton-cg"
        )
        want = fit.fit(bank, labels).predict_proba(queries)
        np.testing.assert_allclose(logits.softmax(1), want, atol=1e-4)


def test_logistic_that_has_not_converged_says_so():
    bank, labels = data()
    with pytest.warns(probes.NotConverged, match=r"penalty 0\.01"):
        got = probes.logistic(bank, labels, bank, [1e-2, 1e6], max_steps=3)
    assert got.converged == (False, True)
    assert got.steps[0] == 3


def test_two_classes_and_far_separated_ones():
    bank, labels = data(100)
    labels = labels % 2
    apart = bank + 100 * labels[:, None]
    for x in (bank, apart):
        got = probes.logistic(x, labels, x, [1e-3])
        assert all(got.converged)
        assert torch.isfinite(got.logits).all()


@pytest.mark.parametrize("probe", ["knn", "ridge", "logistic"])
def test_readout_chooses_on_held_out_images(probe):
    bank, labels = data(400)
    queries, truth = data(100, seed=1)
    grid = [1, 5, 100]
    got = probes.readout(bank, labels, queries, probe, grid)
    assert sorted(got.tried) == grid
    assert got.tried[got.setting] == max(got.tried.values())
    held = hold_out([labels], 0.2, 0)
    alone = probes.readout(
        bank[~held], labels[~held], bank[held], probe, [5], held_out=0
    )
    right = alone.scores.argmax(1) == labels[held]
    assert got.tried[5] == pytest.approx(float(right.double().mean()))
    final = probes.readout(
        bank, labels, queries, probe, [got.setting], held_out=0
    )
    torch.testing.assert_close(got.scores, final.scores)
    assert final.tried == {}
    accuracy = (got.scores.argmax(1) == truth).double().mean()
    assert accuracy > 0.5


def test_readout_standardises_as_the_papers_do():
    bank, labels = data(200)
    queries, _ = data(30, seed=1)
    scale = 10.0 ** torch.linspace(-2, 2, 12, dtype=torch.float64)
    for probe in ("ridge", "logistic"):
        plain = probes.readout(bank, labels, queries, probe, [1.0])
        scaled = probes.readout(
            3 + bank * scale, labels, 3 + queries * scale, probe, [1.0]
        )
        torch.testing.assert_close(
            scaled.scores, plain.scores, atol=2e-2, rtol=0
        )


def test_what_is_held_out_is_stratified():
    labels = torch.tensor([0] * 50 + [1] * 10 + [2] * 2 + [3])
    rare = torch.zeros(63, dtype=torch.int64)
    held = hold_out([labels], 0.2, 0)
    assert torch.bincount(labels[held], minlength=4).tolist() == [10, 2, 1, 0]
    rare[held.nonzero()[0]] = 1  # a class with one image, now held out
    held = hold_out([labels, rare], 0.2, 0)
    assert not held[rare == 1].any()
    with pytest.raises(ValueError, match="every class has one"):
        hold_out([torch.arange(5)], 0.2, 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        hold_out([labels], 1.0, 0)


@pytest.mark.parametrize("probe", ["knn", "ridge", "logistic"])
class TestBadInput:
    """No probe answers bad input with a number."""

    def read(self, probe, bank, labels, queries=None):
        queries = data(20, seed=1)[0] if queries is None else queries
        grid = [5] if probe == "knn" else [1.0]
        direct = {"knn": 5, "ridge": grid, "logistic": grid}[probe]
        with pytest.raises(ValueError, match=" ") as first:
            getattr(probes, probe)(bank, labels, queries, direct)
        with pytest.raises(ValueError, match=" ") as second:
            probes.readout(bank, labels, queries, probe, grid)
        assert str(first.value) == str(second.value)
        return str(first.value)

    def test_a_class_without_images(self, probe):
        bank, labels = data()
        said = self.read(probe, bank, torch.where(labels == 2, 1, labels))
        assert said.startswith("1 of 5 classes have no training image (2)")

    def test_fewer_images_than_classes(self, probe):
        bank, _ = data(20)
        said = self.read(probe, bank, torch.arange(20) + 3)
        assert "20 training images cannot cover 23 classes" in said

    def test_nan(self, probe):
        bank, labels = data()
        bank[7, 3] = np.nan
        bank[9, 3] = np.inf
        said = self.read(probe, bank, labels)
        assert "bank features are NaN or infinite in 2 of 300" in said
        clean, _ = data()
        said = self.read(probe, clean, labels, bank[:8])
        assert "query features are NaN or infinite in 1 of 8" in said

    def test_unequal_lengths(self, probe):
        bank, labels = data()
        assert "300 images need 300" in self.read(probe, bank, labels[:-1])
        said = self.read(probe, bank, labels, bank[:, :5])
        assert "queries have 5 features, the bank 12" in said

    def test_labels_that_are_no_classes(self, probe):
        bank, labels = data()
        assert "whole numbers" in self.read(probe, bank, labels / 2)
        assert "whole numbers" in self.read(probe, bank, labels - 1)

    def test_constant_features(self, probe):
        bank, labels = data()
        same = bank[:1].expand(300, -1)
        assert "same for all images" in self.read(probe, same, labels)
        noise = 1e-8 * torch.randn(300, 12)
        rounded = (100 + noise.double()).float()
        assert "same for all images" in self.read(probe, rounded, labels)

    def test_constant_columns_are_harmless(self, probe):
        bank, labels = data()
        queries, _ = data(20, seed=1)
        still = torch.full((300, 3), 0.0), torch.full((20, 3), 0.0)
        grid = [5]
        plain = probes.readout(bank, labels, queries, probe, grid)
        wider = probes.readout(
            torch.cat([bank, still[0]], 1),
            labels,
            torch.cat([queries, still[1]], 1),
            probe,
            grid,
        )
        torch.testing.assert_close(
            wider.scores, plain.scores, atol=1e-5, rtol=0
        )

    def test_settings_that_make_no_sense(self, probe):
        bank, labels = data()
        for grid in ([], [0.0], [-1.0], [float("nan")]):
            with pytest.raises(ValueError, match="must be positive"):
                probes.readout(bank, labels, bank, probe, grid)


def test_k_must_fit_the_bank():
    bank, labels = data(40)
    with pytest.raises(ValueError, match="k = 41, but the bank holds 40"):
        probes.knn(bank, labels, bank, k=41)
    with pytest.raises(ValueError, match="at least 1"):
        probes.knn(bank, labels, bank, k=0)
    with pytest.raises(ValueError, match="whole number"):
        probes.readout(bank, labels, bank, "knn", [2.5])
    with pytest.raises(ValueError, match="needs labels"):
        probes.knn(bank, None, bank)
    with pytest.raises(ValueError, match="temperature"):
        probes.knn(bank, labels, bank, temperature=0.0)


@pytest.mark.parametrize("probe", ["knn", "ridge", "logistic"])
def test_one_class_leaves_nothing_to_tell_apart(probe):
    bank, labels = data(40)
    with pytest.raises(ValueError, match="all images have one class"):
        probes.readout(bank, torch.zeros_like(labels), bank, probe)


def test_an_unknown_probe_is_refused():
    bank, labels = data()
    with pytest.raises(ValueError, match="nearest: 'ridge'"):
        probes.readout(bank, labels, bank, "rigde")


@pytest.fixture(scope="module")
def model():
    return models.load("lab/vit_narrow?random")


@pytest.fixture(scope="module")
def sets():
    return (
        images.load("wardrobe", "train", limit=150),
        images.load("wardrobe", limit=40),
    )


def test_layerwise_is_one_pass_and_agrees_with_the_parts(model, sets):
    passes = []
    counter = model.module.blocks[0].register_forward_hook(
        lambda _m, _i, y: passes.append(len(y))
    )
    try:
        found = probes.layerwise(
            *(model, *sets, "blocks.2-3.out", ("cls", "mean", 5)),
            targets=("garment", "fabric"),
            settings={"knn": (5,), "ridge": (1.0, 100.0)},
            batch_size=50,
        )
    finally:
        counter.remove()
    assert sum(passes) == 190
    table = found.table
    assert len(table) == 2 * 3 * 2 * 2
    assert list(dict.fromkeys(table.layer)) == ["blocks.2.out", "blocks.3.out"]
    assert table.attrs["bank"] == 150
    np.testing.assert_allclose(table.accuracy, found.right.mean(1))
    assert (table.low < table.accuracy).all()
    assert (table.accuracy < table.high).all()
    pooled = []
    for part in sets:
        tokens = []
        handle = model.module.blocks[3].register_forward_hook(
            lambda _m, _i, y, tokens=tokens: tokens.append(y)
        )
        for _, (x,) in part.batches(model, batch_size=64):
            model(x)
        handle.remove()
        pooled.append(torch.cat(tokens)[:, 5])
    labels = torch.as_tensor(sets[0].targets["fabric"])
    guess = probes.knn(pooled[0], labels, pooled[1], 5).argmax(1).numpy()
    where = {"tokens": 5, "probe": "knn", "target": "fabric"}
    right = found.correct(**where, layer="blocks.3.out")
    assert right.shape == (40, 1)
    assert np.array_equal(right[:, 0], guess == sets[1].targets["fabric"])
    assert found.correct(**where).shape == (40, 2)
    with pytest.raises(ValueError, match="nearest: 'fabric'"):
        found.correct(target="fabrics")
    with pytest.raises(ValueError, match="nearest: 'tokens'"):
        found.correct(token="cls")


def test_constant_layers_are_nan_and_said(model, sets):
    with pytest.warns(UserWarning, match=r"blocks\.0\.ln1 \(cls\)"):
        found = probes.layerwise(
            *(model, *sets, "blocks.0.ln1,blocks.0.out", ("cls",)),
            probes=("ridge",),
            targets=("garment",),
        )
    nan = found.table.accuracy.isna().tolist()
    assert nan == [True, False]
    assert np.isnan(found.right).all(1).tolist() == nan


def test_layerwise_refuses_what_it_cannot_measure(model, sets):
    train, test = sets
    with pytest.raises(ValueError, match="nearest: 'garment'"):
        probes.layerwise(model, train, test, targets=("garments",))
    with pytest.raises(ValueError, match=r"target 'class': .* no training"):
        probes.layerwise(model, train, test, targets=("class",))
    with pytest.raises(ValueError, match="both in the bank and"):
        probes.layerwise(model, test, test, targets=("garment",))
    with pytest.raises(ValueError, match="not one vector per image"):
        probes.layerwise(model, train, test, tokens=("all",))
    with pytest.raises(ValueError, match="nearest: 'ridge'"):
        probes.layerwise(model, train, test, probes=("rigde",))
    digits = images.load("digits", limit=20)
    with pytest.raises(ValueError, match="same classes of 'class'"):
        probes.layerwise(model, train, digits)


def test_targets_are_chosen_by_name():
    wardrobe = images.load("wardrobe", limit=2)
    digits = images.load("digits", limit=2)
    wanted = "garment, class"
    assert probes.targets_of(wardrobe, wanted) == ["garment", "class"]
    assert probes.targets_of(digits, wanted) == ["class"]
    assert probes.targets_of(digits, "fabric") == ["class"]
    with pytest.raises(ValueError, match="nearest: 'garment'"):
        probes.targets_of(digits, "garmet")


def test_interval_of_a_share_is_that_of_the_bootstrap():
    right = np.arange(400) % 5 < 2
    boot = claims.bootstrap(np.mean, right, repeats=4000)
    share = stats.binomtest(int(right.sum()), 400)
    wilson = share.proportion_ci(0.95, "wilson")
    np.testing.assert_allclose(
        [boot.low, boot.high], [wilson.low, wilson.high], atol=0.006
    )


def test_a_probe_leaves_its_inputs_alone():
    bank, labels = data(60)
    queries, _ = data(20, seed=1)
    before = bank.clone(), labels.clone(), queries.clone()
    probes.knn(bank, labels, queries)
    probes.logistic(bank, labels, queries)
    statistics = probes.RidgeStatistics([CLASSES]).update(bank, labels)
    want = statistics.solve().scores(queries, [1.0])
    assert all(map(torch.equal, before, (bank, labels, queries)))
    bank.zero_()  # what was taken in does not change with the caller's
    assert torch.equal(statistics.solve().scores(queries, [1.0]), want)
