"""Faces of packages that import what they give out when it is first asked for.

For packages whose modules bring torch, which takes seconds, while others hold
plain tables that the command line lists. Such a face writes its imports under
`if TYPE_CHECKING`, so that readers and type checkers see ordinary imports,
and `else: __getattr__ = lazy(__name__)` beneath them. Not for a face that
gives out a function of the name of a module.
"""

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def lazy(package: str) -> Callable[[str], Any]:
    """Make the `__getattr__` of a face from the imports in its source.

    Args:
        package: its name.
    """
    face = Path(sys.modules[package].__file__ or "")
    given = {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in ast.walk(ast.parse(face.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        if (node.module or "").startswith(f"{package}.")
        for alias in node.names
    }

    def find(name: str) -> Any:
        if name not in given:
            raise AttributeError(f"module {package!r} has no {name!r}")
        module, original = given[name]
        value = getattr(importlib.import_module(module), original)
        setattr(sys.modules[package], name, value)
        return value

    return find
