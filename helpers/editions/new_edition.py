"""A new edition: your models in the roles that the pages have for them.

The comments of a page's parameters say which model or image set may stand
there, as in `model spec (a ResNet)`; beside these, one without a role keeps
the lab's. A page is left out where your models cannot take its roles, or where
none of its models has one, and the file says why. Which model was trained how
cannot be seen in a name: look through the file before you run it.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import helpers.editions.edition as edition
import helpers.editions.jobs as jobs
import helpers.editions.parameters as parameters
import helpers.editions.required_files as required_files
import helpers.editions.results as results
from helpers import images, models
from helpers.editions.edition import Edition
from helpers.editions.parameters import IMAGES, MODEL, Parameter
from helpers.editions.roles import KEPT, OPTIONAL, cast, lacking, teams_of
from helpers.images import hub, specs

COUNT = re.compile(
    r"(labelled |training |test )?(images|scenes)\b|likewise|the same"
)
"""How the comment of a parameter begins that is a number of images."""
TRAINING = ("bank", "train")
"""How the names of those end that are numbers of training images."""

HEAD = """\
# {name}: made by `vitscope new-edition`, yours to edit.
#
#   vitscope run {run} --plan     what it would run and fetch
#   vitscope run {run} --smoke    every page once, small and untrained
#   vitscope run {run} && vitscope build {run}
#
# Other parameters of the pages: `vitscope chapters`. To run a page that is
# left out, give it models under `pages` and remove it below.
title: {title}
pages:
"""

KEEPS = "it is about the lab's own images"
UNTOLD = "no name tells which models can be its "


def write(name: str, specs: Sequence[str], spec: str, root: Path) -> Path:
    """Write the file of a new edition, once all of it has been checked.

    Args:
        name: its name, or a path in the working folder that ends in `.yaml`.
        specs: model specs.
        spec: image spec.
        root: the checkout.

    Returns:
        The file: in `data/editions` where that is part of the checkout, or
        else in the working folder.

    Raises:
        ValueError: a bad or taken name, a path outside the working folder,
            no model, or an unknown spec, naming the nearest valid choice.
        FileNotFoundError: a file or folder in a spec is not there.
    """
    path = place(name, root)
    if not specs:
        raise ValueError("an edition of which models? Give --models a,b,c")
    for model in specs:
        models.check(model)
    images.check(spec)
    text = compose(path, list(dict.fromkeys(specs)), spec, root)
    pages = yaml.safe_load(text)["pages"] or {}
    jobs.plan(Edition(path.stem, "", {}, pages), root)
    results.write(path, text)
    return path


def place(name: str, root: Path) -> Path:
    """Return where the file of a new edition goes.

    Raises:
        ValueError: as `write`.
    """
    path, working = Path(name), Path.cwd()
    is_path = path.suffix in (".yaml", ".yml")
    stem = path.stem if is_path else name
    if stem == edition.OWN or stem in edition.names(root):
        raise ValueError(
            f"there is an edition {stem!r} already; choose another name"
        )
    edition.own_name(stem)
    if not is_path:
        kept = edition.FOLDER.is_relative_to(root)
        path = Path(edition.FOLDER if kept else "", f"{stem}.yaml")
    elif not path.resolve().is_relative_to(working.resolve()):
        raise ValueError(
            f"{path} is outside the working folder {working}; give a path in "
            f"it, like {stem}.yaml"
        )
    if path.exists():
        raise ValueError(f"{path} is there already; choose another name")
    return path


def called(path: Path) -> str:
    """Say what to call an edition's file on the command line."""
    return path.stem if path.parent == edition.FOLDER else str(path)


def compose(path: Path, specs: Sequence[str], spec: str, root: Path) -> str:
    """Write the text of an edition.

    Args:
        path: its file.
        specs: model specs, each once.
        spec: image spec.
        root: the checkout.
    """
    teams = teams_of(specs)
    sizes = _sizes(spec)
    title = f"Inside Vision Transformers ({path.stem})"
    lines = [HEAD.format(name=path.stem, run=called(path), title=title)]
    left_out: dict[str, str] = {}
    for page, (_, notebook) in jobs.sources(root).items():
        own = parameters.of(notebook, page)
        roles = {name: p.role for name, p in own.items() if p.role}
        kept = [
            name
            for name, p in own.items()
            if p.help.startswith(MODEL) and not p.role
        ]
        if needed := " and ".join(lacking(roles, teams)):
            left_out[page] = f"it needs {needed}"
        elif any(own[name].help.startswith(MODEL) for name in roles):
            values = cast(own, roles, teams) | _images(own, spec, sizes)
            block = yaml.safe_dump({page: values}, sort_keys=False)
            note = f"From the lab: {', '.join(kept)}."
            lines += _comment(note) if kept else []
            lines += [*(f"  {line}\n" for line in block.splitlines()), "\n"]
        elif kept:
            left_out[page] = UNTOLD + ", ".join(kept)
        elif roles:
            left_out[page] = KEEPS
    lines.append(yaml.safe_dump({"left_out": left_out}, sort_keys=False))
    return "".join(lines)


def _images(
    own: Mapping[str, Parameter], spec: str, sizes: Mapping[bool, int]
) -> dict[str, Any]:
    """Choose image sets, targets, and no more images than there are."""
    values: dict[str, Any] = {}
    if KEPT in [parameter.role for parameter in own.values()]:
        return values
    for name, parameter in own.items():
        if parameter.help.startswith(IMAGES):
            several = [] if parameter.role == OPTIONAL else [spec]
            values[name] = spec if parameter.kind == "str" else several
        elif name in ("target", "targets"):
            values[name] = "class"
        elif is_count(parameter):
            there = sizes.get(name.endswith(TRAINING))
            if there is not None and there < parameter.default:
                values[name] = there
    return values


def is_count(own: Parameter) -> bool:
    """Tell whether a parameter is a number of images."""
    return own.name.startswith("num_") and bool(COUNT.match(own.help))


def _comment(text: str) -> list[str]:
    mark = "  # "
    lines = textwrap.wrap(
        text, 79, initial_indent=mark, subsequent_indent=mark
    )
    return [f"{line}\n" for line in lines]


def _sizes(spec: str) -> dict[bool, int]:
    """Count training (True) and test images, where that fetches nothing."""
    if spec in hub.ALIASES:
        known = hub.ALIASES[spec]
        return {True: known.train, False: known.test}
    if required_files.of_images(spec) is not None:
        return {}
    return {
        split == "train": len(images.load(spec, split))
        for split in specs.SPLITS
    }
