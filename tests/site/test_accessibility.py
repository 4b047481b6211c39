"""What axe-core finds on each page, and the keyboard's way through it."""

import csv
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.browser import DESKTOP
from tests.site.test_site import every_page, page_with

AXE = "axe-core@4.14.1"
SERIOUS = {"serious", "critical"}
THEME = """
  const { dataset } = document.documentElement;
  dataset.theme = dataset.mode = arguments[0];
"""
CHECK = """
  const done = arguments[0];
  const options = { resultTypes: ["violations"] };
  axe.run(document, options).then(({ violations }) => done(violations
    .map(({ id, impact, nodes }) => [impact, id, nodes.length,
      nodes[0].html.slice(0, 160), nodes[0].failureSummary])));
"""
CONTROLS = """
  const all = "button, input, select, summary, a[href]";
  const article = document.querySelector(".bd-article");
  return [...article.querySelectorAll(all)].filter((e) =>
    e.checkVisibility({ visibilityProperty: true }) && !e.disabled
    && !e.closest("svg") && e.tabIndex >= 0);
"""


@pytest.fixture(scope="session")
def axe(tmp_path_factory) -> str:
    """The source of axe-core, which npm fetches."""
    if not shutil.which("npm"):
        pytest.skip("npm, which fetches axe-core, is not installed")
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "pack", "--silent", AXE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"npm could not fetch {AXE}: {done.stderr.strip()[-200:]}")
    (archive,) = Path(folder).glob("*.tgz")
    with tarfile.open(archive) as package:
        source = package.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode("utf-8")


@every_page
def test_axe_finds_nothing_serious(page, axe, address, chromium):
    chromium.open(f"{address}/{page}.html", DESKTOP)
    chromium.draw()
    chromium.js(axe)
    for theme in ("light", "dark"):
        chromium.js(THEME, theme)
        found = chromium.driver.execute_async_script(CHECK)
        assert [f for f in found if f[0] in SERIOUS] == [], theme


def test_axe_would_find_something(axe, address, chromium, site):
    page = page_with("vl-chart", site)
    chromium.open(f"{address}/{page}.html")
    chromium.js("""
      const article = document.querySelector(".bd-article");
      article.append(document.createElement("button"));
    """)
    chromium.js(axe)
    found = chromium.driver.execute_async_script(CHECK)
    assert ("critical", "button-name") in {(f[0], f[1]) for f in found}


@pytest.mark.parametrize("mark", ["figure-tools", "vega-bind", "sd-summary"])
def test_the_keyboard_reaches_every_control(mark, address, chromium, site):
    """Tab leads through all controls of a page, each in sight when it has
    the focus; the marks name kinds of controls that the page must have."""
    holds = {"figure-tools": "hide above-input", "vega-bind": "choose_"}
    page = page_with(holds.get(mark, mark), site)
    chromium.open(f"{address}/{page}.html", DESKTOP)
    chromium.draw()
    controls = chromium.js(CONTROLS)
    assert chromium.js(f'return !!document.querySelector("[class*={mark}]")')
    chromium.js("arguments[0].focus()", controls[0])
    reached = []
    for _ in range(3 * len(controls)):
        reached.append(chromium.driver.switch_to.active_element)
        if reached[-1] == controls[-1]:
            break
        reached[-1].send_keys("\ue004")
    missed = [c.get_attribute("outerHTML")[:120] for c in controls
              if c not in reached]  # fmt: skip
    assert missed == []


def test_the_keyboard_works_what_it_reaches(address, chromium, site):
    page = page_with("hide above-input", site)
    chromium.open(f"{address}/{page}.html", DESKTOP)
    chromium.js("localStorage.removeItem('book-code')")
    chromium.open(f"{address}/{page}.html", DESKTOP)
    chromium.draw()
    find = chromium.driver.find_element
    button = find("css selector", ".code-button")
    button.send_keys("\ue007")
    assert button.text == "Hide all code"
    chromium.js("localStorage.removeItem('book-code')")
    chromium.js("window.saved = []; saveText = (name) => saved.push(name)")
    tools = """return [...document.querySelectorAll('.figure-tools button')]
      .filter((button) => button.checkVisibility())"""
    for tool in chromium.js(tools)[:4]:
        if tool.text in ("CSV", "SVG"):
            tool.send_keys("\ue007")
    chromium.js("return new Promise((next) => setTimeout(next, 500))")
    saved = chromium.js("return saved")
    assert [name.rpartition(".")[2] for name in saved] == ["csv", "svg"]


def test_the_keyboard_reaches_the_numbers_of_every_mark(
    axe, address, chromium, site
):
    page = page_with("hide above-input", site)
    chromium.open(f"{address}/{page}.html", DESKTOP)
    chromium.draw()
    buttons = chromium.js("""
      return [...document.querySelectorAll(".figure-tools :last-child")]
        .filter((button) => button.checkVisibility());
    """)
    assert buttons
    for button in buttons:
        button.send_keys("\ue007")
        assert button.get_attribute("aria-expanded") == "true"
        button.send_keys("\ue004")
        box = chromium.driver.switch_to.active_element
        assert "rows" in box.get_attribute("aria-label")
        shown, rows = chromium.js(
            """const rows = [...arguments[0].querySelectorAll("tr")].map(
                 (row) => [...row.cells].map((cell) => cell.textContent));
               return [rows, arguments[0].closest("figure").csv()];""",
            box,
        )
        assert shown == [*csv.reader(io.StringIO(rows))][: len(shown)]
        assert len(shown) == min(2001, len(rows.splitlines()))
    chromium.js(axe)
    for theme in ("light", "dark"):
        chromium.js(THEME, theme)
        found = chromium.driver.execute_async_script(CHECK)
        assert [f for f in found if f[0] in SERIOUS] == [], theme
    buttons[0].send_keys("\ue007")
    assert buttons[0].get_attribute("aria-expanded") == "false"
    boxes = chromium.js('return document.querySelectorAll(".figure-rows")')
    assert len(boxes) == len(buttons) - 1


def test_the_keyboard_opens_a_solution(address, chromium, site):
    page = page_with("sd-summary", site)
    chromium.open(f"{address}/{page}.html", DESKTOP)
    name = "summary.sd-summary-title"
    summary = chromium.driver.find_element("css selector", name)
    state = "return document.querySelector('details.sd-dropdown').open"
    assert chromium.js(state) is False
    summary.send_keys("\ue007")
    assert chromium.js(state) is True
