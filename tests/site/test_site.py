"""The built site in a browser that reaches this machine only."""

import hashlib
import io
import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import pandas as pd
import pytest
import yaml

from tests.browser import DESKTOP, HOST, PHONE

BOOK = Path(__file__).resolve().parents[2]
TOC = yaml.safe_load((BOOK / "_toc.yml").read_text("utf-8"))
PAGES = [
    TOC["root"],
    *(c["file"] for part in TOC["parts"] for c in part["chapters"]),
]


every_page = pytest.mark.parametrize(
    "page", PAGES, ids=[Path(page).name for page in PAGES]
)


@every_page
def test_a_page_is_whole_without_a_network(page, address, chromium):
    chromium.open(f"{address}/{page}.html")
    charts = chromium.draw()
    assert [c["text"] for c in charts if c["state"] != "done"] == []
    for chart in charts:
        assert chart["marks"] >= 1
        assert len(chart["label"].split()) >= 4, "described to screen readers"
        assert chart["width"] <= chart["room"] + 1
    loaded = chromium.loaded()
    assert loaded.hosts == {HOST}
    assert loaded.errors == []


@every_page
def test_math_is_typeset(page, address, chromium, site):
    chromium.open(f"{address}/{page}.html")
    html = (site / f"{page}.html").read_text("utf-8")
    formulas = html.count("math notranslate")
    if formulas:
        chromium.js("return MathJax.startup.promise.then(() => true)")
    shown = "return document.querySelectorAll('mjx-container').length"
    broken = (
        "return [...document.querySelectorAll('mjx-merror, [data-mml-node="
        "merror]')].map((e) => e.textContent)"
    )
    assert chromium.js(broken) == []
    assert chromium.js(shown) >= formulas


@every_page
def test_a_page_fits_a_phone(page, address, chromium):
    chromium.open(f"{address}/{page}.html", PHONE)
    charts = chromium.draw()
    width = "return document.documentElement.scrollWidth"
    assert chromium.js(width) == PHONE[0]
    assert [c for c in charts if c["width"] > c["room"] + 1] == []


@every_page
def test_images_have_words_and_controls_have_names(page, address, chromium):
    chromium.open(f"{address}/{page}.html")
    chromium.draw()
    unnamed = """
      const article = document.querySelector("article");
      return [...article.querySelectorAll("img:not([alt]), img[alt='']")]
        .concat([...article.querySelectorAll("input, select")].filter(
          (e) => !e.ariaLabel && !e.labels?.length))
        .map((e) => e.outerHTML.slice(0, 200));
    """
    assert chromium.js(unnamed) == []


@every_page
def test_colab_opens_a_notebook_that_exists(page, site):
    html = (site / f"{page}.html").read_text("utf-8")
    links = re.findall(r'href="(https://colab[^"]+)"', html)
    source = BOOK / f"{page}.md"
    assert bool(links) == ("kernelspec" in source.read_text("utf-8"))
    for link in links:
        path = urlsplit(link).path
        assert re.fullmatch(r"/github/[\w-]+/[\w-]+/blob/main/.+", path)
        notebook = BOOK / path.split("/blob/main/")[1]
        assert notebook == BOOK / f"{page}.ipynb"
        nbformat.validate(nbformat.read(notebook, as_version=4))


@every_page
def test_no_link_within_the_site_is_dead(page, site):
    html = (site / f"{page}.html").read_text("utf-8")
    for link in re.findall(r'(?:href|src)="([^"#?]+)', html):
        if urlsplit(link).scheme:
            continue
        target = (site / page).parent / link
        assert target.exists(), link


def page_with(mark: str, site: Path) -> str:
    """Return the first page whose HTML holds a mark, or skip."""
    for page in PAGES:
        if mark in (site / f"{page}.html").read_text("utf-8"):
            return page
    pytest.skip(f"no page of this edition has {mark}")


def test_a_choice_survives_a_change_of_theme(address, chromium, site):
    page = page_with("choose_", site)
    chromium.open(f"{address}/{page}.html", DESKTOP)
    chromium.draw()
    pick = """
      const input = document.querySelector(
        ".vega-bind input[type=range], .vega-bind select");
      const before = input.value;
      if (input.type === "range") {
        input.value = input.value === input.max ? input.min : input.max;
      } else {
        input.selectedIndex = input.options.length - 1;
      }
      input.dispatchEvent(new Event("input", { bubbles: true }));
      input.dispatchEvent(new Event("change", { bubbles: true }));
      return [before, input.value];
    """
    read = """
      const input = document.querySelector(
        ".vega-bind input[type=range], .vega-bind select");
      const { vegaView } = input.closest("figure");
      return [String(vegaView.signal(input.name)), vegaView.signal("theme_fg"),
        vegaView.signal("theme_dark")];
    """
    before, after = chromium.js(pick)
    assert before != after
    seen = {}
    for theme in ("light", "dark"):
        change = "document.documentElement.dataset.theme = arguments[0]"
        chromium.js(change, theme)
        chosen, ink, dark = chromium.js(read)
        assert chosen == after
        assert dark is (theme == "dark")
        seen[theme] = ink
    assert seen["light"] != seen["dark"]


def test_a_slider_follows_the_keyboard(address, chromium, site):
    page = page_with('"input":"range"', site)
    chromium.open(f"{address}/{page}.html", DESKTOP)
    chromium.draw()
    slider = chromium.driver.find_element(
        "css selector", ".vega-bind input[type=range]"
    )
    start = int(slider.get_attribute("value"))
    left = start > 0
    slider.send_keys("\ue012" if left else "\ue014")
    value = """
      const input = document.querySelector(".vega-bind input[type=range]");
      const { vegaView } = input.closest("figure");
      const name = input.name.replace("choose_", "chosen_");
      return [vegaView.signal(input.name), String(vegaView.signal(name)),
        input.ariaValueText, input.nextElementSibling.textContent];
    """
    chromium.js("return new Promise((next) => setTimeout(next, 200))")
    position, chosen, said, shown = chromium.js(value)
    assert position == start + (-1 if left else 1)
    assert chosen == said == shown


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_pointing_at_a_token_shows_its_map(size, address, chromium, site):
    page = page_with("pointed._kind", site)
    chromium.open(f"{address}/{page}.html", size)
    chromium.draw()
    find = """
      const figure = [...document.querySelectorAll("figure.vl-chart")]
        .find((f) => f.innerHTML.includes("pointed._kind"));
      figure.scrollIntoView({ block: "center", behavior: "instant" });
    """
    state = """
      const { vegaView } = figure;
      const all = vegaView.scenegraph().root.items[0].items;
      const cells = all.filter((g) => g.marktype === "rect")[2].items;
      const [first] = all.filter((g) => g.marktype === "rect")[0].items
        .filter((cell) => cell.datum._kind < 0);
      const box = figure.querySelector("canvas.marks, svg.marks")
        .getBoundingClientRect();
      const [left, top] = vegaView.origin();
      const { left: padLeft, top: padTop } = vegaView.padding();
      return [cells.map((cell) => cell.datum._token),
        first.datum._token,
        box.left + padLeft + left + first.x + first.width / 2,
        box.top + padTop + top + first.y + first.height / 2];
    """
    before, token, x, y = chromium.js(find + state)
    assert set(before) != {token}
    chromium.point(x, y, touch=size == PHONE)
    chromium.js("return new Promise((next) => setTimeout(next, 300))")
    after = chromium.js(find + state)[0]
    assert set(after) == {token}
    assert len(after) == len(before)


def unpacked(spec: dict[str, Any]) -> pd.DataFrame:
    """Read the rows that a figure draws from the page's source."""
    table = spec["datasets"][spec["data"]["name"]]
    if isinstance(table, list):
        return pd.DataFrame(table)
    return pd.DataFrame(
        {
            name: column.get("values")
            or [column["levels"][i] for i in column["codes"]]
            for name, column in table.items()
        }
    )


def test_a_figure_gives_its_rows_and_its_picture(address, chromium, site):
    page = page_with("vl-chart", site)
    chromium.open(f"{address}/{page}.html")
    chromium.draw()
    text = (site / f"{page}.html").read_text("utf-8")
    sources = re.findall(
        r'<figure class="vl-chart".*?json">(.*?)</script>', text, re.DOTALL
    )
    given = chromium.js("""
      return [...document.querySelectorAll("figure.vl-chart")]
        .map((figure) => figure.csv());
    """)
    assert len(given) == len(sources) > 0
    for csv, source in zip(given, sources, strict=True):
        wanted = unpacked(json.loads(source)).drop(
            columns="_row", errors="ignore"
        )
        found = pd.read_csv(io.StringIO(csv))
        wanted.columns = [name.lstrip("_") for name in wanted]
        wanted = wanted.loc[:, ~wanted.columns.duplicated()]
        pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
    tools = chromium.js("""
      return [...document.querySelectorAll("figure.vl-chart")].map((f) =>
        [...f.querySelectorAll(".figure-tools button")]
          .map((b) => b.textContent).join());
    """)
    assert set(tools) == {"Copy link,CSV,PNG,SVG,Table"}
    chromium.js('document.querySelector(".figure-tools button").click();')
    name = chromium.js('return document.querySelector("figure.vl-chart").id')
    assert chromium.driver.current_url.endswith(f"#{name}")


def test_one_button_shows_or_hides_all_code(address, chromium, site):
    page = page_with("hide above-input", site)
    state = """
      const seen = (e) => e.checkVisibility();
      return [document.querySelector(".code-button").textContent,
        [...document.querySelectorAll("div.cell div.cell_input")].map(seen)];
    """
    click = 'document.querySelector(".code-button").click()'
    chromium.open(f"{address}/{page}.html")
    chromium.js("localStorage.removeItem('book-code')")
    chromium.open(f"{address}/{page}.html")
    label, seen = chromium.js(state)
    assert label == "Show all code"
    assert set(seen) == {True, False}, "cells that draw are folded"
    chromium.js(click)
    assert chromium.js(state) == ["Hide all code", [True] * len(seen)]
    chromium.open(f"{address}/{page}.html")
    assert chromium.js(state) == ["Hide all code", [True] * len(seen)]
    chromium.js(click)
    assert chromium.js(state) == ["Show all code", [False] * len(seen)]
    chromium.js("localStorage.removeItem('book-code')")


def test_search_finds_a_page(address, chromium):
    chromium.open(f"{address}/search.html?q=CKA")
    found = """
      const done = arguments[0];
      const hits = "#search-results li";
      const list = () => document.querySelectorAll(hits).length;
      const wait = (left) => list() || !left
        ? done(list()) : setTimeout(() => wait(left - 1), 100);
      wait(100);
    """
    assert chromium.driver.execute_async_script(found) >= 1
    assert chromium.loaded().hosts == {HOST}


def test_a_broken_chart_says_so(address, chromium, site):
    page = page_with("vl-chart", site)
    chromium.open(f"{address}/{page}.html")
    chromium.js("""
      const figure = document.querySelector("figure.vl-chart");
      const copy = document.createElement("figure");
      copy.className = "vl-chart";
      copy.innerHTML = '<div class="vl-view"></div>'
        + '<script type="application/json">{"mark": </' + 'script>';
      figure.replaceWith(copy);
      draw(copy);
    """)
    first = chromium.draw()[0]
    assert first["state"] == "error"
    assert "could not be drawn" in first["text"]


def test_the_vendored_files_are_those_recorded():
    vendor = BOOK / "book" / "_site" / "vendor"
    record = json.loads((vendor / "versions.json").read_text("utf-8"))
    for name, entry in record.items():
        folder = vendor / name
        found = {
            path.relative_to(folder).as_posix(): hashlib.sha256(
                path.read_bytes()
            ).hexdigest()
            for path in folder.rglob("*")
            if path.is_file()
        }
        assert found == entry["files_sha256"]
        assert "LICENSE" in found


def test_the_vega_bundle_is_renewed_with_its_maker(tmp_path, monkeypatch):
    path = BOOK / "book" / "_site" / "offline_site.py"
    spec = spec_from_file_location("offline_site", path)
    offline_site = module_from_spec(spec)
    spec.loader.exec_module(offline_site)
    calls = []
    monkeypatch.setattr(
        offline_site.vl_convert,
        "javascript_bundle",
        lambda: calls.append(1) or "var x = 1;",
    )
    for version in ("1", "1", "2"):
        monkeypatch.setattr(offline_site, "version", lambda _, v=version: v)
        offline_site.bundle(tmp_path / "vega")
    assert len(calls) == 2
    (made,) = (tmp_path / "vega").iterdir()
    assert made.read_text("utf-8").startswith("// vl-convert 2\n(function(){")


def test_the_ledger_can_be_filtered_and_taken_along(address, chromium):
    chromium.open(f"{address}/book/claims.html")
    labels, whole = chromium.js(
        """const form = document.querySelector("form.ledger-tools");
        return [[...form.elements].map((e) => e.name || e.textContent),
                document.querySelectorAll("table.ledger tbody tr").length];"""
    )
    assert labels[:4] == ["paper", "verdict", "protocol", "page"]
    assert labels[4:7] == ["Show all", "CSV", "JSON"]
    shown, papers, told, rows = chromium.js(
        """const form = document.querySelector("form.ledger-tools");
        const select = form.elements.paper;
        select.value = "odonnat2026";
        select.dispatchEvent(new Event("change", {bubbles: true}));
        const rows = document.querySelectorAll("table.ledger tbody tr");
        const shown = [...rows].filter((row) => row.offsetHeight);
        let saved;
        saveText = (name, text) => (saved = JSON.parse(text));
        form.querySelector("button[aria-label*=JSON]").click();
        return [shown.length, [...new Set(shown.map((r) => r.dataset.paper))],
                form.querySelector("output").textContent, saved];"""
    )
    assert papers == ["odonnat2026"]
    assert 0 < shown < whole
    assert told == f"{shown} of {whole} claims"
    assert len(rows) == shown
    assert {row["paper"] for row in rows} == {"odonnat2026"}
    assert {"effect", "verdict", "control_mean"} <= set(rows[0])
    back = """document.querySelector(".ledger-tools button").click();
        return document.querySelectorAll("table.ledger tr[hidden]").length"""
    assert chromium.js(back) == 0
    assert chromium.loaded().errors == []
