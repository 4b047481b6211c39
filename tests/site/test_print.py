"""What comes out of a printer."""

import io
import re

from pypdf import PdfReader

from tests.browser import DESKTOP
from tests.print_book import main, pages, printed
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


def test_links_on_paper_lead_to_its_own_pages(site, tmp_path):
    for path in site.iterdir():
        if path.name != "book":
            (tmp_path / path.name).symlink_to(path)
    page = page_with('class="term reference', site)
    (tmp_path / "book").mkdir()
    for name in (page, "book/glossary"):
        text = (site / f"{name}.html").read_text("utf-8")
        (tmp_path / f"{name}.html").write_text(text, "utf-8")
    main(tmp_path, tmp_path / "book.pdf")
    book = PdfReader(tmp_path / "book.pdf")
    links = [
        entry.get_object()
        for sheet in book.pages
        for entry in sheet.get("/Annots", [])
    ]
    addresses = [link["/A"]["/URI"] for link in links if "/A" in link]
    assert [a for a in addresses if not a.startswith("https://")] == []
    _, glossary = map(book.get_destination_page_number, book.outline)
    reached = {
        book.get_page_number(link["/Dest"][0].get_object())
        for link in links
        if "/Dest" in link
    }
    assert reached
    assert max(reached) >= glossary
    source = (site / f"{page}.html").read_text("utf-8")
    term = re.search(r'class="term[^>]*glossary\.html#term-(\w+)"', source)
    assert term
    assert any(term[1] in book.pages[n].extract_text() for n in reached)


def test_paper_shows_solutions_and_no_empty_sections(address, chromium, site):
    page = page_with("sd-summary", site)
    chromium.open(f"{address}/{page}.html", DESKTOP)
    chromium.js("localStorage.removeItem('book-code')")
    content = printed(chromium, f"{address}/{page}.html")[1]
    text = " ".join(
        part.extract_text() for part in PdfReader(io.BytesIO(content)).pages
    )
    words = chromium.js("""
      return [...document.querySelectorAll("details.sd-dropdown p")]
        .map((p) => p.textContent.split(/\\s+/).slice(0, 4).join(" "));
    """)
    assert words
    paper = " ".join(text.split())
    assert [w for w in words if w not in paper] == []


def test_paper_is_light_and_the_screen_stays_dark(address, chromium, site):
    page = page_with("vl-chart", site)
    chromium.open(f"{address}/{page}.html", DESKTOP)
    theme = "return document.documentElement.dataset.theme"
    chromium.js("document.documentElement.dataset.theme = 'dark'")
    chromium.js("dispatchEvent(new Event('beforeprint'))")
    assert chromium.js(theme) == "light"
    chromium.js("dispatchEvent(new Event('afterprint'))")
    assert chromium.js(theme) == "dark"
