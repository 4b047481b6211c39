"""What of this package a piece of source uses, through all its imports.

An executed page is made again when a module changes that it imports, directly
or through another module. The faces of packages import everything, so names
are followed instead: a page that says `charts.heatmap` uses the module which
defines `heatmap` and what that module uses. A package that is handed on whole
counts with all that its face gives out.

All is read from the source, imports inside functions included, imports for
type checkers alone left out. Nothing is imported. Relative imports and those
by a computed name are not seen; a test keeps them out of the package.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
Use = tuple[str, tuple[str, ...]]
"""A module, and the attributes that are taken from it, one after another."""


def closure(source: str, package: Path = PACKAGE) -> list[Path]:
    """List the modules that a piece of source uses, and those they use.

    Args:
        source: Python; lines that are IPython's own are passed over.
        package: the folder of the package.

    Returns:
        Their files, sorted. Files beside a module that bear its name, its
        data, count as part of it.

    Raises:
        SyntaxError: the source is not Python.
    """
    plain = [s for s in source.splitlines() if s.lstrip()[:1] not in "%!?"]
    found: set[Path] = set()
    due = _modules(_uses("\n".join(plain), package.name), package)
    while due := due - found:
        found |= due
        used = (
            _in_module(_state(module), package.name)
            for module in due
            if module.name != "__init__.py"
        )
        due = {m for uses in used for m in _modules(uses, package)}
    beside = {file for m in found for file in m.parent.glob(f"{m.stem}.*")}
    return sorted(beside)


def _state(path: Path) -> tuple[Path, int, int]:
    """Tell the states of a file apart, so that each is read once."""
    status = path.stat()
    return path, status.st_size, status.st_mtime_ns


@cache
def _in_module(state: tuple[Path, int, int], package: str) -> frozenset[Use]:
    """Find what a module uses."""
    return _uses(state[0].read_text("utf-8"), package)


@cache
def _given(state: tuple[Path, int, int], package: str) -> dict[str, Use]:
    """Find what a face gives out, and where that is defined."""
    nodes = ast.walk(ast.parse(state[0].read_text("utf-8")))
    return dict(pair for n in nodes for pair in _imports(n, package))


def _uses(source: str, package: str) -> frozenset[Use]:
    """List what a source uses of a package."""
    tree = ast.parse(source)
    typing = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for part in node.body
        for inner in ast.walk(part)
    }
    bound: dict[str, set[Use]] = {}
    for node in ast.walk(tree):
        if node not in typing:
            for name, use in _imports(node, package):
                bound.setdefault(name, set()).add(use)
    parts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    found: set[Use] = set()
    named = set()
    for node in ast.walk(tree):
        if node not in parts and (chain := _chain(node)):
            first, *rest = chain
            named.add(first)
            found |= {(m, (*a, *rest)) for m, a in bound.get(first, ())}
    idle = bound.keys() - named - {package}  # imported for its effects
    return frozenset(found.union(*(bound[name] for name in idle)))


def _imports(node: ast.AST, package: str) -> Iterator[tuple[str, Use]]:
    """Yield the names that an import binds, and what they mean."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] == package:
                if alias.asname:
                    yield alias.asname, (alias.name, ())
                else:  # runs all of it, and binds the package alone
                    yield "", (alias.name, ())
                    yield package, (package, ())
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        if module.split(".")[0] == package:
            for alias in node.names:
                taken = () if alias.name == "*" else (alias.name,)
                yield alias.asname or alias.name, (module, taken)


def _chain(node: ast.AST) -> tuple[str, ...]:
    """Return the parts of a dotted name; nothing for another expression."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and (before := _chain(node.value)):
        return (*before, node.attr)
    return ()


def _modules(uses: Iterable[Use], package: Path) -> set[Path]:
    """Find the modules that define what is used."""
    return {m for use in uses for m in _defining(*use, package)}


def _defining(
    module: str, names: tuple[str, ...], package: Path
) -> Iterator[Path]:
    place = package.parent.joinpath(*module.split("."))
    face = place / "__init__.py"
    if not face.is_file():
        if place.with_suffix(".py").is_file():  # else the page will say so
            yield place.with_suffix(".py")
        return
    given = _given(_state(face), package.name)
    if not names:
        yield face
        for use in given.values():
            yield from _defining(*use, package)
        return
    first, *rest = names
    inner = place / first
    if first in given:
        found, taken = given[first]
        yield from _defining(found, (*taken, *rest), package)
    if inner.is_dir() or inner.with_suffix(".py").is_file():
        yield from _defining(f"{module}.{first}", tuple(rest), package)
    elif first not in given:
        yield face
