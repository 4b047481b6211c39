"""Kendall's tau on top-k lists against scipy, image by image."""

import numpy as np
import pytest
from scipy.stats import kendalltau, rankdata

from helpers.measures.kendall import DEFINITIONS, tau

rng = np.random.default_rng(0)
A = rng.normal(size=(20, 30))
B = A + rng.normal(size=A.shape)
TIED_A, TIED_B = A.round(), B.round()


def first(scores, k):
    """The k highest, the earlier one of a tie."""
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]


def on_top(a, b, k):
    both = [kendalltau(a[t], b[t]) for t in (first(a, k), first(b, k))]
    return np.mean([found.statistic for found in both])


def clipped(a, b, k):
    ranks = []
    for scores in (a, b):
        rank = np.full(len(scores), k + 1.0)
        top = first(scores, k)
        rank[top] = rankdata(-scores[top], method="min")
        ranks.append(rank)
    return kendalltau(*ranks).statistic


def union(a, b, k):
    either = sorted({*first(a, k), *first(b, k)})
    return kendalltau(a[either], b[either]).statistic


def indices(a, b, k):
    return kendalltau(first(a, k), first(b, k)).statistic


ORACLES = {
    "top": on_top,
    "clipped": clipped,
    "union": union,
    "indices": indices,
}


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("k", [2, 5, 29, 30])
@pytest.mark.parametrize("pair", [(A, B), (TIED_A, TIED_B)])
def test_every_definition_is_that_of_scipy(name, k, pair):
    with np.errstate(invalid="ignore"):
        want = [ORACLES[name](a, b, k) for a, b in zip(*pair, strict=True)]
    np.testing.assert_allclose(DEFINITIONS[name](*pair, k), want, atol=1e-12)


@pytest.mark.parametrize("name", ["top", "clipped", "union"])
def test_with_all_classes_on_top_it_is_plain_tau(name):
    want = [kendalltau(a, b).statistic for a, b in zip(A, B, strict=True)]
    np.testing.assert_allclose(DEFINITIONS[name](A, B, A.shape[1]), want)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_symmetric_and_blind_to_monotone_maps(name):
    found = DEFINITIONS[name](A, B, 7)
    np.testing.assert_allclose(DEFINITIONS[name](B, A, 7), found)
    np.testing.assert_allclose(DEFINITIONS[name](np.exp(A), 3 * B, 7), found)
    np.testing.assert_allclose(DEFINITIONS[name](A, np.tanh(A), 7), 1)


@pytest.mark.parametrize(
    ("name", "k", "want"),
    [
        *(("top", k, 0) for k in (5, 10, 100)),
        *(("clipped", k, 0) for k in (5, 10, 100)),
        *(("union", 5, -0.55), ("union", 10, -0.52), ("union", 100, -0.45)),
    ],
)
def test_value_for_unrelated_models(name, k, want):
    x, y = np.random.default_rng(k).normal(size=(2, 400, 1000))
    each = DEFINITIONS[name](x, y, k)
    assert abs(each.mean() - want) < 0.01 + 3 * each.std() / len(each) ** 0.5


def test_weights_stand_for_tied_things():
    x, y = TIED_A[:, :6], TIED_B[:, :6]
    many = np.array([3, 1, 0, 2, 1, 40])
    want = tau(np.repeat(x, many, 1), np.repeat(y, many, 1))
    np.testing.assert_allclose(tau(x, y, many), want)


def test_chunks_do_not_show(monkeypatch):
    want = tau(A, B)
    monkeypatch.setattr("helpers.measures.kendall.CHUNK", 2000)
    np.testing.assert_array_equal(tau(A, B), want)


def test_a_constant_row_is_undefined_and_shapes_must_fit():
    found = tau([[1, 1, 1], [1, 2, 3]], [[1, 2, 3], [1, 3, 2]])
    np.testing.assert_allclose(found, [np.nan, 1 / 3])
    with pytest.raises(ValueError, match=r"not \(20, 30\) and \(20, 29\)"):
        tau(A, B[:, :29])
