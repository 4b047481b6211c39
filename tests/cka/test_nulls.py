"""Permutation nulls against literal loops, another package, and uniformity."""

import numpy as np
import pytest
import torch
from calibrated_similarity import calibrate as their_calibrate
from calibrated_similarity import calibrate_layers
from scipy import stats

from helpers.cka import nulls
from helpers.cka.grams import of_features
from helpers.cka.hsic import hsic1
from helpers.cka.minibatch import MinibatchCKA
from helpers.cka.permuted import orders

rng = np.random.default_rng(0)
X = [rng.normal(size=(64, d)) for d in (5, 9, 30)]
Y = [X[0] @ rng.normal(size=(5, 7)) + 2 * rng.normal(size=(64, 7)), X[2] ** 2]


def drawn(count, sizes, seed=0):
    """The permutations of each minibatch, in order."""
    generator = torch.Generator().manual_seed(seed)
    return [orders(n, count, generator).numpy() for n in sizes]


@pytest.mark.parametrize("size", [16, 64])
def test_each_map_is_that_of_features_permuted_by_hand(size):
    null = nulls.permutation_null(
        of_features(X, size), of_features(Y, size), 3, seed=5
    )
    parts = drawn(3, [size] * (64 // size), 5)
    for k in range(3):
        engine = MinibatchCKA()
        for start, order in zip(range(0, 64, size), parts, strict=True):
            mixed = start + order[k]
            engine.update(
                [x[start : start + size] for x in X], [y[mixed] for y in Y]
            )
        want = engine.compute().cka
        np.testing.assert_allclose(null.values[k], want, atol=1e-12)


def unbiased_cka(x, y):
    x, y = x.double().numpy(), y.double().numpy()
    K, L = x @ x.T, y @ y.T
    return torch.tensor(hsic1(K, L) / np.sqrt(hsic1(K, K) * hsic1(L, L)))


def in_turn(permutations):
    """Hand out given permutations, one a call."""
    rows = iter(permutations)
    return lambda _n, _device: torch.as_tensor(next(rows))


def test_one_cell_is_that_of_another_package():
    """`calibrated-similarity`, by the authors of the method."""
    null = nulls.permutation_null(of_features(X, 64), of_features(Y, 64), 60)
    (order,) = drawn(60, [64])
    x, y = torch.tensor(X[0]), torch.tensor(Y[0])
    score, p, threshold = their_calibrate(
        x, y, unbiased_cka, K=60, perm_fn=in_turn(order)
    )
    assert null.calibrated()[0, 0] == pytest.approx(float(score), abs=1e-6)
    assert null.p()[0, 0] == pytest.approx(float(p))
    assert null.threshold()[0, 0] == pytest.approx(float(threshold), abs=1e-6)


def test_the_best_of_all_cells_is_that_of_another_package():
    null = nulls.permutation_null(of_features(X, 64), of_features(Y, 64), 40)
    found = nulls.calibrate(np.max, null)
    (order,) = drawn(40, [64])
    score, p, threshold = calibrate_layers(
        *([torch.tensor(f) for f in side] for side in (X, Y)),
        unbiased_cka,
        K=40,
        perm_fn=in_turn(order),
    )
    assert found.calibrated == pytest.approx(float(score), abs=1e-6)
    assert found.p == pytest.approx(float(p))
    assert found.threshold == pytest.approx(float(threshold), abs=1e-6)


def ranks(link, effect=None):
    """The p of 500 runs, spread evenly within the steps of 1 / 20."""
    generator = np.random.default_rng(1)
    found = []
    for run in range(500):
        x, y = generator.normal(size=(2, 2, 24, 3))
        y = y + link * x
        sides = (of_features(list(side), 12) for side in (x, y))
        null = nulls.permutation_null(*sides, permutations=19, seed=run)
        p = nulls.calibrate(effect, null).p if effect else null.p()[0, 0]
        found.append(p - generator.uniform(0, 1 / 20))
    return stats.kstest(found, "uniform").pvalue


@pytest.mark.parametrize("effect", [None, np.max])
def test_p_is_uniform_for_independent_features(effect):
    assert ranks(0, effect) > 0.01


def test_p_is_not_uniform_for_related_features():
    """So the test above can fail."""
    assert ranks(0.3) < 1e-6


def test_the_p_of_a_search_is_larger_than_that_of_the_cell_found():
    x, y = rng.normal(size=(2, 12, 32, 4))
    null = nulls.permutation_null(
        of_features(list(x), 32), of_features(list(y), 32)
    )
    best = np.unravel_index(null.observed.argmax(), null.observed.shape)
    assert nulls.calibrate(np.max, null).p > null.p()[best]


def test_relatives_are_searched_with_the_same_permutations():
    x = of_features(X[:1], 16)
    both = [
        nulls.permutation_null(x, of_features([y], 16), 30, seed=2) for y in Y
    ]
    found = nulls.calibrate(lambda a, b: max(a[0, 0], b[0, 0]), *both)
    joined = nulls.permutation_null(x, of_features(Y, 16), 30, seed=2)
    assert found == nulls.calibrate(np.max, joined)
    other = nulls.permutation_null(x, x, 30, seed=3)
    with pytest.raises(ValueError, match="same permutations"):
        nulls.calibrate(lambda a, _: a[0, 0], both[0], other)


def test_the_biased_estimate_is_that_of_centred_features():
    null = nulls.permutation_null(
        of_features(X[:1], 64), of_features(Y[:1], 64), 2, biased=True
    )
    x, y = (f - f.mean(0) for f in (X[0], Y[0]))
    (order,) = drawn(2, [64])
    for value, rows in zip(
        (null.observed, *null.values), (np.arange(64), *order), strict=True
    ):
        top = np.linalg.norm(x.T @ y[rows]) ** 2
        want = top / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)
        assert value[0, 0] == pytest.approx(want)


def test_neighbours_are_those_of_a_literal_count():
    null = nulls.neighbour_null(
        of_features(X, 32), of_features(Y, 32), 4, 2, seed=7
    )
    parts = drawn(2, [32, 32], 7)

    def sets(features):
        away = ((features[:, None] - features[None]) ** 2).sum(-1)
        np.fill_diagonal(away, np.inf)
        return [set(row[:4]) for row in away.argsort(1)]

    for k, value in enumerate((null.observed, *null.values)):
        for a, x in enumerate(X):
            for b, y in enumerate(Y):
                common = 0
                for start, order in zip((0, 32), parts, strict=True):
                    rows = order[k - 1] if k else np.arange(32)
                    own = sets(x[start : start + 32])
                    other = sets(y[start + rows])
                    pairs = zip(own, other, strict=True)
                    common += sum(len(s & t) for s, t in pairs)
                assert value[a, b] == pytest.approx(common / (64 * 4))


def test_a_layer_that_does_not_vary_is_undefined():
    still = of_features([np.ones((64, 3)), X[0]], 16)
    null = nulls.permutation_null(still, of_features(Y, 16), 9)
    for map_ in (null.observed, null.p(), null.calibrated()):
        assert np.isnan(map_[0]).all()
        assert np.isfinite(map_[1]).all()
    assert np.isfinite(nulls.calibrate(np.nanmax, null).p)


def test_a_table_has_a_row_per_cell():
    null = nulls.permutation_null(of_features(X, 16), of_features(Y, 16), 9)
    table = null.table().set_index(["layer_x", "layer_y"])
    assert table.loc[("3", "2")].value == null.observed[2, 1]
    assert table.loc[("2", "1")].p == null.p()[1, 0]
    mean = null.values[:, 0, 1].mean()
    assert table.loc[("1", "2")].chance == pytest.approx(mean)


def test_bad_requests_are_refused():
    x, y = of_features(X, 16), of_features(Y, 16)
    with pytest.raises(ValueError, match="same images"):
        nulls.permutation_null(x, of_features(Y, 32))
    with pytest.raises(ValueError, match="1 permutation or more, got 0"):
        nulls.permutation_null(x, y, 0)
    with pytest.raises(ValueError, match="1 to 15 neighbours, got 16"):
        nulls.neighbour_null(x, y, 16)
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        nulls.permutation_null(x, y, 2).calibrated(1)
