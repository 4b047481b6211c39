"""The reference shows all that the packages give out."""

import ast
import importlib
import re
from types import ModuleType

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
