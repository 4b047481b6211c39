"""What comes out of a printer."""

import io
import re

from pypdf import PdfReader

from tests.browser import DESKTOP
from tests.print_book import pages, printed
from tests.site.test_site import PAGES, page_with

STATES = """
  return [...document.querySelectorAll("figure.vl-chart")].map((f) =>
    [f.dataset.state, f.querySelectorAll("svg.marks, canvas.marks").length,
      f.checkVisibility()]);
"""
WAIT = """
  const done = arguments[0];
  const figures = [...document.querySelectorAll("figure.vl-chart")];
  const look = (left) => {
    const ready = figures.every((f) => f.dataset.state === "done");
    if (ready || !left) return done(ready);
    setTimeout(() => look(left - 1), 100);
  };
  look(200);
"""


def test_the_book_is_printed_in_its_order(site):
    names = [path.relative_to(site).as_posix() for path in pages(site)]
    assert names == [f"{page}.html" for page in PAGES]


def test_a_page_draws_its_charts_though_nobody_scrolls(
    address, chromium, site
):
    page = page_with("vl-chart", site)
    chromium.open(f"{address}/{page}.html", DESKTOP)
    assert chromium.driver.execute_async_script(WAIT)


def test_paper_has_every_figure_and_no_code(address, chromium, site):
    page = page_with("hide above-input", site)
    chromium.open(f"{address}/{page}.html")
    chromium.js("localStorage.removeItem('book-code')")
    title, content = printed(chromium, f"{address}/{page}.html")
    html = (site / f"{page}.html").read_text("utf-8")
    assert re.search(rf"<h1>{re.escape(title)}<", html)
    figures = html.count('<figure class="vl-chart"')
    chromium.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"media": "print"}
    )
    try:
        states = chromium.js(STATES)
        inputs = chromium.js("""
          return [...document.querySelectorAll("div.cell_input")]
            .filter((e) => e.checkVisibility()).length;
        """)
    finally:
        chromium.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": ""}
        )
    assert states == [["done", 1, True]] * figures
    assert inputs == 0
    text = " ".join(
        part.extract_text() for part in PdfReader(io.BytesIO(content)).pages
    )
    told = set(re.findall(r"Figure (\d+)", " ".join(text.split())))
    numbered = set(re.findall(r">Figure (\d+)</a>", html))
    assert numbered
    assert numbered <= told
    assert "import pandas" not in text


def test_paper_is_light_and_the_screen_stays_dark(address, chromium, site):
    page = page_with("vl-chart", site)
    chromium.open(f"{address}/{page}.html", DESKTOP)
    theme = "return document.documentElement.dataset.theme"
    chromium.js("document.documentElement.dataset.theme = 'dark'")
    chromium.js("dispatchEvent(new Event('beforeprint'))")
    assert chromium.js(theme) == "light"
    chromium.js("dispatchEvent(new Event('afterprint'))")
    assert chromium.js(theme) == "dark"
