"""What the file of claims says, and what it may not say."""

import re
from datetime import date
from typing import Any

import pytest

from helpers import claims
from helpers.claims.statements import NEEDS, read
from helpers.runtime.paths import checkout

GOOD: dict[str, Any] = {
    "id": "x-1",
    "paper": "p",
    "place": "section 1",
    "page": "page",
    "statement": "S.",
    "effect": "e",
    "border": 0,
    "side": "above",
    "margin": 0.1,
    "because": "a tenth of the scale",
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"needs": {"lerned": 0.1}}, "need of claim x-1.*nearest: 'learned'"),
        ({"quote": "much lower", "place": ""}, "x-1 has a quotation without"),
        ({"side": "abov"}, "side of claim x-1.*nearest: 'above'"),
        ({"margin": 0}, "x-1 has neither a border nor a margin"),
        ({"margin": -1}, "x-1 needs a margin of 0 or more"),
        ({"because": ""}, "x-1 needs a margin of 0 or more and the reason"),
    ],
)
def test_bad_statements_are_refused(
    change: dict[str, Any], words: str
) -> None:
    assert read(GOOD).margin == 0.1
    with pytest.raises(ValueError, match=words):
        read(GOOD | change)


def test_every_need_is_some_claims() -> None:
    used = {need for c in claims.claims().values() for need in c.needs}
    assert used == set(NEEDS)


def test_revisions_have_a_date_and_say_what_changed() -> None:
    revised = {}
    for claim in claims.claims().values():
        days = [date.fromisoformat(r["date"]) for r in claim.revisions]
        assert days == sorted(days)
        assert all(len(r["change"]) > 10 for r in claim.revisions)
        revised[claim.id] = days
    first = {
        name for name, days in revised.items() if date(2026, 11, 21) in days
    }
    # found in the history of the file
    assert first >= {
        "kornblith-redundant-layers",
        "raghu-1-stages",
        "raghu-2-upper",
        "raghu-9-edges",
        "raghu-11-class-late",
        "raghu-11-first-patch",
        "raghu-f3-native",
        "shekhar-3-early",
    }


def test_pages_give_no_claim_to_judge_twice() -> None:
    for path in (checkout() / "book").glob("*.md"):
        found = re.findall(
            r"claims\.test\(\s*\"([^\"]+)", path.read_text("utf-8")
        )
        assert len(found) == len(set(found)), path.stem


def test_no_page_says_that_claims_came_before_the_numbers() -> None:
    for path in (checkout() / "book").glob("*.md"):
        assert "before it was measured" not in path.read_text("utf-8")
