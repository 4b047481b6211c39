"""CKA on more images than a page has time for: measured once, and kept.

`vitscope many-images` writes `data/results/many_images/cka.csv`, whose first
lines say what it was made from; `kept` reads it for a page, and tells whether
the models are still the same. Do not use it for other models: a page measures
those itself, see `cka.measure`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

import helpers.cka.streaming as streaming
from helpers.cka.minibatch import MinibatchCKA
from helpers.lab import wardrobe
from helpers.models import zoo
from helpers.runtime.paths import DATA, whole

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel

FILE = DATA / "results" / "many_images" / "cka.csv"
PAIR = ("vit_cls", "vit_cls_twin")
BATCH = 32
COUNTS = (*(256 * 2**k for k in range(9)), 102_400)
"""Numbers of images at which the map is kept, up to the paper's 10^5."""
COLUMNS = ("images", "layer_x", "layer_y", "cka", "se")


@dataclass(frozen=True)
class Kept:
    """What was kept of an earlier run.

    Attributes:
        table: one row per number of images and pair of blocks, in COLUMNS.
        origin: what it was made from: name -> version, device or sha256.
        current: whether the weights of both models are still those.
    """

    table: pd.DataFrame
    origin: Mapping[str, str]
    current: bool

    def __str__(self) -> str:
        most, versions = self.table.images.max(), self.origin
        state = "" if self.current else ", of earlier weights of both models"
        return (
            f"Kept from a run of `vitscope many-images` on {most:,} scenes "
            f"with version {versions['version']} and torch "
            f"{versions['torch']}{state}."
        )


def scenes(count: int) -> Images:
    """Compose test scenes of the lab beyond the set that pages draw from.

    Args:
        count: how many; the first ones are those of `wardrobe`.
    """
    from helpers import images

    rows = np.arange(count)
    known = wardrobe.factors("test", rows)
    targets = {name: values.numpy() for name, values in known.items()}
    return replace(
        images.load("wardrobe"),
        labels=targets["class"],
        targets=targets,
        index=rows,
    )


def curve(
    model_x: VisionModel,
    model_y: VisionModel,
    images: Images,
    counts: Sequence[int],
) -> pd.DataFrame:
    """Measure CKA of block outputs on more and more images, in one pass.

    Args:
        model_x: the first model.
        model_y: the second one.
        images: the images, of which the first so many are taken.
        counts: how many, multiples of `BATCH`.

    Returns:
        One row per number of images and pair of blocks, in COLUMNS; standard
        errors by the jackknife over minibatches.

    Raises:
        ValueError: a number that is no such multiple, or more images than
            there are.
    """
    odd = [n for n in counts if n % BATCH or not 0 < n <= len(images)]
    if odd or not counts:
        raise ValueError(
            f"numbers of images must be multiples of {BATCH}, at most "
            f"{len(images)}; got {odd or 'none'}"
        )
    sides = [(model, "out", "all") for model in (model_x, model_y)]
    engine = MinibatchCKA()
    part, found = images.part(slice(max(counts))), []
    batches = streaming.stream(sides, part, len(part), BATCH, BATCH)
    total = len(part) // BATCH
    for k, grams in enumerate(tqdm(batches, total=total, disable=None), 1):
        engine.update_grams(*grams)
        if k * BATCH in counts:
            table = engine.compute().table()
            found.append(table.assign(images=k * BATCH))
    return pd.concat(found, ignore_index=True)[list(COLUMNS)]


def write(origin: Mapping[str, str], counts: Sequence[int] = COUNTS) -> None:
    """Measure the two trainings of the lab and keep the result.

    Args:
        origin: versions and device, kept with it.
        counts: numbers of images, as in `curve`.
    """
    from helpers import models

    first, twin = (models.load(f"lab/{name}") for name in PAIR)
    table = curve(first, twin, scenes(max(counts)), counts)
    told = [f"# {k}: {v}\n" for k, v in (dict(origin) | _weights()).items()]
    text = table.to_csv(index=False, float_format="%.6g")
    with whole(FILE) as place:
        place.write_text("".join(told) + text, "utf-8")


def kept(first: str, twin: str, images: str) -> Kept | None:
    """Read what was kept, for a page.

    Args:
        first: spec of the page's first model.
        twin: of the second one.
        images: spec of its images.

    Returns:
        None where the page is about other models or images.
    """
    wanted = (*(f"lab/{name}" for name in PAIR), "wardrobe")
    if (first, twin, images) != wanted or not FILE.is_file():
        return None
    lines = FILE.read_text("utf-8").splitlines()
    told = [line[2:].split(": ", 1) for line in lines if line[:2] == "# "]
    origin = dict(told)
    table = pd.read_csv(FILE, comment="#")
    return Kept(table, origin, origin.items() >= _weights().items())


def _weights() -> dict[str, str]:
    """Name the weights of both models by their cards."""
    cards = zoo.cards()
    return {name: cards[name]["sha256"] for name in PAIR}
