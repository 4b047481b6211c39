"""Hover cards, and the glossary that many of them show."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from tests.browser import HOST
from tests.site.test_site import BOOK, PAGES

GLOSSARY = (BOOK / "book" / "glossary.md").read_text("utf-8")
ENTRIES = dict(re.findall(r"^(\S.*)\n  (\S.+)$", GLOSSARY, re.M))
PAGE = "book/ssl_structure"
CARD = """
  const done = arguments[1];
  const links = document.querySelectorAll(".bd-article " + arguments[0]);
  const link = [...links].find((a) => !a.closest(".tippy-box"));
  if (!link) return done(null);
  link.scrollIntoView({ block: "center", behavior: "instant" });
  link.focus();
  const look = (left) => {
    const card = document.querySelector(".tippy-content");
    if (card || !left) return done([link.textContent, card?.innerText]);
    setTimeout(() => look(left - 1), 100);
  };
  look(50);
"""


def test_entries_are_in_order_and_lead_to_pages():
    assert len(ENTRIES) > 20
    assert list(ENTRIES) == sorted(ENTRIES, key=str.lower)
    for term, text in ENTRIES.items():
        shown = re.sub(r"\[.*?\]\(.*?\)|\$.*?\$|v3", "X", text)
        assert len(re.findall(r"[.:?]( |$)", shown)) >= 2, term
        (page,) = re.findall(r"\]\((\w+)\.md\)\.$", text)
        assert f"book/{page}" in PAGES


def test_a_page_links_each_term_once_and_in_prose_only(site: Path):
    found = {}
    for page in set(PAGES) - {"book/glossary"}:
        html = (site / f"{page}.html").read_text("utf-8")
        links = re.findall(r'<a class="term[^>]*#term-([^"]+)">', html)
        assert len(links) == len(set(links)), page
        assert not re.search(r"<h\d>[^\n]*class=\"term", html)
        found[page] = links
    assert len(set().union(*found.values())) >= len(ENTRIES) - 2
    glossary = (site / "book/glossary.html").read_text("utf-8")
    assert 'class="term' not in glossary


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ('a[href^="references.html#"]', "Xinlei Chen"),
        ('a.term[href$="#term-CKA"]', ENTRIES["CKA"].split(",")[0]),
        ('a[href="measuring_similarity.html"]', "Measuring similarity"),
    ],
    ids=["citation", "term", "page"],
)
def test_focus_opens_a_card(link, words, address, chromium):
    chromium.open(f"{address}/{PAGE}.html")
    _, card = chromium.driver.execute_async_script(CARD, link)
    assert words in card
    loaded = chromium.loaded()
    assert loaded.hosts == {HOST}
    assert loaded.errors == []


def test_a_term_is_a_whole_word_in_its_own_spelling():
    path = BOOK / "book" / "_site" / "glossary_links.py"
    spec = spec_from_file_location("glossary_links", path)
    links = module_from_spec(spec)
    spec.loader.exec_module(links)
    search = links.pattern(["probe", "linear probe", "CKA"])
    text = "Linear probes, probe; CKA. probed, cka, non-probe, prober"
    found = [match[0] for match in search.finditer(text)]
    assert found == ["Linear probes", "probe", "CKA"]
