"""What there is to continue: the right checkpoint, or a reason why not."""

import math
from dataclasses import asdict
from pathlib import Path

import torch

import helpers.training.data as data
from helpers.models import zoo
from helpers.training.checkpoints import Checkpoint, load
from helpers.training.mixed_precision import BFLOAT16, FLOAT32, Way
from helpers.training.settings import Recipe, alike
from helpers.training.steps import falling_from


def beginning(recipe: Recipe) -> str:
    """Return the sha256 of the weights that fine-tuning begins with, or ""."""
    if not recipe.init_from:
        return ""
    card = zoo.cards(zoo.family(recipe.init_from)).get(recipe.init_from, {})
    return str(card.get("sha256", ""))


def usable(
    recipe: Recipe, places: list[Path], steps: int
) -> Checkpoint | None:
    """Read the first checkpoint that is there, and that can be continued.

    Fine-tuning begins again when its start has been trained further.
    """
    for path in places:
        if not path.is_file():
            continue
        saved = load(path)
        again = "or start again with resume=False (--no-resume)"
        if not alike(saved.recipe, asdict(recipe)):
            raise ValueError(
                f"{path} belongs to another recipe: finish that run as it was "
                f"begun, {again}"
            )
        apart = saved.sample.int() - data.sample(recipe).int()
        if apart.abs().max() > 1:  # devices may round one level apart
            raise ValueError(
                f"{path} was trained on other images than are made here now: "
                f"bring those back, {again}"
            )
        if saved.start != beginning(recipe):
            continue
        done = len(saved.losses)
        if not saved.steps and done > falling_from(recipe, steps):
            least = math.ceil(done / (1 - recipe.decay)) * recipe.batch
            raise ValueError(
                f"{path} has seen too much for {steps * recipe.batch} scenes: "
                f"train for {least} or more, {again}"
            )
        return saved
    return None


def as_before(saved: Checkpoint | None, device: torch.device) -> Way | None:
    """Return how a training computed, when it is continued where it ran."""
    ways = [Way(precision) for precision in (FLOAT32, BFLOAT16)]
    before = saved.hardware[-1] if saved else ""
    return next((w for w in ways if w.describe(device) == before), None)
