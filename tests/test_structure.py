"""The numbers read off CKA maps, on maps whose answer is plain."""

import numpy as np
import pandas as pd
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


def test_matched_depth_passes_over_undefined_columns_but_not_rows():
    c, depths = np.eye(4), np.arange(4) / 3
    c[:, 3] = np.nan
    assert structure.matched_depth(c, depths, False) == pytest.approx(1 / 6)
    c[1] = np.nan
    assert np.isnan(structure.matched_depth(c, depths, upper=False))


def test_top_gap_sees_unmatched_last_columns():
    c = np.full((5, 9), 0.2)
    c[0, :6] = 0.9
    assert structure.top_gap(c) == pytest.approx(0.7)


def test_diagonal_of_early_and_late_layers():
    c = np.diag([0.9] * 9 + [0.3] * 3)
    assert structure.early_agreement(c) == pytest.approx(0.9)
    assert structure.late_drop(c) == pytest.approx(0.6)


def test_alignment_and_twins():
    assert structure.alignment(SAME) == structure.twins_found(SAME) == 1
    shifted = np.roll(SAME, 1, axis=1)
    assert structure.twins_found(shifted) == 0
    assert structure.alignment(shifted) == 1
    assert structure.alignment(SAME[::-1]) < 0.5


def test_lean_follows_the_brighter_half():
    c = np.zeros((12, 12))
    c[:6, :3] = c[6:, 3:] = 0.5
    assert structure.lean(c, first_quarter=True) == pytest.approx(-0.5)
    assert structure.lean(c, first_quarter=False) == pytest.approx(0.5)


EARLY = np.arange(12) < 4
BLOCKS = (EARLY[:, None] == EARLY).astype(float)


def test_two_blocks_of_two_blocks():
    assert structure.two_blocks(BLOCKS, 4) == pytest.approx(1)
    assert structure.best_cut(BLOCKS) == 4
    assert structure.two_blocks(BLOCKS, 6) < 1


def test_a_gradual_map_is_explained_by_distance():
    assert structure.gradual(SAME) == pytest.approx(1)
    assert structure.blockiness(SAME) < 0 < structure.blockiness(BLOCKS)


def test_explained_share_equals_a_regression_on_group_dummies():
    c = np.random.default_rng(0).random((9, 9))
    c = c + c.T
    rows, columns = np.nonzero(~np.eye(9, dtype=bool))
    below = (rows < 3).astype(int) + (columns < 3)
    dummies = below[:, None] == np.arange(3)
    y = c[rows, columns]
    rest = y - dummies @ np.linalg.lstsq(dummies * 1.0, y, rcond=None)[0]
    expected = 1 - rest.var() / y.var()
    assert structure.two_blocks(c, 3) == pytest.approx(expected)


def test_a_constant_map_has_no_blocks_to_find():
    assert np.isnan(structure.gradual(np.ones((5, 5))))


def test_cuts_leave_a_twelfth_on_either_side():
    assert list(structure.cuts(np.ones((36, 36))))[::30] == [3, 33]
    assert list(structure.cuts(np.ones((5, 5)))) == [2, 3]


def test_counterparts_and_fading_by_thirds():
    c = np.diag([0.9] * 4 + [0.6] * 4 + [0.3] * 4)
    assert structure.counterparts(c) == pytest.approx(0.6)
    assert structure.counterparts(c, 1) == pytest.approx(0.6)
    assert structure.fading(c) == pytest.approx(0.6)


def test_counterparts_need_one_architecture():
    with pytest.raises(ValueError, match="12 and 24 layers"):
        structure.counterparts(np.ones((12, 24)))


def test_thinned_keeps_every_kth_layer_of_a_longer_side_of_each_map():
    short = [("m", f"a{i}", f"b{j}") for i in range(3) for j in range(3)]
    long = [("n", f"a{i}", f"b{j}") for i in range(7) for j in range(3)]
    table = pd.DataFrame(short + long, columns=["map", "layer_x", "layer_y"])
    kept = structure.thinned(table, "map", most=3)
    assert len(kept) == 9 + 9
    assert kept.layer_x[kept["map"] == "n"].unique().tolist() == [
        "a0",
        "a3",
        "a6",
    ]
    assert kept.layer_y[kept["map"] == "n"].unique().tolist() == [
        "b0",
        "b1",
        "b2",
    ]
