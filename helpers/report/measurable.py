"""Which measures of the book an architecture has, or the reason why not.

Measures are taken as the report `your_model` takes them, of small untrained
models, so an answer says what can be measured, never what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import timm
import torch

from helpers import cka, models
from helpers.measures import localization
from helpers.models.input_preparation import SETTINGS
from helpers.models.weights import open_branches
from helpers.probes import samples
from helpers.report import probed
from helpers.report.parts import Part, distances, norms, reach, similarity
from helpers.runtime import yaml_files
from helpers.runtime.errors import unknown
from helpers.runtime.paths import DATA

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel

FILE = DATA / "backbones.yaml"
SIDE = 64  # pixels, where an architecture is built for no size
POSITIONS = 4  # of a token map
CHANNELS = 4  # of a receptive field
YES, PARTLY, NO = "yes", "in part", "no"


def listed(names: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Look up architectures.

    Args:
        names: what the table calls them; none means all of them.

    Returns:
        Name -> arguments of `small`.

    Raises:
        ValueError: an unknown name; names the nearest.
    """
    known = yaml_files.read(FILE)
    for name in names:
        if name not in known:
            raise unknown("architecture", name, known)
    return {name: known[name] for name in names or known}


def small(name: str, **settings: Any) -> VisionModel:
    """Build an untrained model of timm for small images.

    Args:
        name: of the architecture.
        settings: what timm's constructor takes, such as `embed_dim`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = timm.create_model(name, num_classes=0, **settings)
    open_branches(module)
    config = module.pretrained_cfg
    prepared = {key: config[key] for key in SETTINGS if key in config}
    prepared["input_size"] = settings.get("img_size", SIDE)
    return models.wrap(module, name, preprocessing=prepared)


def examine(
    model: VisionModel,
    scenes: Images,
    seen: Images,
    bank: Images,
    test: Images,
    target: str = "class",
    batch_size: int = 4,
) -> dict[str, str]:
    """Take every measure of a model.

    Args:
        model: the model.
        scenes: images for all measures but those that follow.
        seen: images for receptive fields, which cost a backward pass each.
        bank: the images that probes are fitted to.
        test: the images that they are asked about.
        target: what is read out.
        batch_size: images of a forward pass and of an HSIC minibatch.

    Returns:
        Measure -> `yes`, a reason, or `in part` with what is missing.
    """

    def like_itself() -> Part:
        alone = cka.measure(model, None, scenes, batch_size=batch_size)
        return similarity(alone)

    def localised() -> Part:
        maps = localization.heatmaps(
            model, scenes, "out", batch_size, POSITIONS
        )
        return Part({name: float(m.cka.max()) for name, m in maps.items()})

    def read() -> Part:
        tokens = [probed.TOKENS]
        kept = samples.pool(model, bank, test, "out", tokens, target)
        return probed.by_layer(kept, bank, test, [target])

    measures: Mapping[str, Callable[[], Part]] = {
        "layers": lambda: _layers(model),
        "CKA": like_itself,
        "attention": lambda: distances(model, scenes, batch_size),
        "residual sums": lambda: norms(model, scenes, batch_size),
        "receptive field": lambda: reach(model, seen, CHANNELS),
        "localisation": localised,
        "probes": read,
    }
    return {name: _answer(model, take) for name, take in measures.items()}


def _layers(model: VisionModel) -> Part:
    """Count layers: more than one for each block or stage?"""
    names = list(model.taps)
    if all(name.endswith(".out") for name in names):
        few = "only the outputs of its blocks or stages"
        return Part(note=f"has {few}, for its family is not known")
    return Part({"layers": float(len(names))})


def _answer(model: VisionModel, take: Callable[[], Part]) -> str:
    """Say whether a measure has numbers, or why it has none."""
    try:
        part = take()
    except ValueError as error:
        part = Part(note=str(error))
    note = part.note.removeprefix(f"{model.spec} ")
    if not part.numbers:
        return note
    lacking = [k for k, v in part.numbers.items() if not np.isfinite(v)]
    if lacking:
        note = "; ".join(filter(None, [note, f"undefined: {lacking}"]))
    return f"{PARTLY}: {note}" if note else YES


def kind(answer: str) -> str:
    """Tell `yes`, `in part` and `no` apart."""
    if answer == YES:
        return YES
    return PARTLY if answer.startswith(f"{PARTLY}: ") else NO


def counts(answers: pd.DataFrame) -> pd.DataFrame:
    """Count the answers to each measure.

    Args:
        answers: one row per architecture, one column per measure.

    Returns:
        One row per `measure` and `answer`, with `architectures`, a number.
    """
    table = answers.map(kind).melt(var_name="measure", value_name="answer")
    groups = table.groupby(["measure", "answer"], sort=False)
    return groups.size().rename("architectures").reset_index()


def sentence(answers: pd.DataFrame) -> str:
    """Say how many architectures have all measures, and which fit all."""
    kinds = answers.map(kind) == YES
    everywhere = ", ".join(kinds.columns[kinds.all()]) or "none"
    return (
        f"All {kinds.shape[1]} measures in full: {kinds.all(axis=1).sum()} of "
        f"{len(kinds)} architectures. Measures that each of them has: "
        f"{everywhere}. Cells with a yes: {int(kinds.sum().sum())} of "
        f"{kinds.size}."
    )


def reasons(answers: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Number the reasons of a table of answers.

    Args:
        answers: one row per architecture, one column per measure.

    Returns:
        The table with the number of its reason in place of each; and one row
        per number: the `reason`, its `measure` and its `architectures`.
    """
    rows: dict[tuple[str, str], list[str]] = {}
    short = answers.copy()
    for measure in answers:
        for name, answer in answers[measure].items():
            if answer != YES:
                where = rows.setdefault((str(measure), answer), [])
                where.append(str(name))
                number = list(rows).index((str(measure), answer)) + 1
                short.loc[name, measure] = f"{kind(answer)} ({number})"
    told = [
        {"reason": why, "measure": measure, "architectures": ", ".join(where)}
        for (measure, why), where in rows.items()
    ]
    numbers = pd.RangeIndex(1, len(told) + 1, name="number")
    columns = ["reason", "measure", "architectures"]
    return short, pd.DataFrame(told, index=numbers, columns=columns)
