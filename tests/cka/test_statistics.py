"""The numbers read off CKA maps, on maps whose answer is plain."""

import numpy as np
import pytest

from helpers.cka import statistics

RAMP = np.subtract.outer(np.arange(12), np.arange(12)) / 12
SAME = 1 - np.abs(RAMP)  # brightest on the diagonal


def test_uniformity_leaves_the_diagonal_out():
    c = np.full((4, 4), 0.3)
    np.fill_diagonal(c, 1)
    assert statistics.uniformity(c) == pytest.approx(0.3)


def test_ends_are_the_outer_thirds():
    c = np.zeros((9, 9))
    c[:3, 6:] = 1
    assert statistics.ends(c) == 1
    assert statistics.ends(c.T) == 0


def test_stages_of_names():
    cnn = ["stem", "stages.0.0.out", "stages.1.0.out", "stages.3.0.out"]
    assert statistics.stages(cnn).tolist() == [0, 0, 1, 3]
    vit = ["embed", *(f"blocks.{i}.out" for i in range(12)), "norm"]
    parts = statistics.stages(vit, parts=4).tolist()
    assert parts == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]


def test_contrast_of_blocks():
    stage = np.array([0, 0, 1, 1])
    c = np.where(stage[:, None] == stage, 0.8, 0.1)
    assert statistics.contrast(c, stage) == pytest.approx(0.7)


def test_matched_depth_of_a_map_with_a_shift():
    c = np.eye(8)[:, ::-1]  # row i is most like column 7 - i
    depths = np.arange(8) / 7
    lower = statistics.matched_depth(c, depths, upper=False)
    upper = statistics.matched_depth(c, depths, upper=True)
    assert lower == pytest.approx((7 + 6 + 5 + 4) / 4 / 7)
    assert upper == pytest.approx((3 + 2 + 1 + 0) / 4 / 7)


def test_matched_depth_passes_over_what_is_undefined():
    c, depths = np.eye(4), np.arange(4) / 3
    c[:, 3] = np.nan
    assert statistics.matched_depth(c, depths, False) == pytest.approx(1 / 6)
    c[1] = np.nan
    assert statistics.matched_depth(c, depths, upper=False) == 0


def test_top_gap_sees_unmatched_last_columns():
    c = np.full((5, 9), 0.2)
    c[0, :6] = 0.9
    assert statistics.top_gap(c) == pytest.approx(0.7)


def test_diagonal_of_early_and_late_layers():
    c = np.diag([0.9] * 9 + [0.3] * 3)
    assert statistics.early_agreement(c) == pytest.approx(0.9)
    assert statistics.late_drop(c) == pytest.approx(0.6)


def test_late_agreement_is_the_rest_of_the_diagonal():
    c = np.diag([0.9] * 9 + [0.3, 0.2, 0.1])
    assert statistics.late_agreement(c) == pytest.approx(0.2)
    assert statistics.late_drop(c) == pytest.approx(0.7)


def test_models_of_other_depth_have_no_diagonal():
    for effect in (
        statistics.diagonal,
        statistics.early_agreement,
        statistics.late_agreement,
        statistics.late_drop,
    ):
        with pytest.raises(ValueError, match="12 rows and 5 columns"):
            effect(np.ones((12, 5)))


def test_level_leaves_undefined_pairs_out():
    c = np.array([[np.nan, np.nan], [0.2, 0.6]])
    assert statistics.level(c) == pytest.approx(0.4)
    assert statistics.level(statistics.diagonal(c)) == pytest.approx(0.6)
    assert np.isnan(statistics.level(c[:1]))


def test_best_match_looks_at_early_rows_only():
    c = np.diag([0.5, 0.3, 0.1, -0.2, 0.9, 0.9]) - 0.3
    assert statistics.best_match(c) == pytest.approx((0.2 + 0 - 0.2 - 0.3) / 4)
    c[0] = np.nan
    assert statistics.best_match(c) == pytest.approx((0 - 0.2 - 0.3) / 3)


def test_blocks_are_apart_where_early_and_late_ones_differ():
    c = np.full((8, 8), 0.2)
    c[:6, :6] = 0.7
    c[6:, 6:] = 0.4
    np.fill_diagonal(c, 1)
    assert statistics.apart(c) == pytest.approx(0.5)
    assert statistics.apart(np.ones((8, 8))) == 0


def test_alignment_and_twins():
    assert statistics.alignment(SAME) == statistics.twins_found(SAME) == 1
    shifted = np.roll(SAME, 1, axis=1)
    assert statistics.twins_found(shifted) == 0
    assert statistics.alignment(shifted) == 1
    assert statistics.alignment(SAME[::-1]) < 0.5


def test_layers_without_cka_match_nothing():
    """In NumPy the greatest of some numbers and a NaN is the NaN."""
    depths = np.arange(12) / 11
    c = SAME.copy()
    c[0] = c[:, 0] = np.nan
    assert statistics.alignment(c, reach=0) == statistics.twins_found(c) == 1
    lower = statistics.matched_depth(c, depths, upper=False)
    assert lower == pytest.approx(np.mean([1, 2, 3, 4, 5]) / 11)
    assert statistics.top_gap(c) == pytest.approx(0)
    assert np.isnan(statistics.twins_found(np.full((4, 4), np.nan)))


def test_lean_follows_the_brighter_half():
    c = np.zeros((12, 12))
    c[:6, :3] = c[6:, 3:] = 0.5
    assert statistics.lean(c, first_quarter=True) == pytest.approx(-0.5)
    assert statistics.lean(c, first_quarter=False) == pytest.approx(0.5)


def test_a_cut_leaves_its_own_block_out():
    stage = np.array([0, 0, 1, 2, 2, 2])
    c = np.full((6, 6), 0.5)  # what the layers of the block itself have
    before, behind = slice(0, 2), slice(3, 6)
    c[before, behind] = c[behind, before] = 0.1
    c[before, before] = c[behind, behind] = 0.8
    np.fill_diagonal(c, 1)
    assert statistics.across(c, stage, 1) == pytest.approx(0.1)
    assert statistics.within(c, stage, 1) == pytest.approx(0.8)
    assert np.isnan(statistics.across(c, stage, 0))


def test_counterparts_and_fading_by_thirds():
    c = np.diag([0.9] * 4 + [0.6] * 4 + [0.3] * 4)
    assert statistics.counterparts(c) == pytest.approx(0.6)
    assert statistics.counterparts(c, 1) == pytest.approx(0.6)
    assert statistics.fading(c) == pytest.approx(0.6)


def test_counterparts_need_one_architecture():
    with pytest.raises(ValueError, match="12 rows and 24 columns"):
        statistics.counterparts(np.ones((12, 24)))
