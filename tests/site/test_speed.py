"""Pages are light, and say what they were built from."""

import re
from datetime import date

import pytest

from helpers import __version__
from tests.browser import DESKTOP
from tests.site.test_site import every_page

MEGABYTES = 3
SECONDS = 1.5
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


@every_page
def test_the_first_chart_is_drawn_soon_from_disk(page, chromium, site):
    path = site / f"{page}.html"
    if 'class="vl-chart"' not in path.read_text("utf-8"):
        pytest.skip("the page has no chart")
    # Seconds of the processor, which other programs do not lengthen.
    send = chromium.driver.execute_cdp_cmd
    send("Performance.enable", {"timeDomain": "threadTicks"})
    chromium.open(path.as_uri(), DESKTOP)
    assert chromium.driver.execute_async_script(FIRST) is not None
    taken = send("Performance.getMetrics", {})["metrics"]
    send("Performance.disable", {})
    (seconds,) = [m["value"] for m in taken if m["name"] == "TaskDuration"]
    assert seconds < SECONDS
    assert chromium.loaded().errors == []
