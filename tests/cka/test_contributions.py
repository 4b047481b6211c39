"""Contributions of images against leave-one-out and literal sums."""

import numpy as np
import pytest
import torch

from helpers.cka.contributions import contributions, share_of_the_top
from helpers.cka.grams import of_features
from helpers.cka.hsic import gram, hsic1
from helpers.cka.minibatch import MinibatchCKA

rng = np.random.default_rng(0)
X = [rng.normal(size=(48, d)) for d in (5, 9, 300)]
Y = [X[0] @ rng.normal(size=(5, 7)) + rng.normal(size=(48, 7)), X[2] ** 2]


def split(size):
    return contributions(of_features(X, size), of_features(Y, size))


def u_centred(features):
    """Literally as Szekely and Rizzo 2014 write it, entry by entry."""
    K = features @ features.T
    n = len(K)
    np.fill_diagonal(K, 0)
    out = np.zeros_like(K)
    for i in range(n):
        for j in range(n):
            if i != j:
                out[i, j] = K[i, j] - (K[i].sum() + K[:, j].sum()) / (n - 2)
                out[i, j] += K.sum() / ((n - 1) * (n - 2))
    return out


@pytest.mark.parametrize("size", [12, 16, 48])
def test_they_add_up_to_hsic_and_to_cka(size):
    found = split(size)
    mean = np.zeros((3, 2))
    for start in range(0, 48, size):
        own = slice(start, start + size)
        for a, x in enumerate(X):
            for b, y in enumerate(Y):
                value = hsic1(x[own] @ x[own].T, y[own] @ y[own].T)
                mean[a, b] += value / (48 // size)
    np.testing.assert_allclose(found.hsic.sum(0), mean, rtol=1e-12, atol=1e-12)
    engine = MinibatchCKA()
    for start in range(0, 48, size):
        own = slice(start, start + size)
        engine.update([x[own] for x in X], [y[own] for y in Y])
    want = engine.compute().cka
    np.testing.assert_allclose(found.cka.sum(0), want, atol=1e-12)


def test_each_is_a_literal_row_sum():
    found = split(48).hsic
    for a, x in enumerate(X):
        for b, y in enumerate(Y):
            rows = (u_centred(x) * u_centred(y)).sum(1) / (48 * 45)
            np.testing.assert_allclose(found[:, a, b], rows, atol=1e-12)


def test_each_is_what_leaving_the_image_out_says():
    n, found = 48, split(48).hsic
    for i in (0, 7, 47):
        for a, x in enumerate(X):
            for b, y in enumerate(Y):
                u, v = (np.delete(f, i, 0) for f in (x, y))
                rest = hsic1(u @ u.T, v @ v.T)
                whole = n * (n - 3) * hsic1(x @ x.T, y @ y.T)
                lost = whole - (n - 1) * (n - 4) * rest
                want = lost / (2 * n * (n - 2))
                assert found[i, a, b] == pytest.approx(want, abs=1e-12)


def test_an_outlier_that_both_see_holds_the_value():
    x, y = rng.normal(size=(2, 64, 4))
    x[5], y[5] = 30, 20
    own, other = of_features([x], 64), of_features([y], 64)
    found = contributions(own, other)
    assert found.strongest_of_map(0.01).tolist() == [5]
    assert found.share(0.01)[0, 0] > 0.4
    twice = contributions(own, of_features([-y], 64))  # a sign is a rotation
    np.testing.assert_allclose(twice.hsic, found.hsic, atol=1e-9)


def test_the_share_of_all_is_one_and_of_the_top_more_than_its_part():
    found = split(16)
    np.testing.assert_allclose(found.share(1), 1)
    positive = found.hsic.sum(0) > 0
    assert (found.share(1 / 16)[positive] > 1 / 16).all()


def test_concentration_is_a_running_sum_from_the_strongest_down():
    found = split(16)
    mean = np.sort(found.cka.mean((1, 2)))[::-1]
    table = found.concentration()
    for images, held in table.itertuples(index=False):
        count = round(images * 48)
        assert held == pytest.approx(mean[:count].sum() / mean.sum())
    assert table.held.iloc[-1] == pytest.approx(1)
    assert table.held.iloc[0] == pytest.approx(share_of_the_top(mean, 0.01))


def test_the_strongest_are_listed_in_order_for_each_cell():
    found = split(16)
    table = found.strongest(3)
    assert len(table) == 3 * 2 * 2 * 3
    cell = table[(table.layer_x == "3") & (table.layer_y == "2")]
    own = found.cka[:, 2, 1]
    best, worst = (cell[cell.side == s] for s in ("for", "against"))
    assert best.image.tolist() == np.argsort(-own)[:3].tolist()
    assert worst.image.tolist() == np.argsort(own)[:3].tolist()
    assert best.contribution.tolist() == sorted(own)[::-1][:3]
    assert best["rank"].tolist() == [1, 2, 3]


def test_images_keep_their_positions_when_others_are_left_out():
    x, y = (of_features(f, 16).without([0, 17]) for f in (X, Y))
    found = contributions(x, y)
    assert found.images.tolist() == [i for i in range(48) if i not in (0, 17)]
    again = contributions(
        *(of_features([f[1:16] for f in s], 15) for s in (X, Y))
    )
    np.testing.assert_allclose(found.hsic[:15], again.hsic / 3, atol=1e-12)


def test_a_layer_that_does_not_vary_is_undefined_and_not_listed():
    still = [*X[:2], np.ones((48, 4))]
    found = contributions(of_features(still, 16), of_features(Y, 16))
    assert np.isnan(found.cka[:, 2]).all()
    assert np.isfinite(found.cka[:, :2]).all()
    assert set(found.strongest(2).layer_x) == {"1", "2"}
    assert len(found.strongest_of_map(0.1)) == 5


def test_bad_requests_are_refused():
    found = split(16)
    with pytest.raises(ValueError, match="1 to 24 images a side"):
        found.strongest(25)
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        found.share(0)
    with pytest.raises(ValueError, match="48 in 3 and 48 in 4 minibatches"):
        contributions(of_features(X, 16), of_features(Y, 12))


def test_gram_matrices_of_float32_features_add_up_as_well():
    small = [torch.as_tensor(x, dtype=torch.float32) for x in X]
    found = contributions(of_features(small, 16), of_features(small, 16))
    engine = MinibatchCKA()
    for start in range(0, 48, 16):
        own = [gram(x[start : start + 16]) for x in small]
        engine.update_grams(own)
    want = engine.compute().cka
    np.testing.assert_allclose(found.cka.sum(0), want, atol=1e-12)
