"""Sphinx extension: the reference is made from the docstrings.

A page lists packages and modules in the directive `faces`; each is shown with
what its `__all__` gives out, modules in it included. An object is shown once,
in the package that holds its source. Names in the code of pages lead there:
sphinx-codeautolink makes the links.
"""

import re
from importlib import import_module
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

_CODE = re.compile(r"(`+[^`]+`+)")
_MARKUP = re.compile(r"([*|\\]|(?<=\w)_(?!\w))")


def modules(name: str) -> list[str]:
    """Return a package's name and those of the modules that it gives out."""
    package = import_module(name)
    inner = []
    for given in getattr(package, "__all__", ()):
        if not hasattr(package, given):
            import_module(f"{name}.{given}")
        if isinstance(module := getattr(package, given), ModuleType):
            inner.append(module.__name__)
    return [name, *inner]


class Faces(SphinxDirective):
    """Show packages and modules, one per line of the content."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Write a section for each, and let autodoc fill it."""
        lines: list[str] = []
        for listed in self.content:
            for name in modules(listed):
                mark = "-" if name == listed else "~"
                lines += [f".. _{name}:", "", name, mark * len(name), ""]
                lines += [f".. automodule:: {name}", "   :members:", ""]
        section = nodes.section()
        section.document = self.state.document
        content = StringList(lines, source=self.get_source_info()[0])
        nested_parse_with_titles(self.state, content, section)
        return section.children


def literal(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Write a docstring's code and plain text as reStructuredText.

    Docstrings put code in single backticks and use no other markup.
    """
    prose = []
    for line in lines:
        prompt = line.lstrip().startswith((">>>", "..."))
        prose.append(line.replace("`", "\0") if prompt else line)
    parts = _CODE.split("\n".join(prose))
    for i, part in enumerate(parts):
        if i % 2:
            parts[i] = f"``{part.strip('`')}``"
        elif ">>>" not in part:
            parts[i] = _MARKUP.sub(r"\\\1", part)
    lines[:] = "".join(parts).replace("\0", "`").split("\n")


def elsewhere(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Skip what another package gives out, too: it is shown there."""
    here = app.env.temp_data.get("autodoc:module") or ""
    source = getattr(obj, "__module__", None) or here
    if what != "module" or not source.startswith("helpers."):
        return None
    package = ".".join(source.split(".")[:2])
    if here.startswith(package):
        return None
    given = getattr(import_module(package), "__all__", ())
    return name in given or None


def places(app: Sphinx, env: BuildEnvironment) -> None:
    """Tell where names are shown that a page may import from elsewhere.

    A function is known by the file of its source, and shown with its package;
    a constant is not shown by itself, and leads to its module.
    """
    shown = env.domains["py"].objects
    known = app.config.codeautolink_inventory_map
    for module in [n for n, entry in shown.items() if entry[2] == "module"]:
        face = import_module(module)
        for name in dir(face):
            here = f"{module}.{name}"
            source = getattr(getattr(face, name, None), "__module__", module)
            if here in shown:
                known[f"{source}.{name}"] = here
            elif name.isupper():
                known[here] = module


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx; before napoleon, which reads the sections."""
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.setup_extension("sphinx_codeautolink")
    app.add_directive("faces", Faces)
    app.connect("autodoc-process-docstring", literal, priority=400)
    app.connect("autodoc-skip-member", elsewhere)
    app.connect("env-updated", places, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
