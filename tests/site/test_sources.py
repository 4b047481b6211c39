"""Captions name the figures of the papers."""

import re

import yaml

from tests.site.test_site import BOOK

SOURCES = yaml.safe_load(
    (BOOK / "book/_site/figure_sources.yaml").read_text("utf-8")
)
CAPTION = re.compile(
    r'<figure class="vl-chart" id="([^"]+)">.*?<figcaption>(.*?)</figcaption>',
    re.DOTALL,
)


def test_every_source_is_named_by_a_figure_and_by_the_page(site):
    for page, figures in SOURCES.items():
        html = (site / f"book/{page}.html").read_text("utf-8")
        captions = dict(CAPTION.findall(html))
        text = (BOOK / f"book/{page}.md").read_text("utf-8").lower()
        for start, told in figures.items():
            named = [c for f, c in captions.items() if f.startswith(start)]
            assert f"<cite>Re-measures {told}.</cite>" in "".join(named), start
            place = told.partition(", ")[2]
            first = re.search(
                r"[A-H]?\.?\d+$|G$|depth$", place.split(" and ")[0]
            )
            assert first, told
            assert first[0].lower() in text, told


def test_a_figure_of_the_book_names_no_paper(site):
    html = (site / "book/skip_connections.html").read_text("utf-8")
    captions = dict(CAPTION.findall(html))
    own = captions["figure-accuracy-without-a-skip"]
    assert "Re-measures" not in own
