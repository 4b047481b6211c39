"""Distances of image sets: closed forms, scipy, and what is known of them."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import spearmanr

from helpers import claims
from helpers.measures import shift


def samples(n, d=6, seed=0, offset=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(d, d))
    return offset + scale * rng.normal(size=(n, d)) @ mix


def test_frechet_equals_its_formula():
    x, y = samples(50), samples(40, seed=1, offset=0.5, scale=2.0)
    a, b = np.cov(x.T), np.cov(y.T)
    gap = x.mean(0) - y.mean(0)
    want = gap @ gap + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert shift.frechet(x, y) == pytest.approx(want)
    assert shift.frechet(x, x) == pytest.approx(0, abs=1e-9)


def test_frechet_with_more_features_than_images():
    x, y = samples(8, 20), samples(9, 20, seed=1)
    a, b = np.cov(x.T), np.cov(y.T)
    gap = x.mean(0) - y.mean(0)
    root = np.sqrt(np.linalg.eigvals(a @ b).astype(complex)).real.sum()
    want = gap @ gap + np.trace(a + b) - 2 * root
    assert shift.frechet(x, y) == pytest.approx(want, rel=1e-5)


def test_mmd_is_the_mean_over_pairs():
    x, y = samples(9), samples(7, seed=1, offset=0.3)
    xx, yy, xy = x @ x.T, y @ y.T, x @ y.T
    off = [k[~np.eye(len(k), dtype=bool)].mean() for k in (xx, yy)]
    assert shift.linear_mmd(x, y) == pytest.approx(sum(off) - 2 * xy.mean())


@pytest.mark.parametrize("measure", shift.DISTANCES)
def test_samples_of_one_distribution_are_about_0_apart(measure):
    pairs = [
        (samples(400, seed=s), samples(300, seed=-s - 1 + 2**31))
        for s in range(20)
    ]
    found = [shift.distance(x, y, measure) for x, y in pairs]
    covered = sum(e.low < 0 < e.high for e in found)
    assert covered >= 16
    plain = np.mean([shift.frechet(x, y) for x, y in pairs])
    assert abs(np.mean([e.value for e in found])) < 0.3 * plain


def test_finds_the_known_distance_of_two_gaussians():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2000, 4)), 1 + 3 * rng.normal(size=(2000, 4))
    found = shift.distance(x, y)
    assert found.low < 4 * 1 + 4 * (3 - 1) ** 2 < found.high
    assert found.high - found.low < 4
    means = shift.distance(x, y, "mmd")
    assert means.low < 4 < means.high


@pytest.mark.parametrize(
    ("x", "y", "measure", "words"),
    [
        (samples(99), samples(99), "frechett", "nearest: 'frechet'"),
        (samples(99), samples(39), "mmd", "at least 40 images"),
        (samples(99), samples(99, 5), "mmd", "expected"),
        (samples(99), samples(99)[:1], "mmd", "2 images a side"),
        (samples(99), samples(99) * np.nan, "mmd", "NaN"),
    ],
)
def test_bad_features_are_refused(x, y, measure, words):
    with pytest.raises(ValueError, match=words):
        shift.distance(x, y, measure)


def test_gap_is_a_paired_difference():
    frozen = np.arange(200) % 2
    found = claims.gap(np.ones(200), frozen)
    assert found.value == 0.5
    assert found.low == pytest.approx(0.43, abs=0.02)
    assert claims.gap(np.ones(200) > 0, frozen > 0) == found
    same = claims.gap(frozen, frozen)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_trend_is_spearmans_correlation():
    x, y = np.arange(8.0), np.array([1, 1, 4, 2, 5, 5, 9, 7])
    found, other = claims.trend(x, y), claims.trend(np.exp(x), -y)
    assert found.value == pytest.approx(spearmanr(x, y).statistic)
    assert other.value == pytest.approx(-found.value)
    assert other.low == pytest.approx(-found.high)
    z = np.arctanh([found.low, found.value, found.high])
    half = 1.959964 * np.sqrt((1 + found.value**2 / 2) / 5)
    np.testing.assert_allclose(np.diff(z), half, rtol=1e-6)


def test_trend_of_a_perfect_order_is_not_certain():
    found = claims.trend(range(6), range(6))
    assert found.value == found.high == 1
    assert 0 < found.low < 0.9
    assert np.isnan(claims.trend(range(6), [1] * 6).value)


def test_trend_covers_the_true_correlation():
    source, covered = np.random.default_rng(0), 0
    for _ in range(200):
        x = source.normal(size=9)
        found = claims.trend(x, source.normal(size=9))
        covered += found.low < 0 < found.high
    assert covered >= 180


@pytest.mark.parametrize(("x", "y"), [([1, 2, 3], [1, 2, 3]), ([1] * 4, [1])])
def test_trend_needs_data_sets(x, y):
    with pytest.raises(ValueError, match="4 data sets"):
        claims.trend(x, y)


def test_across_draws_images_within_each_data_set():
    source = np.random.default_rng(0)
    a, b = source.random((400, 2)) < 0.5, source.random(100) < 0.9
    found = claims.across(lambda a, b: a[0] - b, a, b)
    assert found.value == pytest.approx(a[:, 0].mean() - b.mean())
    error = np.sqrt(0.25 / 400 + b.mean() * (1 - b.mean()) / 100)
    assert found.high - found.low == pytest.approx(3.92 * error, rel=0.1)
    paired = claims.across(lambda a: a[0] - a[0], a)
    assert paired.low == paired.high == 0
    with pytest.raises(ValueError, match="one data set or more"):
        claims.across(lambda: 0.0)
