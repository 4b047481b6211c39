"""One call judges a claim, whatever its effect is computed from."""

from types import SimpleNamespace

import numpy as np
import pytest

from helpers import claims, intervals
from helpers.cka.comparison import Comparison
from helpers.intervals.resampling import draws, times_drawn

NAME = "raghu-1-ends"
RNG = np.random.default_rng(0)


def a_map() -> Comparison:
    values = RNG.normal(size=(6, 2, 3))
    left_out = (values.sum(0) - values) / 5
    ends = (range(2), range(3), np.linspace(0, 1, 2), np.linspace(0, 1, 3))
    return Comparison(values.mean(0), left_out, 32, *ends, settings={})


def test_maps_are_bootstrapped_over_minibatches() -> None:
    one, other = a_map(), a_map()

    def effect(a: np.ndarray, b: np.ndarray) -> float:
        return float(a.mean() - b.max())

    got = claims.test(NAME, effect, one, other, note="small")
    assert got == claims.judge(
        NAME, claims.estimate(effect, one, other), "small"
    )


def test_averages_get_a_jackknife() -> None:
    each = RNG.normal(size=(9, 4))
    left_out = (each.sum(0) - each) / 8
    found = SimpleNamespace(values=each.mean(0), leave_one_out=left_out)
    want = claims.jackknife(np.ptp, [each.mean(0)], [left_out])
    assert intervals.infer(np.ptp, found) == want


def test_arrays_are_bootstrapped_over_images() -> None:
    a, b = RNG.normal(size=(2, 30))

    def effect(x: np.ndarray, y: np.ndarray) -> float:
        return float((x - y).mean())

    assert intervals.infer(effect, a, b) == claims.bootstrap(effect, a, b)


def test_values_are_averaged_and_estimates_taken_as_they_are() -> None:
    values = RNG.normal(size=12)
    assert intervals.infer(values) == claims.mean(values)
    known = claims.Estimate(2, 1, 3)
    assert claims.test(NAME, known) == claims.judge(NAME, known)
    with pytest.raises(ValueError, match="1 samples for an effect"):
        claims.test(NAME, known, values)


def test_a_reason_stands_for_an_effect_or_a_sample() -> None:
    for parts in (("no heads",), (np.mean, "no heads", a_map())):
        got = claims.test(NAME, *parts, note="other")
        assert got == claims.not_measurable(NAME, "no heads")
    with pytest.raises(ValueError, match="nearest: 'raghu-1-ends'"):
        claims.test("raghu-1-end", "no heads")


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ((0.2, 0.1, 0.3), (0.2, 0.1, 0.3)),
        ((-0.2, -0.3, -0.1), (0.2, 0.1, 0.3)),
        ((-0.1, -0.3, 0.1), (0.1, 0, 0.3)),
    ],
)
def test_the_size_of_an_effect(
    given: tuple[float, ...], want: tuple[float, ...]
) -> None:
    assert abs(claims.Estimate(*given)) == claims.Estimate(*want)


def test_draws_are_counted() -> None:
    rows = list(draws(7, 50, np.random.default_rng(3)))
    times = times_drawn(7, 50, np.random.default_rng(3))
    for chosen, count in zip(rows, times, strict=True):
        assert [np.sum(chosen == i) for i in range(7)] == list(count)
