"""A page with other weights in place of its models'.

Untrained weights make a *control*: what a claim comes to without training.
Those of a second training show what the chance of training does to it, those
of a shorter one whether it still moves. In each case the page is the same;
only the specs of its models change.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from helpers import models
from helpers.claims import other_weights
from helpers.claims.other_weights import CONTROLS, LENGTHS, SEEDS
from helpers.editions import provenance
from helpers.editions.jobs import Job
from helpers.editions.parameters import MODEL
from helpers.models.vision_model import LAB
from helpers.runtime.paths import DATA

TWIN = "_twin"
TWINS = "twins"
"""Where second trainings come from, if not out of a folder."""
FIRST_SEEDS = 100
"""How far the seeds of two draws lie apart: more than a page has models."""
Swap = Callable[[Sequence[str]], dict[str, str]]
"""From the model specs of a page to what takes their place."""


@dataclass(frozen=True)
class Weights:
    """Other weights for the models of a page.

    Attributes:
        kind: `controls`, `seeds` or `lengths`.
        label: what a run with them is called.
        swap: which spec takes the place of which.
    """

    kind: str
    label: str
    swap: Swap


def untrained(draw: int) -> Weights:
    """Take untrained weights for every model.

    Each model of a page has a seed of its own, so that two trainings of one
    recipe become two different networks; a model that is named twice stays
    one.

    Args:
        draw: of the weights, from 1.
    """

    def swap(specs: Sequence[str]) -> dict[str, str]:
        first = draw * FIRST_SEEDS
        return {
            spec: models.untrained(spec, first + place)
            for place, spec in enumerate(dict.fromkeys(specs))
        }

    return Weights(CONTROLS, str(draw), swap)


def twins() -> Weights:
    """Let the twins of the zoo change places with their models."""
    names = _trained(DATA / "zoo")
    pairs = {n.removesuffix(TWIN): n for n in names if n.endswith(TWIN)}
    both = pairs | {twin: name for name, twin in pairs.items()}
    known = {LAB + name: LAB + twin for name, twin in both.items()}
    return Weights(SEEDS, TWINS, partial(_chosen, known))


def second(folder: Path) -> Weights:
    """Take the weights of a folder for the models of the lab.

    Args:
        folder: files `<name>.safetensors`, called like those of the zoo; a
            `zoo.json` beside them is read where gates need a card.

    Raises:
        ValueError: there are none, or the name of the folder, which names
            the training, cannot stand for one.
    """
    known = _in_folder(folder)
    if not re.fullmatch(r"[\w-]+", folder.resolve().name):
        raise ValueError(
            f"the folder of a training gives it its name, which "
            f"{folder.resolve().name!r} cannot: take letters, digits, - and _"
        )
    label = folder.resolve().name
    return Weights(SEEDS, label, partial(_chosen, known))


def shorter(folder: Path, share: float) -> Weights:
    """Take the weights of shorter trainings for the models of the lab.

    Args:
        folder: as for `second`.
        share: of the scenes of each model's recipe that it has seen.

    Raises:
        ValueError: there are no weights.
    """
    known = _in_folder(folder)
    return Weights(LENGTHS, f"{share:g}", partial(_chosen, known))


def _in_folder(folder: Path) -> dict[str, str]:
    """List the models of the lab that a folder has weights of."""
    names = _trained(folder)
    if not names:
        raise ValueError(
            f"no weights in {folder}: expected files like "
            "vit_cls.safetensors, called like those of data/zoo"
        )
    return {LAB + n: f"{LAB}{n}@{folder / n}.safetensors" for n in names}


def _chosen(known: Mapping[str, str], specs: Sequence[str]) -> dict[str, str]:
    return {spec: known[spec] for spec in specs if spec in known}


def _trained(folder: Path) -> list[str]:
    """List the models that a folder has weights of."""
    names = (path.stem for path in sorted(folder.glob("*.safetensors")))
    return [name for name in names if "." not in name]


def with_weights(job: Job, weights: Weights) -> tuple[Job, dict[str, str]]:
    """Give the models of a page other weights.

    Returns:
        The page, and which spec took the place of which; none where there
        are no such weights for any of its models.
    """
    new = weights.swap(job.specs(MODEL))
    values = dict(job.parameters)
    for own in job.declared.values():
        if own.help.startswith(MODEL) and values[own.name]:
            given = values[own.name]
            values[own.name] = (
                [new.get(spec, spec) for spec in given]
                if isinstance(given, list)
                else new.get(given, given)
            )
    return replace(job, parameters=values), new


def signature(job: Job, weights: Weights) -> dict[str, object]:
    """Digest what the numbers of a page with other weights depend on.

    The same on every machine, and blind to what does not move a number:
    prose, charts, versions of libraries.

    Returns:
        `code` of the page and of the modules it measures with, `data`: images
        and the weights of the book, and `models`: what took the place of
        each, seeds by their spec and files by their sha256.
    """
    new = with_weights(job, weights)[1]
    made = {old: _sha256(spec) for old, spec in new.items()}
    return {**_numbers(weights.kind, job), "models": made}


def _numbers(kind: str, job: Job) -> dict[str, str]:
    """Digest what a page measures with, apart from what `models` tells.

    Second trainings are compared with the weights of the book, which are
    therefore part of it.
    """
    book = job if kind == SEEDS else with_weights(job, untrained(1))[0]
    return provenance.numbers(book)


def changed(
    kept: Mapping[str, object], now: Mapping[str, object]
) -> list[str]:
    """List the parts of a signature that differ."""
    return [part for part in now if kept.get(part) != now[part]]


def outdated(kind: str, job: Job) -> list[str]:
    """List what has changed since a page was measured on other weights.

    Returns:
        `code`, `data` or both; nothing where the numbers are of this version
        or there are none.
    """
    kept = other_weights.read(kind, job.page)
    if not other_weights.speaks_of(kept, job.parameters):
        return []
    made = _numbers(kind, job)
    found = [
        part for run in kept["runs"].values() for part in changed(run, made)
    ]
    return list(dict.fromkeys(found))


def _sha256(spec: str) -> str:
    path = provenance.weights(spec)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else spec
