"""The reference shows all that the packages give out."""

import ast
import importlib
import pkgutil
import re
from types import ModuleType

import pytest
from sphinx.application import Sphinx
from sphinx.util.inventory import InventoryFile

from helpers.editions import notebooks
from tests.site.test_site import BOOK
from tests.test_house import FACES, SILENT, SOURCES

PRIVATE = {"helpers.runtime"}  # plumbing of the other packages
LISTED = re.findall(
    r"^   (helpers[\w.]+)$", (BOOK / "book/api.md").read_text("utf-8"), re.M
)


def shown(site) -> set[str]:
    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, path: path)
    return {
        name
        for kind, entries in inventory.items()
        if kind.startswith("py:")
        for name in entries
    }


def test_every_package_is_listed():
    packages = {name for name in FACES if name.count(".") == 1}
    assert packages - PRIVATE <= {*LISTED}


def test_every_module_that_pages_import_is_shown(site):
    used = set()
    for source in notebooks.contents(BOOK).values():
        tree = ast.parse(notebooks.code(notebooks.read(source)))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{a.name}" for a in node.names]
                used |= {name for name in names if name in SOURCES}
                if node.module in SOURCES:
                    used.add(node.module)
    used -= {"helpers"}
    assert used
    assert used <= shown(site)


def test_every_name_that_a_package_gives_out_is_shown(site):
    known = shown(site)
    missing = []
    for name in {*LISTED} - SILENT:
        face = importlib.import_module(name)
        for given in getattr(face, "__all__", ()):
            thing = getattr(face, given, None)
            if thing is None:
                thing = importlib.import_module(f"{name}.{given}")
            home = getattr(thing, "__module__", name) or name
            ways = {f"{name}.{given}", f"{home}.{given}"}
            package = ".".join(home.split(".")[:2])
            ways.add(f"{package}.{given}")
            if isinstance(thing, ModuleType):
                ways = {thing.__name__}
            told = callable(thing) or isinstance(thing, ModuleType)
            if told and not ways & known:
                missing.append(f"{name}.{given}")
    assert missing == []


CODE_LINK = re.compile(
    r'<a class="sphinx-codeautolink-a" href="([^"#]+)#([^"]+)"[^>]*>(.*?)</a>',
    re.DOTALL,
)
SOURCES_OF_PAGES = {
    source.stem: source for source in notebooks.contents(BOOK).values()
}


def code_links(html: str) -> dict[str, set[tuple[str, str]]]:
    """Return where each name in the code of a page leads: file and anchor."""
    links: dict[str, set[tuple[str, str]]] = {}
    for file, anchor, name in CODE_LINK.findall(html):
        text = re.sub(r"<[^>]+>|\s", "", name)
        links.setdefault(text, set()).add((file, anchor))
    return links


def used(source) -> dict[str, object]:
    """Return functions, classes and modules of helpers that a page names."""
    tree = ast.parse(notebooks.code(notebooks.read(source)))
    nodes = [*ast.walk(tree)]
    given = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("helpers")
        for alias in node.names
    }
    inner = {node.value for node in nodes if isinstance(node, ast.Attribute)}
    named = {
        ast.unparse(node)
        for node in nodes
        if isinstance(node, ast.Name | ast.Attribute) and node not in inner
    }
    things = {}
    for name in named:
        first, *rest = name.split(".")
        if first in given and len(rest) < 2:
            things[name] = pkgutil.resolve_name(
                ".".join([given[first], *rest])
            )
    return {
        name: thing
        for name, thing in things.items()
        if isinstance(thing, ModuleType) or hasattr(thing, "__qualname__")
    }


@pytest.mark.parametrize("page", SOURCES_OF_PAGES)
def test_helpers_in_the_code_of_a_page_lead_to_the_reference(page, site):
    links = code_links((site / f"book/{page}.html").read_text("utf-8"))
    anchors = set(
        re.findall(r'id="([^"]+)"', (site / "book/api.html").read_text())
    )
    for places in links.values():
        for file, anchor in places:
            assert (site / "book" / file).samefile(site / "book/api.html")
            assert anchor in anchors
    source = SOURCES_OF_PAGES[page]
    wanted = used(source)
    assert wanted or "kernelspec" not in source.read_text("utf-8")
    for name, thing in wanted.items():
        assert name in links, f"{name} leads nowhere"
        for _, anchor in links[name]:
            shown = pkgutil.resolve_name(anchor.removeprefix("module-"))
            assert shown is thing, f"{name} leads to {anchor}"


def test_a_name_that_helpers_lack_leads_nowhere(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BOOK / "book/_site")
    code = "from helpers import cka", "cka.measure(cka.measuer, claims.mean)"
    (tmp_path / "index.rst").write_text(
        "Page\n====\n\n.. code-block:: python\n\n   "
        + "\n   ".join(code)
        + "\n\n.. faces::\n\n   helpers.cka\n"
    )
    Sphinx(
        tmp_path,
        None,
        tmp_path / "html",
        tmp_path / "trees",
        "html",
        {"extensions": ["api_reference"]},
        status=None,
        warning=None,
    ).build()
    html = (tmp_path / "html/index.html").read_text("utf-8")
    links = re.findall(
        r'class="sphinx-codeautolink-a" href="\S*#([^"]+)"', html
    )
    assert links == ["module-helpers.cka", "helpers.cka.measure"]
