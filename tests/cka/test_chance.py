"""Sentences about chance, against the maps and searches that they speak of."""

import re

import numpy as np
import pytest

from helpers import cka, images, models
from helpers.cka import chance, grams, nulls

SCENES = images.load("wardrobe", limit=32)
ONE, OTHER = (
    models.load(f"lab/vit_narrow_shallow?random={k}") for k in (1, 2)
)


@pytest.fixture(scope="module")
def found():
    return cka.measure(ONE, OTHER, SCENES, batch_size=8, keep_grams=True)


def numbers(sentence):
    """All decimal numbers of a sentence, in order."""
    return [float(n) for n in re.findall(r"-?\d+\.\d+", sentence)]


@pytest.mark.parametrize("size", [4, 8, 16])
def test_the_null_is_that_of_gram_matrices_collected_apart(size):
    pair = {"": (ONE, OTHER)}
    sizes = 8, size
    maps = cka.measure_pairs(pair, SCENES, "out", "all", *sizes, True)
    null = chance.null_of(maps[""], 5, seed=3)
    np.testing.assert_allclose(null.observed, maps[""].cka, atol=1e-10)
    apart = grams.collect({"a": ONE, "b": OTHER}, SCENES, batch_size=size)
    want = nulls.permutation_null(apart["a"], apart["b"], 5, 3)
    np.testing.assert_allclose(null.values, want.values, atol=1e-5)
    assert null.layers_x == want.layers_x


def test_a_map_is_told_with_its_largest_cell_and_its_share(found):
    null = chance.null_of(found, 40)
    told = chance.of_map(null)
    best = nulls.calibrate(np.nanmax, null)
    tops = null.values.reshape(40, -1).max(1)
    share = (null.observed > best.threshold).mean()
    assert f"{share:.0%} of the {null.observed.size}" in told
    np.testing.assert_allclose(
        numbers(told),
        [
            *(best.value, best.calibrated, best.p, tops.mean()),
            *(best.threshold, best.threshold),
            *(null.observed.mean(), null.values.mean()),
        ],
        atol=6e-4,
    )


def test_a_search_for_a_small_number_counts_the_smaller_ones(found):
    null = chance.null_of(found, 39)

    def least(c):
        return float(c.argmin() + c.size)

    told = chance.of_search("The place", least, null, low=True)
    every = np.array([least(c) for c in null.values])
    p = (1 + (every <= least(null.observed)).sum()) / 40
    low = np.sort([*every, least(null.observed)])[2]  # two of 40 lie below
    np.testing.assert_allclose(
        numbers(told),
        [least(null.observed), p, every.mean(), low],
        atol=6e-4,
    )
    assert "calibrated" not in told
    assert "below" in told


@pytest.mark.parametrize(
    "change",
    [lambda m: m - m, lambda m: m.by_type()["out"]],
    ids=["difference", "part"],
)
def test_parts_and_differences_have_no_null(found, change):
    with pytest.raises(ValueError, match="keep_grams=True"):
        chance.null_of(change(found))


def test_maps_keep_no_gram_matrices_unless_asked():
    assert cka.measure(ONE, None, SCENES, batch_size=8).grams is None
