"""Lines on papers, and rows to take along."""

import json
import re
from pathlib import Path

import pytest

from helpers import charts, claims
from helpers.claims import summaries
from helpers.claims.verdict_table import FILTERS

ROWS = [
    vars(claims.judge("raghu-1-ends", claims.Estimate(0.2, 0.1, 0.3))),
    vars(claims.judge("raghu-7-early", claims.Estimate(-0.4, -0.5, -0.3))),
    vars(claims.judge("raghu-7-late", claims.Estimate(0.2, 0.15, 0.3))),
    vars(claims.not_measurable("shekhar-f1", "a <b> is lacking")),
    vars(claims.not_measurable("factors-hue-kept", "not run yet")),
]


def test_each_paper_in_a_line() -> None:
    rows = claims.table(ROWS)
    assert summaries.lines(rows) == {
        "Raghu et al. 2021": "3 claims: 2 holds, 1 does not hold here",
        "Shekhar et al. 2022": "1 claim: 1 not measurable here",
        "Hypotheses of this book": "1 claim: 1 not measurable here",
    }
    shown = claims.by_paper(rows)
    assert shown.count("<li>") == 3
    assert "Shekhar et al. 2022: 1 claim: 1 not" in shown.text
    assert summaries.named("someone") == "someone"


def test_every_claim_has_a_row_in_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = {"parameters": {}, "verdicts": ROWS[:1]}
    run = {"edition": "e", "pages": {"representation_structure": page}}
    (tmp_path / "ledger.json").write_text(json.dumps(run))
    monkeypatch.setenv("VITSCOPE_LEDGER", str(tmp_path / "ledger.json"))
    rows = claims.judged()
    assert [row["id"] for row in rows] == list(claims.claims())
    verdicts = {row["id"]: row["verdict"] for row in rows}
    assert verdicts.pop("raghu-1-ends") == "holds"
    assert set(verdicts.values()) == {"not measurable here"}
    assert {row["paper"] for row in claims.judged("raghu2021")} == {
        "raghu2021"
    }


def test_a_row_to_take_along_says_what_the_table_shows() -> None:
    (row,) = claims.table(ROWS[:1])
    row["control"] = {
        **{"mean": 0.1, "low": 0.0, "high": 0.2},
        **{"draws": 3, "holds": 1},
    }
    row["trainings"] = {"count": 2, "wide_low": -0.1, "wide_high": 0.5}
    flat = summaries.flat(row)
    assert flat["id"] == "raghu-1-ends"
    assert (flat["effect"], flat["low"], flat["high"]) == (0.2, 0.1, 0.3)
    assert (flat["trainings"], flat["wide_low"], flat["wide_high"]) == (
        *(2, -0.1, 0.5),
    )
    assert flat["control_mean"] == 0.1
    assert flat["control_holds"] == 1
    bare = summaries.flat(claims.table(ROWS[3:4])[0])
    assert bare.keys() == flat.keys()
    assert bare["effect"] is None
    assert bare["control_mean"] is None


def test_the_ledger_carries_its_rows_and_leads_to_charts() -> None:
    rows = claims.table(ROWS)
    html = charts.verdicts(rows, link=True)
    data = re.search(r'<script type="application/json">(.*?)</script>', html)
    assert data is not None
    assert json.loads(data[1]) == [summaries.flat(row) for row in rows]
    assert "<b>" not in data[1]
    assert 'href="representation_structure.html#raghu-1-ends"' in html
    for name in FILTERS:
        assert html.count(f" data-{name}=") == len(rows)
    plain = charts.verdicts(rows)
    assert '<tr id="raghu-1-ends">' in plain
    assert "<script" not in plain
    assert 'class="verdicts"' in plain
