"""The campaigns at a very small size, so that they stay alive."""

import sys

import pytest

from tests.torture import disk, inputs, kills
from tests.torture.sandbox import Workplace
from tests.torture.tally import Tally

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="looks into /proc, and mounts"
)


def test_two_kills_and_a_full_disk(tmp_path):
    tally, place = Tally(), Workplace(tmp_path)
    kills.campaign("page", 2, 0, place, tally)
    disk.campaign(1, place, tally, "page")
    assert tally.tried["kills of a page"] == 2
    assert disk.CATEGORY in tally.tried.keys() | tally.skipped.keys()
    assert not tally.failed, str(tally.wrong)


def test_bad_inputs(tmp_path):
    tally = Tally()
    inputs.campaign(tmp_path, tally, others=False)
    assert sum(tally.tried.values()) >= 120
    assert not tally.failed, str(tally.wrong)


def test_a_case_that_is_not_refused_is_a_fault():
    def act():
        return "fine"

    for case, told in (
        (inputs.Case("x", "x", act, "not found"), "says 'fine'"),
        (inputs.Case("x", "x", lambda: 1 / 0, "zero"), "a traceback"),
    ):
        (fault,) = inputs.faults_of(case)
        assert told in fault


def test_the_tally_counts_what_did_not_pass(capsys):
    tally = Tally()
    tally.add("kills", [], 3)
    tally.add("kills", ["a differs", "b differs"], 2)
    tally.skip("a full disk", "not allowed")
    assert tally.failed == 2
    rows = str(tally).splitlines()
    assert rows[1].split() == ["kills", "5", "3"]
    assert rows[2].endswith("0  left out: not allowed")
    assert "FAILED: a differs; b differs" in capsys.readouterr().out
