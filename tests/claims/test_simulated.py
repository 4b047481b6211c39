"""The quick version of `tests.bench.verdicts`."""

import pytest

from tests.bench import verdicts


@pytest.mark.parametrize("way", [verdicts.by_mean, verdicts.by_maps])
def test_intervals_cover_the_truth(way) -> None:  # type: ignore[no-untyped-def]
    got = verdicts.rates(way, runs=150)
    assert 0.92 <= got.coverage <= 0.98  # 450 runs: 0.95 and 3 errors
    assert max(got.false_holds, got.false_fails, got.false_none) <= 0.065


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_smallest_of_twelve_is_not_refuted_by_chance(
    correlation: float,
) -> None:
    runs = {"cells": 12, "correlation": correlation, "runs": 100}
    got = verdicts.rates(verdicts.by_mean, **runs, compare=not correlation)
    assert got.coverage >= 0.93
    assert max(got.false_holds, got.false_fails, got.false_none) <= 0.075
    if not correlation:
        assert got.naive > 0.8
