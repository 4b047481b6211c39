"""The numbers read off CKA maps, on maps whose answer is plain."""

import numpy as np
import pytest

from helpers import structure

RAMP = np.subtract.outer(np.arange(12), np.arange(12)) / 12
SAME = 1 - np.abs(RAMP)  # brightest on the diagonal


def test_uniformity_leaves_the_diagonal_out():
    c = np.full((4, 4), 0.3)
    np.fill_diagonal(c, 1)
    assert structure.uniformity(c) == pytest.approx(0.3)


def test_ends_are_the_outer_thirds():
    c = np.zeros((9, 9))
    c[:3, 6:] = 1
    assert structure.ends(c) == 1
    assert structure.ends(c.T) == 0


def test_stages_of_names():
    cnn = ["stem", "stages.0.0.out", "stages.1.0.out", "stages.3.0.out"]
    assert structure.stages(cnn).tolist() == [0, 0, 1, 3]
    vit = ["embed", *(f"blocks.{i}.out" for i in range(12)), "norm"]
    parts = structure.stages(vit, parts=4).tolist()
    assert parts == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]


def test_contrast_of_blocks():
    stage = np.array([0, 0, 1, 1])
    c = np.where(stage[:, None] == stage, 0.8, 0.1)
    assert structure.contrast(c, stage) == pytest.approx(0.7)


def test_matched_depth_of_a_map_with_a_shift():
    c = np.eye(8)[:, ::-1]  # row i is most like column 7 - i
    depths = np.arange(8) / 7
    lower = structure.matched_depth(c, depths, upper=False)
    upper = structure.matched_depth(c, depths, upper=True)
    assert lower == pytest.approx((7 + 6 + 5 + 4) / 4 / 7)
    assert upper == pytest.approx((3 + 2 + 1 + 0) / 4 / 7)


def test_matched_depth_passes_over_what_is_undefined():
    c, depths = np.eye(4), np.arange(4) / 3
    c[:, 3] = np.nan
    assert structure.matched_depth(c, depths, False) == pytest.approx(1 / 6)
    c[1] = np.nan
    assert structure.matched_depth(c, depths, upper=False) == 0


def test_top_gap_sees_unmatched_last_columns():
    c = np.full((5, 9), 0.2)
    c[0, :6] = 0.9
    assert structure.top_gap(c) == pytest.approx(0.7)


def test_diagonal_of_early_and_late_layers():
    c = np.diag([0.9] * 9 + [0.3] * 3)
    assert structure.early_agreement(c) == pytest.approx(0.9)
    assert structure.late_drop(c) == pytest.approx(0.6)


def test_late_agreement_is_the_rest_of_the_diagonal():
    c = np.diag([0.9] * 9 + [0.3, 0.2, 0.1])
    assert structure.late_agreement(c) == pytest.approx(0.2)
    assert structure.late_drop(c) == pytest.approx(0.7)


def test_models_of_other_depth_have_no_diagonal():
    for effect in (
        structure.diagonal,
        structure.early_agreement,
        structure.late_agreement,
        structure.late_drop,
    ):
        with pytest.raises(ValueError, match="12 rows and 5 columns"):
            effect(np.ones((12, 5)))


def test_level_leaves_undefined_pairs_out():
    c = np.array([[np.nan, np.nan], [0.2, 0.6]])
    assert structure.level(c) == pytest.approx(0.4)
    assert structure.level(structure.diagonal(c)) == pytest.approx(0.6)
    assert np.isnan(structure.level(c[:1]))


def test_best_match_looks_at_early_rows_only():
    c = np.diag([0.5, 0.3, 0.1, -0.2, 0.9, 0.9]) - 0.3
    assert structure.best_match(c) == pytest.approx((0.2 + 0 - 0.2 - 0.3) / 4)
    c[0] = np.nan
    assert structure.best_match(c) == pytest.approx((0 - 0.2 - 0.3) / 3)


def test_alignment_and_twins():
    assert structure.alignment(SAME) == structure.twins_found(SAME) == 1
    shifted = np.roll(SAME, 1, axis=1)
    assert structure.twins_found(shifted) == 0
    assert structure.alignment(shifted) == 1
    assert structure.alignment(SAME[::-1]) < 0.5


def test_layers_without_cka_match_nothing():
    """In NumPy the greatest of some numbers and a NaN is the NaN."""
    depths = np.arange(12) / 11
    c = SAME.copy()
    c[0] = c[:, 0] = np.nan
    assert structure.alignment(c, reach=0) == structure.twins_found(c) == 1
    lower = structure.matched_depth(c, depths, upper=False)
    assert lower == pytest.approx(np.mean([1, 2, 3, 4, 5]) / 11)
    assert structure.top_gap(c) == pytest.approx(0)
    assert np.isnan(structure.twins_found(np.full((4, 4), np.nan)))


def test_lean_follows_the_brighter_half():
    c = np.zeros((12, 12))
    c[:6, :3] = c[6:, 3:] = 0.5
    assert structure.lean(c, first_quarter=True) == pytest.approx(-0.5)
    assert structure.lean(c, first_quarter=False) == pytest.approx(0.5)


def test_a_cut_leaves_its_own_block_out():
    stage = np.array([0, 0, 1, 2, 2, 2])
    c = np.full((6, 6), 0.5)  # what the layers of the block itself have
    before, behind = slice(0, 2), slice(3, 6)
    c[before, behind] = c[behind, before] = 0.1
    c[before, before] = c[behind, behind] = 0.8
    np.fill_diagonal(c, 1)
    assert structure.across(c, stage, 1) == pytest.approx(0.1)
    assert structure.within(c, stage, 1) == pytest.approx(0.8)
    assert np.isnan(structure.across(c, stage, 0))


def test_counterparts_and_fading_by_thirds():
    c = np.diag([0.9] * 4 + [0.6] * 4 + [0.3] * 4)
    assert structure.counterparts(c) == pytest.approx(0.6)
    assert structure.counterparts(c, 1) == pytest.approx(0.6)
    assert structure.fading(c) == pytest.approx(0.6)


def test_counterparts_need_one_architecture():
    with pytest.raises(ValueError, match="12 rows and 24 columns"):
        structure.counterparts(np.ones((12, 24)))
