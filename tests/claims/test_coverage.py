"""The list of what the papers show, against claims, pages and bibliography."""

import re
from typing import Any

import pytest

from helpers import claims
from helpers.claims import coverage
from helpers.claims.coverage import OPEN, PARTS, SAME, STATES, read
from helpers.runtime.paths import checkout

GOOD: dict[str, Any] = {
    "paper": "raghu2021",
    "item": "figure 3",
    "shows": "distances",
    "claims": ["raghu-3-local"],
    "tensor": "same",
    "tokens": "open: all",
    "sample": "same",
    "statistic": "same",
}


def test_each_claim_of_a_paper_stands_for_one_item() -> None:
    told = [claim for item in coverage.items() for claim in item.claims]
    stated = [
        claim.id
        for claim in claims.claims().values()
        if claim.paper != "vitscope2026"
    ]
    assert sorted(told) == sorted(stated)


def figures(text: str) -> set[str]:
    """The numbers of the figures that a text names."""
    _, _, named = text.partition("figure")
    return set(re.findall(r"(?:[A-H]\.)?\d+", named))


def test_items_name_the_figures_of_their_claims() -> None:
    for item in coverage.items():
        for name in item.claims:
            stated = figures(claims.claims()[name].place)
            own = figures(item.item)
            assert not (own and stated) or own & stated, (item, name)


def test_items_lead_to_pages_and_papers() -> None:
    pages = {path.stem for path in (checkout() / "book").glob("*.md")}
    bib = (checkout() / "book" / "references.bib").read_text("utf-8")
    for item in coverage.items():
        assert item.page in pages
        assert f"{{{item.paper}," in bib
        for part in PARTS:
            said = getattr(item, part)
            assert said == SAME or len(said) > len(OPEN)


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "as in the paper"),
        ({"sample": "ten images"}, "otherwise"),
        ({"missing": "a half"}, "in part"),
        ({"claims": [], "page": "mixers", "missing": "all"}, "drawn only"),
    ],
)
def test_how_an_item_is_measured(change: dict[str, Any], state: str) -> None:
    assert read(GOOD | change).state == state
    assert state in STATES


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"claims": ["raghu-3-locl"]}, "nearest: 'raghu-3-local'"),
        ({"paper": "shekhar2022"}, "nearest: 'raghu2021'|raghu2021"),
        ({"claims": ["raghu-3-local", "raghu-1-ends"]}, "one page"),
        ({"claims": []}, "one page"),
        ({"claims": [], "page": "mixers"}, "has no claim"),
    ],
)
def test_bad_items_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(GOOD | change)


def test_the_table_says_what_differs() -> None:
    change = {"sample": "ten <images>", "missing": "a half"}
    shown = coverage.table([read(GOOD | change)])
    assert "sample: ten &lt;images&gt;; missing: a half" in shown
    assert "tensor" not in shown
    assert 'href="local_and_global.html"' in shown
    assert shown.text == "raghu2021, figure 3: local_and_global, in part"
