"""From the last checkpoint of a training to a model of the zoo."""

from pathlib import Path
from typing import Any

import torch

import helpers
from helpers.lab import photographs
from helpers.models import zoo
from helpers.runtime import devices
from helpers.training.checkpoints import load, place
from helpers.training.evaluation import evaluate
from helpers.training.loop import on_device, start
from helpers.training.mae import MAE
from helpers.training.recipes import Augmentation, Recipe
from helpers.training.recipes import recipe as recipe_of
from helpers.training.reconstruction import reconstruction

POINTS = 200


def curve(losses: list[float]) -> list[list[float]]:
    """Thin losses to at most 200 pairs [step, mean loss since the last]."""
    stride = -(-len(losses) // POINTS)
    parts = [losses[i : i + stride] for i in range(0, len(losses), stride)]
    ends = [
        min(i + stride, len(losses)) for i in range(0, len(losses), stride)
    ]
    return [
        [end, round(sum(part) / len(part), 5)]
        for end, part in zip(ends, parts, strict=True)
    ]


def as_trained(facts: dict[str, Any]) -> Recipe:
    """Read a recipe back from a checkpoint."""
    views = tuple(Augmentation(**view) for view in facts["views"])
    return Recipe(**{**facts, "views": views})


def finish(
    name: str,
    runs: Path | None = None,
    device: str | torch.device | None = None,
) -> dict[str, Any]:
    """Evaluate a finished training and store its model and card in the zoo.

    Args:
        name: one of `zoo.NAMES`.
        runs: folder of the checkpoints, `paths.runs()` by default.
        device: for the evaluation; the GPU when there is one, by default.

    Returns:
        The card. `draft` is true when the run saw fewer scenes than the
        recipe of that name asks for.

    Raises:
        FileNotFoundError: when there is no checkpoint.
        ValueError: when the training has not reached its last step.
    """
    full = recipe_of(name)
    device = on_device(device)
    saved = load(place(name, runs))
    steps = saved.steps
    if not saved.complete:
        raise ValueError(
            f"{name} has had {len(saved.losses)} of its {steps} steps"
        )
    recipe = as_trained(saved.recipe)
    with devices.own_draws(device):
        objective = start(name, recipe).to(device)
    objective.load_state_dict(saved.objective)
    objective.eval()
    card: dict[str, Any] = {
        "recipe": saved.recipe,
        "seed": recipe.seed,
        "steps": steps,
        "samples": steps * recipe.batch,
        "draft": steps * recipe.batch < full.steps * full.batch,
        "device": saved.device,
        "seconds": round(saved.seconds, 1),
        "loss": curve(saved.losses),
        "accuracy": evaluate(objective.encoder, recipe),
        "version": helpers.__version__,
    }
    if photographs.SPEC in recipe.data:
        card["photographs"] = photographs.load().facts
    decoder = None
    if isinstance(objective, MAE):
        card["reconstruction"] = reconstruction(objective)
        decoder = objective.decoder
    return zoo.save(name, objective.encoder, card, decoder)
