"""The house keeps its rules: computed from the source."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.editions.notebooks import contents
from helpers.runtime.paths import checkout

PACKAGE = checkout() / "helpers"
ROOMS = (
    ("runtime", "intervals"),
    ("lab", "models", "images"),
    ("features",),
    ("cka", "measures", "probes"),
    ("claims",),
    ("charts",),
    ("report", "explorers"),
    ("training",),
    ("editions",),
    ("__main__",),
)
"""The rooms of the house, from the ground up."""
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
WORDS = {
    "claims": "a module",
    "execution": "metadata of a notebook's cells",
    "glossary": "a directive of Sphinx",
    "results": "a module",
}
"""Names of pages that mean something else, too."""
LINES = 250
TWICE = {
    "lab": "a room, and the image sets of the lab",
    "specs": "of models and of images",
    "tokens": "features of them and probes on them",
}
"""Names that two modules have, and what each means."""


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


SOURCES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {
    name: ast.parse(path.read_text("utf-8")) for name, path in SOURCES.items()
}


def package_of(name: str) -> str:
    """Return the package that a module's relative imports start from."""
    whole = SOURCES[name].name == "__init__.py"
    return name if whole else name.rpartition(".")[0]


def imported(name: str) -> Iterator[str]:
    """Yield what a module imports of the house, wherever it does so.

    `from package import module` means the module; another name means what
    the package's face gives out, and so the face.
    """
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package_of(name).split(".")
                kept = above[: len(above) - node.level + 1]
                base = ".".join([*kept, *filter(None, [node.module])])
            found = [
                inner if inner in SOURCES else base
                for inner in (f"{base}.{alias.name}" for alias in node.names)
            ]
        else:
            continue
        yield from (module for module in found if module in SOURCES)


GRAPH = {name: set(imported(name)) - {name} for name in SOURCES}


def room_of(name: str) -> str:
    return name.split(".")[1]


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strip all that leads nowhere; what is left goes round in circles."""
    left = {node: set(ends) for node, ends in graph.items()}
    while loose := [n for n, ends in left.items() if not ends & left.keys()]:
        for node in loose:
            del left[node]
    return [sorted(left)] if left else []


def rooms(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Join the modules of each room."""
    joined: dict[str, set[str]] = {room: set() for room in FLOOR}
    for name, ends in graph.items():
        for end in ends:
            if "helpers" not in (name, end) and room_of(name) != room_of(end):
                joined[room_of(name)].add(room_of(end))
    return joined


def test_every_package_is_a_room() -> None:
    assert {room_of(name) for name in SOURCES if name != "helpers"} == {*FLOOR}


def test_modules_import_in_no_circle() -> None:
    assert not circles(GRAPH)


def test_rooms_import_in_no_circle() -> None:
    assert not circles(rooms(GRAPH))


def test_nothing_is_imported_from_above() -> None:
    upward = [
        f"{room} imports {other}"
        for room, others in rooms(GRAPH).items()
        for other in others
        if FLOOR[other] > FLOOR[room]
    ]
    assert not upward


def test_a_circle_would_be_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set[str]()}
    assert circles(graph) == [["a", "b", "c"]]
    assert not circles(graph | {"c": {"d"}})


def test_imports_inside_functions_and_for_types_count() -> None:
    inside = "helpers.probes.layerwise"
    assert inside in GRAPH["helpers.probes"]
    assert "helpers.features" in GRAPH[inside]  # in a function
    assert "helpers.images.image_set" in GRAPH[inside]  # for types


def test_a_name_means_one_module() -> None:
    names = [
        name.rpartition(".")[2]
        for name, path in SOURCES.items()
        if path.stem != "__main__" and name != "helpers"
    ]
    counts = Counter(names)
    assert {n: c for n, c in counts.items() if c > 1} == dict.fromkeys(
        TWICE, 2
    )


@pytest.mark.parametrize("name", SOURCES)
def test_a_module_is_short(name: str) -> None:
    lines = len(SOURCES[name].read_text("utf-8").splitlines())
    assert lines <= LINES


@pytest.mark.parametrize("name", SOURCES)
def test_no_assert_guards_input(name: str) -> None:
    found = [n.lineno for n in ast.walk(TREES[name]) if type(n) is ast.Assert]
    assert not found


FACES = [n for n, p in SOURCES.items() if p.stem == "__init__"]
SILENT = {"helpers", "helpers.training"}  # do not list what they give out


def imports_of(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Look into the one form of a face that imports what is asked for."""
    for node in nodes:
        if isinstance(node, ast.If):
            assert ast.unparse(node.test) == "TYPE_CHECKING"
            (late,) = node.orelse
            assert ast.unparse(late) == "__getattr__ = lazy(__name__)"
            yield from node.body
        else:
            yield node


@pytest.mark.parametrize("name", sorted({*FACES} - SILENT))
def test_a_face_says_what_it_gives_out_and_holds_no_code(name: str) -> None:
    doc, *body = TREES[name].body
    assert isinstance(doc, ast.Expr)
    *nodes, names = body
    imports = list(imports_of(nodes))
    assert all(isinstance(node, ast.ImportFrom) for node in imports)
    assert isinstance(names, ast.Assign)
    assert ast.unparse(names.targets[0]) == "__all__"
    told = ast.get_docstring(TREES[name]) or ""
    given = ast.literal_eval(names.value)
    assert [word for word in given if f"`{word}`" not in told] == []
    bound = {a.asname or a.name for node in imports for a in node.names}
    modules = {n.rpartition(".")[2] for n in SOURCES if n.startswith(name)}
    assert {*given} <= bound | modules


def names_in(tree: ast.Module) -> Iterator[str]:
    """Yield the names and texts of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name | ast.Attribute):
            yield node.id if isinstance(node, ast.Name) else node.attr


def test_no_page_is_known_by_name_to_what_runs_pages() -> None:
    """A page says what it is; a word alone may mean something else, too."""
    found = []
    for name, tree in TREES.items():
        if name != "helpers" and room_of(name) in ("editions", "__main__"):
            for text in names_in(tree):
                found += [
                    f"{name}: {page}"
                    for page in contents(checkout())
                    if (text == page and page not in WORDS)
                    or ("_" in page and re.search(rf"\b{page}\b", text))
                ]
    assert not found
