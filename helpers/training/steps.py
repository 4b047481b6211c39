"""One step of a training: what is made for it, and what it does.

Step s draws its scenes and its noise from (seed, s) alone, so a run that was
killed and resumed has the losses of one that was not (on a GPU up to the
order in which its kernels add).
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

import helpers.training.data as data
from helpers.runtime import devices
from helpers.training.dino import DINO
from helpers.training.finetune import Finetune
from helpers.training.mae import MAE
from helpers.training.mixed_precision import Way, choose
from helpers.training.moco_v3 import MoCoV3
from helpers.training.muon import Optimisers
from helpers.training.objective import ALL_SEEN, Objective
from helpers.training.settings import Recipe
from helpers.training.supervised import Supervised

OBJECTIVES: dict[str, Callable[[str, Recipe], Objective]] = {
    "supervised": Supervised,
    "finetune": Finetune,
    "moco_v3": MoCoV3,
    "dino": DINO,
    "mae": MAE,
}
CLIP = 1.0


def start(name: str, recipe: Recipe) -> Objective:
    """Make the objective of a recipe; its weights depend on the seed alone."""
    torch.manual_seed(data.key(recipe.seed, -1 % 2**32))
    return OBJECTIVES[recipe.objective](name, recipe)


def optimisers(objective: Objective, recipe: Recipe) -> Optimisers:
    """Make the optimisers of an objective."""
    return Optimisers(
        objective, recipe.lr, recipe.block_lr, recipe.weight_decay
    )


def falling_from(recipe: Recipe, steps: int) -> int:
    """Return the step at which the rate begins to fall."""
    return steps - round(recipe.decay * steps)


def schedule(recipe: Recipe, step: int, steps: int) -> float:
    """Return the share of the highest rate: up, constant, linearly to zero.

    Args:
        recipe: has the lengths of warm-up and decay.
        step: from 0.
        steps: in all; 0: the rate never falls.
    """
    share = min(1.0, (step + 1) / (recipe.warmup + 1))
    if steps and step >= (begin := falling_from(recipe, steps)):
        share = min(share, (steps - step) / (steps - begin + 1))
    return share


def one_step(
    objective: Objective,
    optimiser: Optimisers,
    recipe: Recipe,
    step: int,
    steps: int,
    device: torch.device,
    way: Way,
) -> Tensor:
    """Train one step and return its loss, a scalar on the device."""
    torch.manual_seed(data.key(recipe.seed, step))
    if steps and step >= ALL_SEEN * steps:
        objective.show_all()
    with torch.no_grad():
        batch = data.batch(recipe, step, device)
        views = objective.views(batch.images, batch.partners)
    with way.cast(device):
        loss: Tensor = objective(views, batch.labels)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(objective.parameters(), CLIP)
    optimiser.step(schedule(recipe, step, steps))
    begin = falling_from(recipe, steps)
    fallen = (step + 1 - begin) / (steps - begin) if step >= begin > 0 else 0.0
    objective.update(fallen)
    return loss.detach()


def on_device(device: str | torch.device | None) -> torch.device:
    """Return the device asked for, or the GPU when there is one."""
    return devices.named(device) if device else devices.pick(["cuda"])


def way_of(name: str, recipe: Recipe, device: torch.device) -> Way:
    """Choose how to compute, and time a step, on throw-away objectives.

    Fine-tuning is timed from a random start, which costs the same.
    """
    if recipe.objective == "finetune":
        recipe = replace(recipe, objective="supervised")

    def trial(way: Way) -> Callable[[], float]:
        objective = start(name, recipe).train()
        way.prepare(objective, device)
        optimiser = optimisers(objective, recipe)
        count = iter(range(10**6))
        return lambda: one_step(
            objective, optimiser, recipe, next(count), 0, device, way
        ).item()

    with devices.own_draws(device):
        return choose(trial, device)
