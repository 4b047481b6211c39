"""CKA, regression and CCA against scikit-learn, scipy and invariances."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes, subspace_angles
from scipy.spatial.distance import pdist
from scipy.stats import rankdata
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import NearestNeighbors

from helpers.cka.minibatch import MinibatchCKA
from helpers.cka.other_indices import (
    all_pairs,
    linear_cka,
    linear_regression_r2,
    mean_cca,
    mutual_neighbours,
    procrustes_similarity,
    representational_similarity,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(80, 6)) * np.geomspace(1, 9, 6)
Y = X @ rng.normal(size=(6, 9)) + 8 * rng.normal(size=(80, 9))
TURN = np.linalg.qr(rng.normal(size=(6, 6)))[0]
BEND = TURN @ np.diag(np.geomspace(1, 30, 6))


def test_unbiased_cka_is_that_of_the_engine():
    got = MinibatchCKA().update([X], [Y]).compute().cka[0, 0]
    assert linear_cka(X, Y) == pytest.approx(got)


def test_unrelated_features_are_near_zero_also_in_many_dimensions():
    pairs = rng.normal(size=(10, 2, 32, 768))
    assert abs(np.mean([linear_cka(x, y) for x, y in pairs])) < 0.05


def test_regression_is_that_of_scikit_learn():
    fit = LinearRegression().fit(Y, X).predict(Y)
    want = 1 - ((X - fit) ** 2).sum() / ((X - X.mean(0)) ** 2).sum()
    assert linear_regression_r2(X, Y) == pytest.approx(want)


def test_cca_is_that_of_principal_angles():
    angles = subspace_angles(X - X.mean(0), Y - Y.mean(0))
    assert mean_cca(X, Y) == pytest.approx(np.mean(np.cos(angles) ** 2))


def test_mutual_neighbours_are_those_of_scikit_learn():
    sets = [
        NearestNeighbors(n_neighbors=7)
        .fit(f)
        .kneighbors(return_distance=False)
        for f in (X, Y)
    ]
    each = [len({*a} & {*b}) / 7 for a, b in zip(*sets, strict=True)]
    assert mutual_neighbours(X, Y, 7) == pytest.approx(np.mean(each))
    assert mutual_neighbours(X, 3 * X @ TURN + 7, 7) == 1
    with pytest.raises(ValueError, match="1 to 79 neighbours, got 80"):
        mutual_neighbours(X, Y, 80)


def test_procrustes_is_what_the_best_rotation_leaves():
    x, y = (f - f.mean(0) for f in (X, Y[:, :6]))
    x, y = (f / np.linalg.norm(f) for f in (x, y))
    turn, _ = orthogonal_procrustes(x, y)
    left = np.linalg.norm(x @ turn - y) ** 2
    want = 1 - left / 2
    assert procrustes_similarity(X, Y[:, :6]) == pytest.approx(want)
    assert procrustes_similarity(X, 3 * X @ TURN + 7) == pytest.approx(1)


def test_rsa_is_the_correlation_of_ranks_of_distances():
    ranks = [rankdata(pdist(f, "correlation")) for f in (X, Y)]
    want = np.corrcoef(*ranks)[0, 1]
    assert representational_similarity(X, Y) == pytest.approx(want)
    assert representational_similarity(X, 3 * X) == pytest.approx(1)


def test_cca_of_features_of_lower_rank():
    doubled = np.hstack([X, X])  # rank 6 in 12 columns
    assert mean_cca(doubled, Y) == pytest.approx(mean_cca(X, Y))


def test_all_pairs_are_the_single_measures():
    xs, ys = [X, X @ BEND], [Y, X[:, :3], Y**2]
    maps = all_pairs(xs, ys)
    single = [linear_cka, mean_cca, linear_regression_r2]
    for found, measure in zip(maps.values(), single, strict=True):
        want = [[measure(x, y) for y in ys] for x in xs]
        np.testing.assert_allclose(found, want, rtol=1e-6)


@pytest.mark.parametrize("index", [linear_cka, linear_regression_r2, mean_cca])
def test_all_ignore_rotation_scale_and_shift(index):
    moved = 3 * X @ TURN + 7
    assert index(moved, Y) == pytest.approx(index(X, Y))
    assert index(Y, moved) == pytest.approx(index(Y, X))
    assert index(X, moved) == pytest.approx(1)


def test_who_ignores_invertible_linear_maps():
    assert mean_cca(X @ BEND, Y) == pytest.approx(mean_cca(X, Y))
    assert mean_cca(Y, X @ BEND) == pytest.approx(mean_cca(Y, X))
    same = linear_regression_r2(Y, X)
    assert linear_regression_r2(Y, X @ BEND) == pytest.approx(same)
    other = linear_regression_r2(X, Y)
    assert abs(linear_regression_r2(X @ BEND, Y) - other) > 0.01
    assert abs(linear_cka(X @ BEND, Y) - linear_cka(X, Y)) > 0.01


@pytest.mark.parametrize(
    "index",
    [
        *(linear_cka, linear_regression_r2, mean_cca, mutual_neighbours),
        *(procrustes_similarity, representational_similarity),
    ],
)
def test_bad_features_are_refused(index):
    with pytest.raises(ValueError, match="same images"):
        index(X, Y[:-1])
    with pytest.raises(ValueError, match="y has NaN"):
        index(X, np.where(Y > 9, np.nan, Y))
    with pytest.raises(ValueError, match="y is the same for all"):
        index(X, np.full((80, 3), 0.1))
