"""How long a page would take and what memory it would need, roughly.

What a page does with its models (`helpers.editions.outlines`) is estimated by
one rule: every image it draws goes once through each of its models. Three
tables below tell where a page does more.

Expect to be off by a factor of two or three; probes, charts and downloads
are not in the time.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import helpers.editions.parameters as parameters
from helpers.editions.jobs import Job
from helpers.editions.outlines import Outline, outline, speed
from helpers.editions.parameters import Parameter
from helpers.editions.required_files import BYTES, Draw
from helpers.probes.modules import MODULES

COUNT = re.compile(
    r"(labelled |training |test )?(images|scenes)\b|likewise|the same"
)
"""How the comment of a parameter begins that is a number of images."""
TRAINING = ("bank", "train")
SHOWN = {
    "representation_structure": 2,
    "skip_connections": 2,
    "finetuning_and_representations": 3,
    "mixers": 2,
}
"""How often a page shows its images to its models, if not once."""
KEPT = {
    "measuring_similarity": ("out", 4),
    "localized_probes": ("vit_layers", 3),
    "scale_and_transfer": ("out", 4),
    "ssl_class_separability": ("out", 3),
    "layers_under_shift": ("out", 1),
    "modules_under_shift": (",".join(MODULES), 3),
    "what_is_encoded_where": ("attn,out", 5),
    "your_model": ("out", 1),
}
"""The layers whose features a page keeps, and how many of each."""
COPIES = 4  # of the largest activation at once, while a layer is computed
START_S = 15.0  # a kernel, the imports, the models
BASE = 1.5e9  # bytes of a kernel with torch


@dataclass(frozen=True)
class Needs:
    """What a page needs, in seconds and bytes.

    Attributes:
        seconds: of computing.
        device: memory where the models are.
        main: main memory for what is kept of the images; where the models
            are on the CPU, `device` comes on top.
    """

    seconds: float
    device: float
    main: float


def specs(job: Job, kind: str) -> dict[str, list[str]]:
    """Collect the specs of a page.

    Args:
        job: the page.
        kind: `model spec` or `image spec`.

    Returns:
        Parameter to its specs.
    """
    found = {}
    for own in parameters.of(job.notebook, job.page).values():
        if own.help.startswith(kind):
            value = job.parameters[own.name]
            found[own.name] = value if isinstance(value, list) else [value]
    return found


def is_count(own: Parameter) -> bool:
    """Tell whether a parameter is a number of images."""
    return own.name.startswith("num_") and bool(COUNT.match(own.help))


def counts(job: Job) -> dict[str, int]:
    """Return the numbers of images that a page draws, by parameter."""
    return {
        own.name: job.parameters[own.name]
        for own in parameters.of(job.notebook, job.page).values()
        if is_count(own)
    }


def unique(found: dict[str, list[str]]) -> list[str]:
    """List the specs of all parameters, each once."""
    return list(dict.fromkeys(s for group in found.values() for s in group))


def draws(job: Job) -> list[Draw]:
    """List what a page asks of each of its image sets, at most."""
    wanted = {True: 0, False: 0}
    for name, number in counts(job).items():
        train = name.endswith(TRAINING)
        wanted[train] = max(wanted[train], number)
    every = unique(specs(job, "image spec"))
    return [Draw(spec, wanted[True], wanted[False]) for spec in every]


def needs(job: Job) -> Needs:
    """Estimate what a page needs; see the module's description."""
    every = [outline(spec) for spec in unique(specs(job, "model spec"))]
    if not every:
        return Needs(START_S, 0.0, BASE)
    passes = sum(counts(job).values()) * _sets(job) * SHOWN.get(job.page, 1)
    work = sum([*(passes * o.flops for o in every), *_more(job, every)])
    here = speed()
    seconds = max(work / here.flops, passes / here.images)
    weights = sum(BYTES * o.model.num_parameters for o in every)
    batch = job.parameters.get("batch_size", 64)
    largest = max(max(map(np.prod, o.shapes.values())) for o in every)
    device = weights + COPIES * BYTES * batch * float(largest)
    device += sum(_grams(job, o) for o in every)
    kept = max(_kept(job, o) for o in every)
    return Needs(START_S + seconds, device, BASE + kept)


def _sets(job: Job) -> int:
    """Count the sets that each number of images is drawn from."""
    lists = [s for s in specs(job, "image spec").values() if len(s) > 1]
    return max(1, len({spec for group in lists for spec in group}))


def _more(job: Job, every: list[Outline]) -> Iterator[float]:
    """Yield operations beyond one pass of each image through each model."""
    values = job.parameters
    examined = every[:2] if "num_fields" in values else every
    for o in examined:
        blocks = len(o.chosen("out"))
        if "num_removed" in values:
            yield values["num_removed"] * blocks * o.flops
        if "num_channels" in values:  # a gradient each, of each sum and branch
            images = values.get("num_fields", values["num_images"])
            width = max(width for _, width in o.shapes.values())
            channels = values["num_channels"] or width
            yield images * channels * 3 * blocks * o.flops


def _grams(job: Job, o: Outline) -> float:
    """Return the bytes of the Gram matrices of one HSIC minibatch."""
    own = parameters.of(job.notebook, job.page)
    size = job.parameters.get("group_size")
    if "batch_size" in own and "HSIC" in own["batch_size"].help:
        size = job.parameters["batch_size"]
    if size is None:
        return 0.0
    named = [name for name in own if name.endswith("layers")]
    chosen = [o.chosen(job.parameters[name]) for name in named]
    count = max([len(found) for found in chosen] or [len(o.chosen("out"))])
    count = max(count, int(job.parameters.get("positions", 0)))
    return 2.0 * BYTES * count * float(size) ** 2


def _kept(job: Job, o: Outline) -> float:
    """Return the bytes of the features that a page keeps of one model."""
    if job.page not in KEPT:
        return 0.0
    selection, each = KEPT[job.page]
    values: dict[str, Any] = job.parameters
    each += values.get("positions", 0)
    chosen = o.chosen(values.get(selection, selection))
    width = sum(o.shapes[name][1] for name in chosen)
    total = sum(counts(job).values()) * _sets(job)
    return float(BYTES * each * width * total)
