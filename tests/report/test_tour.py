"""Findings of a run: the charts of its pages, and computed sentences."""

import json
import re

import nbformat
import pytest

from helpers.claims.verdicts import VERDICTS
from helpers.report import tour

CLAIM = "shekhar-1a-pair"
SPEC = {
    "description": "Lines that rise and fall again </p>",
    "title": "Rise",
    "width": "container",
    "height": 280,
    "params": [{"name": "choose_x", "value": "a", "bind": {"input": "range"}}],
    "data": {"name": "d"},
    "datasets": {"d": {"x": {"values": [1, 2]}}},
    "mark": "line",
}


def row(verdict="holds", effect=0.25, low=0.125, high=0.375):
    return {"claim": CLAIM, "verdict": verdict, "effect": effect,
            "low": low, "high": high, "note": ""}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of one page, with its ledger and its executed notebook."""
    data = json.dumps(SPEC).replace("</", r"<\/")
    html = (
        '<figure class="vl-chart" id="figure-rise"><div class="vl-view"></div>'
        f'<script type="application/json">{data}</script></figure>'
    )
    cell = nbformat.v4.new_code_cell("draw()")
    cell.outputs = [
        nbformat.v4.new_output("display_data", {"text/html": html})
    ]
    folder = tmp_path / "executed"
    folder.mkdir()
    title = nbformat.v4.new_markdown_cell("# Two & more\n\n**Why?**")
    notebook = nbformat.v4.new_notebook(cells=[title, cell])
    nbformat.write(notebook, folder / "ssl_structure.ipynb")
    page = {"verdicts": [row()], "parameters": {}}
    pages = {"ssl_structure": page}
    ledger = tmp_path / "ledger.json"
    ledger.write_text(json.dumps({"edition": "e", "pages": pages}))
    monkeypatch.setenv("VITSCOPE_LEDGER", str(ledger))
    return pages


def test_a_card_has_the_chart_the_sentence_and_the_link(run):
    card = tour.findings(run, {CLAIM: "figure-r"})
    assert 'href="ssl_structure.html#figure-rise">Two &amp; more</a>' in card
    assert "this run shows it (effect 0.25, 0.12 to 0.38)." in card.text
    (data,) = re.findall(r"json\">(.*?)</script>", card)
    spec = json.loads(data)
    assert spec["datasets"] == SPEC["datasets"]
    assert spec["description"] == SPEC["description"]
    assert spec["height"] == tour.HEIGHT
    assert spec["params"] == [{"name": "choose_x", "value": "a"}]
    assert "title" not in spec


def test_a_note_below_the_title_stays():
    heading = {"text": "Rise", "subtitle": ["thin grey lines: untrained"]}
    kept = tour.small(SPEC | {"title": heading})["title"]["text"]
    assert kept == ["thin grey lines: untrained"]
    assert "title" not in tour.small(SPEC | {"title": {"text": "Rise"}})


def test_a_page_that_was_not_run_has_no_chart(run):
    card = tour.findings({}, {CLAIM: "figure-rise"})
    assert tour.NOT_RUN in card
    assert "<script" not in card
    assert 'href="ssl_structure.html">Ssl structure</a>' in card


def test_a_figure_that_is_not_there_leaves_the_sentence(run):
    card = tour.findings(run, {CLAIM: "figure-other"})
    assert "<script" not in card
    assert "this run shows it" in card


def test_every_verdict_ends_the_sentence_in_its_own_way():
    said = {v: tour.sentence(CLAIM, row(v)) for v in VERDICTS}
    assert {*tour.SAID} == {*VERDICTS}
    for verdict in ("does not hold", "does not hold here"):
        assert "does not support" in said[verdict]
    assert "cannot decide" in said["undecided"]
    bare = row("not measurable here", None, None, None)
    assert tour.sentence(CLAIM, bare).endswith("this run cannot measure it.")


def test_a_claim_that_is_unknown_is_refused(run):
    with pytest.raises((KeyError, ValueError), match="shekhar-1a-pair"):
        tour.findings(run, {"shekhar-1a-par": "figure-rise"})


def test_a_chart_without_a_description_is_refused():
    with pytest.raises(ValueError, match="expected at least 4"):
        tour.small(SPEC | {"description": "A chart"})
