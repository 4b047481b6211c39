"""Two blocks or a gradual change, on constructed maps."""

import numpy as np
import pytest

from helpers.cka import block_structure

ORDER = np.arange(12)
SAME = 1 - np.abs(ORDER[:, None] - ORDER) / 12
EARLY = np.arange(12) < 4
BLOCKS = (EARLY[:, None] == EARLY).astype(float)


def test_two_blocks_of_two_blocks():
    assert block_structure.two_blocks(BLOCKS, 4) == pytest.approx(1)
    assert block_structure.best_cut(BLOCKS) == 4
    assert block_structure.two_blocks(BLOCKS, 6) < 1


def test_a_gradual_map_is_explained_by_distance():
    assert block_structure.gradual(SAME) == pytest.approx(1)
    assert (
        block_structure.blockiness(SAME)
        < 0
        < block_structure.blockiness(BLOCKS)
    )


def test_explained_share_equals_a_regression_on_group_dummies():
    c = np.random.default_rng(0).random((9, 9))
    c = c + c.T
    rows, columns = np.nonzero(~np.eye(9, dtype=bool))
    below = (rows < 3).astype(int) + (columns < 3)
    dummies = below[:, None] == np.arange(3)
    y = c[rows, columns]
    rest = y - dummies @ np.linalg.lstsq(dummies * 1.0, y, rcond=None)[0]
    expected = 1 - rest.var() / y.var()
    assert block_structure.two_blocks(c, 3) == pytest.approx(expected)


def test_a_constant_map_has_no_blocks_to_find():
    assert np.isnan(block_structure.gradual(np.ones((5, 5))))


def test_cuts_leave_a_twelfth_on_either_side():
    assert list(block_structure.cuts(np.ones((36, 36))))[::30] == [3, 33]
    assert list(block_structure.cuts(np.ones((5, 5)))) == [2, 3]


def test_a_grid_is_like_layers_of_different_blocks():
    names = [f"blocks.{b}.{kind}" for b in range(4) for kind in "abc"]
    kinds = np.array([name[-1] for name in ["stem", *names]])
    c = np.where(kinds[:, None] == kinds, 0.9, 0.2)
    assert block_structure.grid(c, ["stem", *names]) == pytest.approx(0.7)
    blocks = np.arange(13) // 3
    of_blocks = np.where(blocks[:, None] == blocks, 0.9, 0.2)
    assert block_structure.grid(of_blocks[:12, :12], names) == pytest.approx(0)
    assert np.isnan(block_structure.grid(c[:4, :4], ["stem", *names[:3]]))
