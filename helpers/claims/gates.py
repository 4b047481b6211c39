"""Whether models had the treatment that a claim is about.

A claim about what less data does to a network says nothing when less data
changed nothing. Each function measures one of `statements.NEEDS` and returns
a `Gate`; `claims.test` compares it with the margin in `data/claims.yaml`.

Cards are read where they say what is needed, which those of the models
trained here do; the gate of another model is *not checked*, and the verdict
says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log2
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.intervals.estimates import TAILS, Estimate, jackknife, mean
from helpers.intervals.extremes import smallest
from helpers.intervals.inference import Averages

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel

PIXELS = 8  # a side of the means of pixels that networks are held to
TEST, BANK = 200, 300  # images on which learning is measured, at least
TESTED = 2000  # scenes that the accuracies on cards come from
NO_CARD = "no card tells"


@dataclass(frozen=True)
class Gate:
    """What a treatment did, to be compared with a margin.

    Attributes:
        name: one of `helpers.claims.statements.NEEDS`.
        found: the number, None where it cannot be known.
        side: `above` or `below`, where the gate is open.
        why: why it cannot be known.
    """

    name: str
    found: Estimate | None
    side: str = "above"
    why: str = ""

    def closed(self, margin: float) -> bool:
        """Tell whether the treatment had too small an effect.

        An effect must be at least the margin, with an interval above 0; a
        difference that should not be there must be at most the margin.
        """
        if self.found is None:
            return False
        if self.side == "below":
            return not self.found.value <= margin
        return not (self.found.value >= margin and self.found.low > 0)


def learned(models: Sequence[VisionModel], images: str, k: int = 20) -> Gate:
    """Measure by how much models beat themselves untrained, and the pixels.

    20-NN accuracy on the mean of the tokens after the best block, of each
    model trained and untrained, and on means of the pixels.

    Args:
        models: the models, each of which must have learned something.
        images: spec of the images, classified by `garment` where they have
            it and by `class` where not.
        k: neighbours that vote, of a bank of `BANK` images or `k` times the
            number of classes.

    Returns:
        The smallest lead of any model over either, with its interval over
        `TEST` images; 0 where one of them is untrained itself; not known, and
        why, for images without labels or without a training split.
    """
    from helpers.models.specs import is_untrained

    if any(is_untrained(model.spec) for model in models):
        return Gate("learned", Estimate(0.0, 0.0, 0.0))
    try:
        cells = list(_leads(models, images, k))
    except ValueError as error:
        return Gate("learned", None, why=str(error))
    return Gate("learned", smallest(cells))


def less_data_costs(*less: str, full: str) -> Gate:
    """Look up what training on less data cost in accuracy, at least.

    Args:
        *less: specs of models trained on less data.
        full: spec of the model trained on all.
    """
    cards = [_card(spec) for spec in (full, *less)]
    if not all(cards):
        return Gate("less-data-costs", None, why=NO_CARD)
    whole, *parts = (card["accuracy"]["knn"]["class"] for card in cards)
    costs = [
        _normal(
            whole - part,
            np.sqrt((whole * (1 - whole) + part * (1 - part)) / TESTED),
        )
        for part in parts
    ]
    return Gate("less-data-costs", smallest(costs))


def equal_training(*specs: str) -> Gate:
    """Look up whether models saw equally many pictures.

    A scene of which two views are shown counts twice, a local view by its
    area. That ViTs are shown a part of the patches is not counted: it is what
    PatchDropout and MAE are, and cards tell it.

    Args:
        *specs: the models that are compared.
    """
    cards = [_card(spec) for spec in specs]
    if not all(cards):
        return Gate("equal-training", None, "below", NO_CARD)
    seen = [card["samples"] * card["pictures"] for card in cards]
    apart = max(abs(log2(a / b)) for a, b in combinations(seen, 2))
    return Gate("equal-training", Estimate(apart, apart, apart), "below")


def local_heads(distances: Averages | str) -> Gate:
    """Measure how far the nearest low heads are from uniform attention.

    Args:
        distances: (blocks, heads) relative to uniform attention; or the
            reason why there are none.

    Returns:
        1 less the distance of the nearest head, mean of the two lowest
        blocks.
    """
    if isinstance(distances, str):
        return Gate("local-heads", None, why=distances)
    found = jackknife(
        lambda relative: float(1 - relative[:2].min(1).mean()),
        [distances.values],
        [distances.leave_one_out],
    )
    return Gate("local-heads", found)


def _normal(value: float, spread: float) -> Estimate:
    from scipy.stats import norm

    half = norm.ppf(TAILS[1]) * spread
    return Estimate(value, float(value - half), float(value + half))


def _card(spec: str) -> dict[str, Any]:
    """Find the card of a model trained here; empty for any other."""
    from helpers.models import zoo

    spec, at, file = spec.partition("@")
    if at:
        index = Path(file).with_name("zoo.json")
        known = json.loads(index.read_text("utf-8")) if index.is_file() else {}
        return dict(known.get(Path(file).stem, {}))
    family, _, name = spec.partition("/")
    cards = zoo.cards("natural/" if family == "natural" else "")
    return cards.get(spec if family == "natural" else name, {})


def _leads(
    models: Sequence[VisionModel], images: str, k: int
) -> Iterator[Estimate]:
    """Yield the leads of each model over itself untrained and the pixels."""
    from helpers import images as sets
    from helpers.models import load
    from helpers.models.specs import untrained

    scenes = sets.load(images, limit=TEST)
    target = "garment" if "garment" in scenes.target_names else "class"
    if target not in scenes.target_names:
        raise ValueError(f"no labels in {images}")
    size = max(BANK, k * len(scenes.target_names[target]))
    bank = sets.load(images, "train", limit=size)
    for model in models:
        new = load(untrained(model.spec), str(model.device))
        mine, before = (
            _best(m, bank, scenes, target, k) for m in (model, new)
        )
        yield mean(mine - before)
        yield mean(mine - _pixels(model, bank, scenes, target, k))


def _best(
    model: VisionModel, bank: Images, scenes: Images, target: str, k: int
) -> Any:
    """Tell which images the best block of a model gets right: (n,)."""
    from helpers import probes

    found = probes.layerwise(
        *(model, bank, scenes, "out", ["mean"], ["knn"], [target]),
        settings={"knn": (k,)},
    )
    return found.right[int(np.nanargmax(found.right.mean(1)))]


def _pixels(
    model: VisionModel, bank: Images, scenes: Images, target: str, k: int
) -> Any:
    """Tell which images their pixels get right: (n,)."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    from helpers import probes
    from helpers.probes.targets import labels

    seen, asked = (
        torch.cat(
            [
                adaptive_avg_pool2d(x, PIXELS).flatten(1)
                for _, (x,) in part.batches(model, batch_size=250)
            ]
        )
        for part in (bank, scenes)
    )
    known, truth = labels(bank, scenes, target)
    votes = probes.knn(seen, known.to(seen.device), asked, k)
    return (votes.argmax(1).cpu() == truth).double().numpy()
