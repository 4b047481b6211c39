"""A new edition: your models in the roles that the pages have for them.

`ROLES` says what each page compares. A page whose roles your models cannot
take stays as it is in the lab, and the file says why. Which model was trained
how cannot be seen in a name: look through the file before you run it.
"""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import yaml

import helpers.editions.cost_estimates as cost_estimates
import helpers.editions.edition as edition
import helpers.editions.jobs as jobs
import helpers.editions.parameters as parameters
import helpers.editions.required_files as required_files
import helpers.editions.results as results
from helpers import images, models
from helpers.editions.edition import Edition
from helpers.editions.outlines import outline
from helpers.editions.page_roles import KINDS, LEFT, ROLES, THREE
from helpers.editions.parameters import Parameter
from helpers.images import hub, specs
from helpers.measures.attention_weights import obstacle

HEAD = """\
# {name}: made by `vitscope new-edition`, yours to edit.
#
#   vitscope run {run} --plan     what it would fetch and take
#   vitscope run {run} --smoke    every page once, small and untrained
#   vitscope run {run} && vitscope build {run}
#
# Other parameters of the pages: `vitscope chapters`. A page without values
# here runs as in the lab, with its models and images.
title: {title}
pages:
"""


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
    teams = _teams(specs)
    sizes = _sizes(spec)
    title = f"Inside Vision Transformers ({path.stem})"
    lines = [HEAD.format(name=path.stem, run=called(path), title=title)]
    for page, (_, notebook) in jobs.sources(root).items():
        roles = ROLES.get(page, {})
        lacking = {
            KINDS[role]
            for role in roles.values()
            if role in KINDS and not teams[role]
        }
        if lacking or page in LEFT:
            takes = LEFT.get(page) or f"needs {' and '.join(sorted(lacking))}"
            lines += [*_comment(f"{page} {takes}."), "\n"]
        elif roles:
            own = parameters.of(notebook, page)
            values = _models(roles, teams)
            if page != "what_is_encoded_where":
                values |= _images(own, spec, sizes)
            block = yaml.safe_dump({page: values}, sort_keys=False)
            body = [f"  {line}\n" for line in block.splitlines()]
            lines += [*_notes(own, roles), *body, "\n"]
    return "".join(lines).rstrip() + "\n"


def _teams(specs: Sequence[str]) -> dict[str, list[str]]:
    """Sort models by the roles that they can take."""
    outlines = {spec: outline(spec).model for spec in specs}

    def having(layer: str) -> list[str]:
        """List models with a layer, or with blocks that have it."""
        return [
            spec
            for spec, model in outlines.items()
            if any(name.rpartition(".")[2] == layer for name in model.taps)
        ]

    vits = [s for s, m in outlines.items() if m.grid and not obstacle(m)]
    depths = [len(outline(s).chosen("out")) for s in vits]
    alike = [s for s, n in zip(vits, depths, strict=True) if n == depths[0]]
    return {
        "all": list(specs),
        "vit": vits,
        "three": alike if len(alike) >= len(THREE) else [],
        "cls": [s for s in vits if outlines[s].has_class_token],
        "gap": [s for s in vits if not outlines[s].has_class_token],
        "cnn": having("stem"),
        "mixer": having("mix"),
    }


def _models(
    roles: Mapping[str, str], teams: Mapping[str, list[str]]
) -> dict[str, Any]:
    """Cast models; a role met again takes the next one."""
    turns = {role: cycle(team) for role, team in teams.items() if team}
    cast: dict[str, Any] = {}
    for name, role in roles.items():
        if role in KINDS:
            cast[name] = next(turns[role])
        elif role == "untrained":
            cast[name] = models.untrained(cast["vit"])
        elif role != "lab":
            first, *rest = teams["all"]
            parts = {"first": first, "rest": rest, "all": teams["all"]}
            cast[name] = parts.get(role, [])
    return cast


def _images(
    own: Mapping[str, Parameter], spec: str, sizes: Mapping[bool, int]
) -> dict[str, Any]:
    """Choose image sets, targets, and no more images than there are."""
    values: dict[str, Any] = {}
    for name, parameter in own.items():
        if parameter.help.startswith("image spec"):
            several = [spec] if name == "datasets" else []
            values[name] = spec if parameter.kind == "str" else several
        elif name in ("target", "targets"):
            values[name] = "class"
        elif cost_estimates.is_count(parameter):
            there = sizes.get(name.endswith(cost_estimates.TRAINING))
            if there is not None and there < parameter.default:
                values[name] = there
    return values


def _notes(
    own: Mapping[str, Parameter], roles: Mapping[str, str]
) -> list[str]:
    """Name the models that a page keeps."""
    kept = [
        f"{name} ({own[name].default})"
        for name, role in roles.items()
        if role == "lab"
    ]
    return _comment(f"From the lab: {', '.join(kept)}.") if kept else []


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
    if required_files.of_images(spec, []) is not None:
        return {}
    return {
        split == "train": len(images.load(spec, split))
        for split in specs.SPLITS
    }
