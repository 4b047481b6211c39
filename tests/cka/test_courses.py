"""When layers move, against numpy's interpolation and closed forms."""

import numpy as np
import pytest

from helpers.cka import courses

STEPS = [0, 1, 3, 7, 15]  # 0, 1, 2, 3, 4 on the scale of doublings


def maps(*layers: list[float]) -> list[np.ndarray]:
    """Maps whose diagonals are the given courses; off it there is noise."""
    noise = np.random.default_rng(0).random((len(STEPS), *2 * [len(layers)]))
    for t, c in enumerate(noise):
        np.fill_diagonal(c, [layer[t] for layer in layers])
    return list(noise)


def test_halfway_is_where_half_of_the_change_is_made():
    found = courses.halfway(
        STEPS,
        maps(
            [1.0, 0.9, 0.8, 0.7, 0.6],  # even in doublings: half after two
            [1.0, 0.0, 0.0, 0.0, 0.0],  # at once: half of the first doubling
            [0.2, 0.2, 0.2, 0.2, 0.6],  # in the last one, and upwards
            [0.5, 0.5, 0.5, 0.5, 0.5],  # never
        ),
    )
    np.testing.assert_allclose(found, [2, 0.5, 3.5, np.nan])


def test_halfway_agrees_with_interpolation():
    draw = np.random.default_rng(1)
    layers = [np.sort(draw.random(5))[::-1].tolist() for _ in range(6)]
    found = courses.halfway(STEPS, maps(*layers))
    for value, course in zip(found, layers, strict=True):
        half = (course[0] + course[-1]) / 2
        expected = np.interp(-half, [-c for c in course], range(5))
        assert value == pytest.approx(expected)


def test_the_first_of_several_crossings_counts():
    found = courses.halfway(STEPS, maps([1.0, 0.2, 0.9, 0.3, 0.0]))
    np.testing.assert_allclose(found, [0.5 / 0.8])


def test_a_head_start_is_that_of_the_last_third():
    late = [[1.0, 1.0, 1.0, 1.0, 0.0]] * 2
    middle = [[1.0, 0.5, 0.0, 0.0, 0.0]] * 2
    soon = [[1.0, 0.0, 0.0, 0.0, 0.0]] * 2
    found = courses.head_start(STEPS, maps(*late, *middle, *soon))
    assert found == pytest.approx(3.5 - 0.5)


def test_a_rise_is_that_of_the_mean():
    first, last = np.full((2, 2), 0.1), np.array([[0.2, 0.4], [0.5, np.nan]])
    assert courses.rise(first, last) == pytest.approx(1.1 / 3 - 0.1)
    assert courses.rise_over(first, last, last, first) == pytest.approx(
        2 * (1.1 / 3 - 0.1)
    )


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([0, 1], "5 maps for 2 steps"),
        ([0, 1, 1, 2, 3], "must increase"),
    ],
)
def test_says_what_is_wrong(steps, words):
    with pytest.raises(ValueError, match=words):
        courses.halfway(steps, maps([1.0] * 5))


def test_one_map_is_no_course():
    with pytest.raises(ValueError, match="two or more"):
        courses.halfway([0], maps([1.0] * 5)[:1])
