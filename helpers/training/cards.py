"""From an annealed checkpoint to a model of the zoo and its card.

What is measured of annealed models on the way is kept in
`data/results/training/<name>.json`, so that accuracy can be drawn against
the number of scenes; their weights are not.
"""

import json
from pathlib import Path
from typing import Any

import torch

import helpers
from helpers.lab import photographs
from helpers.lab.architectures import plain
from helpers.models import zoo
from helpers.runtime import devices, paths
from helpers.training.checkpoints import Checkpoint, load
from helpers.training.evaluation import evaluate
from helpers.training.mae import MAE
from helpers.training.objective import Objective
from helpers.training.recipes import GOALS
from helpers.training.reconstruction import reconstruction
from helpers.training.settings import Augmentation, Goal, Recipe, alike
from helpers.training.steps import on_device, start

POINTS = 200
CONVERGED = 0.02
"""A model that gains less from twice the scenes is no draft any more."""

Card = dict[str, Any]


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


def as_trained(facts: Card) -> Recipe:
    """Read a recipe back from a checkpoint."""
    views = tuple(Augmentation(**view) for view in facts["views"])
    return Recipe(**{**facts, "views": views})


def finish(
    name: str, path: Path, device: str | torch.device | None = None
) -> Card:
    """Evaluate an annealed checkpoint, and store model and card in the zoo.

    The card is kept beside the checkpoint too, so that nothing is evaluated
    twice. The zoo keeps what it has when that saw more scenes.

    Args:
        name: one of `zoo.NAMES`.
        path: of the checkpoint.
        device: for the evaluation; the GPU when there is one, by default.

    Returns:
        The card. `draft` is false once the model reaches the goal of its name,
        or gained less than two points of accuracy from twice the scenes.

    Raises:
        FileNotFoundError: when there is no checkpoint.
        ValueError: when the training has not reached its last step.
    """
    device = on_device(device)
    saved = load(path)
    if not saved.complete:
        raise ValueError(
            f"{name} has had {len(saved.losses)} of its {saved.steps} steps"
        )
    recipe = as_trained(saved.recipe)
    with devices.own_draws(device):
        objective = start(name, recipe).to(device)
    objective.load_state_dict(saved.objective)
    objective.eval()
    objective.show_all()
    beside = path.with_suffix(".json")
    if not beside.is_file():
        with paths.whole(beside) as part:
            part.write_text(json.dumps(_facts(saved, objective)), "utf-8")
    card: Card = json.loads(beside.read_text("utf-8"))
    milestones = record(name, card)
    card = {"draft": draft(name, card, milestones), **card}
    card["milestones"] = [
        [int(scenes), *shares(found)] for scenes, found in milestones.items()
    ]
    kept = zoo.cards(zoo.family(name)).get(name, {})
    longer = kept.get("samples", 0) > card["samples"]
    if longer and alike(kept["recipe"], card["recipe"]):
        return kept
    decoder = objective.decoder if isinstance(objective, MAE) else None
    return zoo.save(name, objective.encoder, card, decoder)


def _facts(saved: Checkpoint, objective: Objective) -> Card:
    """Say how a model was trained, and measure what it reaches."""
    recipe = objective.recipe
    card: Card = {
        "recipe": saved.recipe,
        "seed": recipe.seed,
        "steps": saved.steps,
        "samples": saved.steps * recipe.batch,
        "pictures": objective.pictures,
        "tokens": round(objective.tokens, 3),
        "hardware": saved.hardware,
        "start": saved.start,
        "seconds": round(saved.seconds, 1),
        "loss": curve(saved.losses),
        "accuracy": evaluate(objective.encoder, recipe),
        "version": helpers.__version__,
    }
    if photographs.SPEC in recipe.data:
        card["photographs"] = photographs.load().facts
    if isinstance(objective, MAE):
        card["reconstruction"] = reconstruction(objective)
    return card


def measure(name: str, accuracy: Card) -> str:
    """Name the accuracies by which a model is judged: its goal's, or head."""
    goal = GOALS.get(plain(name))
    if goal:
        return goal.measure
    return "head" if "head" in accuracy else "linear"


def shares(accuracy: Card) -> list[float]:
    """List the accuracies of a milestone: garment, fabric or class."""
    return [v for v in accuracy.values() if isinstance(v, float)]


def record(name: str, card: Card) -> dict[str, Card]:
    """Add what an annealed model reaches to the file of its name.

    Returns:
        Number of scenes -> accuracies, in rising order.
    """
    home = zoo.folder(name).parent / "results" / "training"
    path = home / f"{plain(name)}.json"
    known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if not alike(known.get("recipe", {}), card["recipe"]):
        known = {"recipe": card["recipe"], "milestones": {}}
    found = known["milestones"] | {str(card["samples"]): card["accuracy"]}
    known["milestones"] = dict(sorted(found.items(), key=lambda x: int(x[0])))
    with paths.whole(path) as part:
        part.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    kind = measure(name, card["accuracy"])
    return {
        scenes: accuracy[kind]
        for scenes, accuracy in known["milestones"].items()
        if kind in accuracy
    }


def draft(name: str, card: Card, milestones: dict[str, Card]) -> bool:
    """Tell whether a model is short of its goal and still improving."""
    scenes = card["samples"]
    reached = milestones.get(str(scenes))
    if reached is None:
        return True
    goal = GOALS.get(plain(name), Goal("", {}))
    if goal.accuracy and all(
        reached.get(factor, 0.0) >= wanted
        for factor, wanted in goal.accuracy.items()
    ):
        return False
    halves = [
        found
        for before, found in milestones.items()
        if abs(2 * int(before) - scenes) <= 0.02 * scenes
    ]
    main = next(iter(reached))
    return all(reached[main] - half[main] >= CONVERGED for half in halves)
