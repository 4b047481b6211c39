"""Editions: the book with one set of parameters.

An edition is a YAML file: a title, parameters for every page that has them,
parameters for single pages, and the pages it leaves out. `plan` checks all
of them against the pages before anything runs.

An edition writes to one folder, `_build/editions/<its name>`, and to nothing
else, so a name that would lead elsewhere is refused. What it reads, models
and images and its own file, may lie anywhere.

To change one number of one page for yourself, give
`vitscope run PAGE -p NAME VALUE`; an edition file is for what you keep.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from helpers.runtime import yaml_files
from helpers.runtime.errors import unknown
from helpers.runtime.paths import DATA

FOLDER = DATA / "editions"
DEFAULT = "lab"
OWN = "own"
KEYS = ("title", "parameters", "pages", "left_out")


@dataclass(frozen=True)
class Edition:
    """A title and parameter values.

    Attributes:
        name: the name of its file and of its folder under `_build/editions`.
        title: the title of its site.
        parameters: values for every page that has such a parameter.
        pages: page to values for that page; they win.
        left_out: pages that mean nothing in this edition, each with a reason.
    """

    name: str
    title: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    pages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    def folder(self, root: Path) -> Path:
        """Return where this edition's results lie in a checkout."""
        return root / "_build" / "editions" / self.name

    def text(self) -> str:
        """Write the edition as the content of its file."""
        content = {
            "title": self.title,
            "parameters": dict(self.parameters),
            "pages": {page: dict(v) for page, v in self.pages.items()},
            "left_out": dict(self.left_out),
        }
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def names(root: Path) -> list[str]:
    """List the editions: those of the book, then those run here."""
    kept = [path.stem for path in sorted(FOLDER.glob("*.yaml"))]
    run = sorted((root / "_build" / "editions").glob("*/edition.yaml"))
    return kept + [p.parent.name for p in run if p.parent.name not in kept]


def load(name: str, root: Path) -> Edition:
    """Read an edition.

    Args:
        name: a name in `data/editions`, the path of a YAML file, or the name
            of an edition that was run here before.
        root: the checkout.

    Raises:
        ValueError: an unknown name, naming the nearest, a file that is not
            an edition, or one that is called like an edition of the book or
            has a name that is no plain folder.
    """
    stored = root / "_build" / "editions" / name / "edition.yaml"
    given = Path(name)
    if (FOLDER / f"{name}.yaml").is_file():
        path, name = FOLDER / f"{name}.yaml", name
    elif given.suffix in (".yaml", ".yml") and given.is_file():
        kept = given.resolve().parent == FOLDER.resolve()
        path, name = given, given.stem if kept else own_name(given.stem)
    elif re.fullmatch(r"[\w-]+", name) and stored.is_file():
        path = stored
    else:
        raise unknown("edition", name, names(root))
    content = yaml_files.read(path)
    if not isinstance(content, dict) or "title" not in content:
        raise ValueError(f"{path}: an edition is a mapping with a title")
    for key in content:
        if key not in KEYS:
            raise unknown(f"key in {path}", str(key), KEYS)
    shared, pages, left_out = (content.get(key) or {} for key in KEYS[1:])
    held = {"parameters": shared, "pages": pages, "left_out": left_out}
    held |= dict(pages) if isinstance(pages, dict) else {}
    for key, values in held.items():
        if not isinstance(values, dict | None):
            raise ValueError(
                f"{path}: {key} must be a mapping of names to values, not "
                f"{values!r}"
            )
    return Edition(
        name,
        str(content["title"]),
        shared,
        {page: values or {} for page, values in pages.items()},
        left_out,
    )


def own_name(name: str) -> str:
    """Return a name that an edition of one's own may have.

    It becomes a folder, so it must not lead anywhere else.

    Raises:
        ValueError: other signs than letters, digits, - and _, or the name of
            an edition in `data/editions`.
    """
    if not re.fullmatch(r"[\w-]+", name) or (FOLDER / f"{name}.yaml").exists():
        raise ValueError(
            f"an edition of your own cannot be called {name!r}: take letters, "
            "digits, - and _, and no name of the book's editions"
        )
    return name
