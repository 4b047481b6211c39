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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from nbformat import NotebookNode

from helpers.choices import unknown
from helpers.paths import DATA
from helpers.press import notebooks, parameters

FOLDER = DATA / "editions"
DEFAULT = "lab"
OWN = "own"
KEYS = ("title", "parameters", "pages", "left_out")
BACK = ("claims", "execution")
"""The pages that read the ledger: they run when all others are done."""


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


@dataclass(frozen=True)
class Job:
    """One page of an edition, ready to run.

    Attributes:
        page: its name.
        source: its `.md` file.
        notebook: that file as a notebook, prose in MyST.
        parameters: the value of every parameter of the page.
        overrides: those values that are not the page's own.
    """

    page: str
    source: Path
    notebook: NotebookNode
    parameters: dict[str, Any]
    overrides: dict[str, Any]


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
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
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


def sources(root: Path) -> dict[str, tuple[Path, NotebookNode]]:
    """Return the pages that have code, in the order of the book."""
    read = {
        page: (source, notebooks.read(source))
        for page, source in notebooks.contents(root).items()
    }
    return {
        page: found
        for page, found in read.items()
        if notebooks.has_code(found[1])
    }


def select(given: Iterable[str], root: Path) -> tuple[list[str], list[str]]:
    """Sort names from the command line into editions and pages.

    Raises:
        ValueError: for a name that is neither, naming the nearest.
    """
    pages, known = list(sources(root)), names(root)
    chosen: tuple[list[str], list[str]] = ([], [])
    for name in given:
        if name in known or Path(name).suffix in (".yaml", ".yml"):
            chosen[0].append(name)
        elif name in pages:
            chosen[1].append(name)
        else:
            raise unknown("edition or page", name, [*known, *pages])
    return chosen


def amend(
    edition: Edition,
    texts: Sequence[tuple[str, str]],
    pages: Sequence[str],
    root: Path,
    name: str = OWN,
) -> Edition:
    """Make an edition of one's own from parameters given as text.

    Args:
        edition: what to start from.
        texts: parameter names and values, as on the command line.
        pages: the pages that take them; all pages when empty.
        root: the checkout.
        name: the name of the result.

    Raises:
        ValueError: a parameter that none of these pages has, naming the
            nearest, or a name that the book's own editions have.
    """
    name = own_name(name)
    read = sources(root)
    declared = {
        page: parameters.of(read[page][1], page) for page in pages or read
    }
    values = {page: dict(v) for page, v in edition.pages.items()}
    for parameter, text in texts:
        takers = [p for p, known in declared.items() if parameter in known]
        if not takers:
            where = " and ".join(pages) or "any page"
            known = {name for found in declared.values() for name in found}
            raise unknown(f"parameter of {where}", parameter, sorted(known))
        for page in takers:
            value = declared[page][parameter].parse(text)
            values.setdefault(page, {})[parameter] = value
    title = f"{edition.title} ({name})"
    return replace(edition, name=name, title=title, pages=values)


def plan(
    edition: Edition,
    root: Path,
    pages: Sequence[str] = (),
    validators: Mapping[str, parameters.Check] | None = None,
) -> list[Job]:
    """Check the parameters of an edition and list its pages.

    Args:
        edition: what to run.
        root: the checkout.
        pages: the pages whose values are checked; all of them when empty.
        validators: what validates specifications; those of the helpers by
            default.

    Returns:
        One job a page that has code and is not left out, in the order of the
        book, the pages that read the ledger last.

    Raises:
        ValueError: an unknown page or parameter, a wrong type, or an invalid
            specification, naming the nearest valid choice; a page that the
            edition leaves out.
    """
    if validators is None:
        validators = parameters.checks()
    read = sources(root)
    for page in (*edition.pages, *edition.left_out):
        if page not in read:
            raise unknown(f"page in edition {edition.name}", page, read)
    for page in set(pages) & set(edition.left_out):
        raise ValueError(
            f"{page} is left out of edition {edition.name}: "
            f"{edition.left_out[page]}"
        )
    declared = {p: parameters.of(book, p) for p, (_, book) in read.items()}
    anywhere = {name for found in declared.values() for name in found}
    for name in edition.parameters:
        if name not in anywhere:
            what = f"parameter in edition {edition.name}"
            raise unknown(what, name, sorted(anywhere))
    jobs = []
    for page, (source, notebook) in read.items():
        if page in edition.left_out:
            continue
        own = declared[page]
        shared = {k: v for k, v in edition.parameters.items() if k in own}
        values = {k: p.default for k, p in own.items()} | shared
        values |= edition.pages.get(page, {})
        if not pages or page in pages:
            parameters.check(page, own, values, validators)
        changed = {k: v for k, v in values.items() if v != own[k].default}
        jobs.append(Job(page, source, notebook, values, changed))
    return sorted(jobs, key=lambda job: job.page in BACK)
