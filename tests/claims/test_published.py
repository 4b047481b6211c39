"""Published numbers: written from a run, read by the pages."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from helpers import charts, claims, editions, models
from helpers.claims import published
from helpers.editions import edition, provenance, publish, results
from helpers.models import zoo
from tests import minibook

SURE = {"effect": 0.2123456789, "low": 0.1, "high": 0.3}


def verdict(claim: str, word: str, **more: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("effect", "low", "high"))
    return {"claim": claim, "verdict": word, **empty, "note": "", **more}


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mini book whose edition `grand` has been run, on made-up numbers."""
    root = minibook.make(tmp_path)
    folder = root / "data" / "editions"
    folder.mkdir(parents=True)
    for name in ("grand", "smoke", "lab"):
        (folder / f"{name}.yaml").write_text("title: T\n")
    monkeypatch.setattr(edition, "FOLDER", folder)
    monkeypatch.setattr(publish, "FOLDER", folder)
    monkeypatch.setattr(published, "FOLDER", root / "data" / "results")
    environment = {"torch": "2.6", "device": "A big one"}
    row = {"seconds": 9.0, "parameters": {"k": 1}, "environment": environment}
    doubt = {"effect": 0.0, "low": -1.0, "high": 1.0, "note": "few, odd"}
    found = [
        verdict("raghu-1-ends", "holds", **SURE),
        verdict("shekhar-f1", "undecided", **doubt),
        verdict("shekhar-3-pool", "not measurable here", note='a "class"'),
    ]
    rows = {
        "first": row | {"verdicts": found[:1]},
        "second": row | {"verdicts": found[1:]},
    }
    monkeypatch.setattr(results, "ledger", lambda *_: {"pages": dict(rows)})
    return root


def grand(root: Path) -> Path:
    return publish.publish(editions.load("grand", root), root)


def test_what_is_written(book: Path) -> None:
    target = grand(book)
    assert target == book / "data/results/grand"
    lines = (target / "claims.csv").read_text().splitlines()
    assert lines == [
        "claim,page,verdict,effect,low,high,note",
        "raghu-1-ends,first,holds,0.212346,0.1,0.3,",
        'shekhar-f1,second,undecided,0,-1,1,"few, odd"',
        'shekhar-3-pool,second,not measurable here,,,,"a ""class"""',
    ]
    origin = json.loads((target / "provenance.json").read_text())
    assert origin["environment"] == {"torch": ["2.6"], "device": ["A big one"]}
    card = zoo.cards()["vit_cls"]
    model = origin["models"].pop("lab/vit_cls")
    assert model == {k: card[k] for k in ("sha256", "samples", "draft")}
    assert origin["models"] == {}
    assert origin["pages"]["second"] == {
        "seconds": 9.0,
        "parameters": {"k": 1},
    }
    assert str(book) not in json.dumps(origin)


def test_pages_show_them_beside_their_own(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = book / "ledger.json"
    ledger.write_text('{"edition": "none", "pages": {}}')
    monkeypatch.setenv("VITSCOPE_LEDGER", str(ledger))
    own = verdict("raghu-1-ends", "does not hold", effect=-1, low=-2, high=0)
    other = verdict("raghu-1-uniform", "holds", **SURE)
    before = charts.verdicts(claims.table([own]))
    assert before.count("<th ") == 3
    target = grand(book)
    origin = target / "provenance.json"
    origin.write_text(origin.read_text().replace("true", "false"))
    rows = claims.table([own, other])
    assert rows[0]["published"]["grand"]["verdict"] == "holds"
    assert rows[0]["verdict"] == "does not hold"
    assert rows[1]["published"] == {}
    html = charts.verdicts(rows)
    assert html.count('<th scope="col">grand</th>') == 1
    assert html.count('<td data-edition="grand"></td>') == 1
    assert html.count("✓</span> holds") == 2
    assert "0.212" in html
    assert "grand: holds" in html.text
    assert "grand" not in charts.verdicts(claims.table([other]))
    ledger.write_text('{"edition": "grand", "pages": {}}')
    assert charts.verdicts(claims.table([own])) == before


def test_drafts_are_called_so(book: Path) -> None:
    origin = grand(book) / "provenance.json"
    for word, name in (
        ("false", "grand"),
        ("true", "grand (draft models)"),
    ):
        facts = json.loads(origin.read_text())
        facts["models"]["lab/vit_cls"]["draft"] = word == "true"
        origin.write_text(json.dumps(facts))
        assert list(published.read()) == [name]


def test_verdicts_follow_from_the_intervals(book: Path) -> None:
    path = grand(book) / "claims.csv"
    text = path.read_text().replace("0.212346,0.1,0.3", "-2,-3,-1")
    path.write_text(text.replace("shekhar-f1", "a-claim-of-old"))
    (found,) = published.read().values()
    assert found["raghu-1-ends"]["verdict"] == "does not hold here"
    assert found["shekhar-3-pool"]["verdict"] == "not measurable here"
    assert found["shekhar-3-pool"]["note"] == 'a "class"'
    assert len(found) == 2
    closed = "first,not measurable here,2,1,3,the treatment had no effect"
    path.write_text(text.splitlines()[0] + f"\nraghu-1-ends,{closed}\n")
    (found,) = published.read().values()
    assert found["raghu-1-ends"]["verdict"] == "not measurable here"
    assert found["raghu-1-ends"]["note"] == "the treatment had no effect"


def test_pages_depend_on_what_is_published(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "DATA", book / "data")
    page = book / "book" / "second.md"
    page.write_text(page.read_text() + "\nIts claims.\n")

    def digests() -> list[str]:
        jobs = editions.plan(editions.load("lab", book), book, validators={})
        return [provenance.inputs(job, {})["data"] for job in jobs[:2]]

    before = digests()
    grand(book)
    after = digests()
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_what_is_not_published(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, why in (("lab", "every reader runs it"), ("smoke", "nothing")):
        with pytest.raises(ValueError, match=why):
            publish.publish(editions.load(name, book), book)
    own = editions.Edition("own", "Own")
    with pytest.raises(ValueError, match="only those in data/editions"):
        publish.publish(own, book)
    monkeypatch.setattr(results, "ledger", lambda *_: {"pages": {}})
    with pytest.raises(ValueError, match="not up to date: first, second;"):
        grand(book)
    assert not (book / "data" / "results").exists()


def test_weights_from_elsewhere_are_hashed() -> None:
    spec = "lab/vit_narrow?random"
    state = models.load(spec, "cpu").module.state_dict()
    parts = (k.encode() + v.numpy().tobytes() for k, v in state.items())
    whole = hashlib.sha256(b"".join(parts)).hexdigest()
    assert publish.identity(spec) == {"weights": whole}
