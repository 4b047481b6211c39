"""Pages are light, and say what they were built from."""

import re
from datetime import date

from helpers import __version__
from tests.browser import DESKTOP
from tests.site.test_site import every_page, page_with

MEGABYTES = 3
FIRST = """
  const done = arguments[0];
  const look = (left) => {
    const drawn = document.querySelector('figure[data-state="done"]');
    if (drawn) return done(performance.now());
    left ? setTimeout(() => look(left - 1), 20) : done(null);
  };
  look(1000);
"""


@every_page
def test_a_page_is_light(page, site):
    own = (site / f"{page}.html").stat().st_size
    cards = list((site / "_static/tippy").glob(f"{page}.*.js"))
    size = own + sum(path.stat().st_size for path in cards)
    assert size <= MEGABYTES * 2**20


@every_page
def test_a_page_says_of_which_version_and_day_it_is(page, site):
    html = (site / f"{page}.html").read_text("utf-8")
    (told,) = re.findall(
        r'Version (\S+), built on <time datetime="([\d-]+)">', html
    )
    assert told[0] == __version__
    assert date(2026, 1, 1) < date.fromisoformat(told[1])


def test_the_changelog_is_that_of_the_repository(root, site):
    html = (site / "book/changelog.html").read_text("utf-8")
    text = (root / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## (.+)$", text, re.M)
    shown = re.findall(r"<h2>([^<]+)<", html)
    assert [s for s in shown if s.strip() != "Contents"] == versions
    assert f"## {__version__}," in text


def test_a_chart_is_drawn_from_disk_without_a_server(chromium, site):
    page = page_with("vl-chart", site)
    chromium.open((site / f"{page}.html").as_uri(), DESKTOP)
    assert chromium.driver.execute_async_script(FIRST) is not None
    assert chromium.loaded().errors == []
