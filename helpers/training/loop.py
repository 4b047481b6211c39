"""The one training loop.

Muon and AdamW, a linear warm-up and a cosine, a checkpoint now and then.
Every step draws its scenes and its noise from (seed, step) alone, so a run
that was killed and resumed has the losses of one that was not (on a GPU up to
the order in which its kernels add).
"""

import math
import re
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from timm.optim.muon import Muon
from torch import Tensor

import helpers.training.data as data
from helpers.runtime import devices
from helpers.training.checkpoints import Checkpoint, load, place
from helpers.training.dino import DINO
from helpers.training.finetune import Finetune
from helpers.training.mae import MAE
from helpers.training.moco_v3 import MoCoV3
from helpers.training.objective import Objective
from helpers.training.recipes import Recipe, for_cpu
from helpers.training.recipes import recipe as recipe_of
from helpers.training.supervised import Supervised

OBJECTIVES: dict[str, Callable[[str, Recipe], Objective]] = {
    "supervised": Supervised,
    "finetune": Finetune,
    "moco_v3": MoCoV3,
    "dino": DINO,
    "mae": MAE,
}
SAVE_EVERY = 60.0
REPORT_EVERY = 5.0
CLIP = 1.0


def start(name: str, recipe: Recipe) -> Objective:
    """Make the objective of a recipe; its weights depend on the seed alone."""
    torch.manual_seed(data.key(recipe.seed, -1 % 2**32))
    return OBJECTIVES[recipe.objective](name, recipe)


def optimiser(objective: Objective, recipe: Recipe) -> Muon:
    """Make Muon for the matrices inside blocks, with AdamW for the rest.

    Muon (Jordan et al. 2024, scaled as in Liu et al. 2025) turns the step of
    a matrix into the nearest orthogonal one; a small ViT needs about a third
    of the scenes with it. Only weights with two or more axes decay, but for
    tokens, positions and prototypes.
    """
    still = ("pos_embed", "positions", "token", "prototypes")
    blocks, others, plain = [], [], []
    for name, parameter in objective.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim < 2 or name.endswith(still):
            plain.append(parameter)
        elif re.search(r"(blocks|layer\d)\.\d", name):
            blocks.append(parameter)
        else:
            others.append(parameter)
    decay = recipe.weight_decay
    groups = [
        {"params": blocks, "peak": recipe.block_lr, "weight_decay": decay},
        {"params": others, "peak": recipe.lr, "weight_decay": decay},
        {"params": plain, "peak": recipe.lr, "weight_decay": 0.0},
    ]
    for group in groups:
        group["use_muon"] = group["params"] is blocks
    return Muon(groups, betas=(0.9, 0.95))


def schedule(recipe: Recipe, step: int, steps: int) -> float:
    """Return the share of the highest rate: linear warm-up, then a cosine."""
    warm = recipe.warmup * steps
    if step < warm:
        return (step + 1) / (warm + 1)
    return (1 + math.cos(math.pi * step / steps)) / 2


def one_step(
    objective: Objective,
    muon: Muon,
    recipe: Recipe,
    step: int,
    steps: int,
    device: torch.device,
) -> Tensor:
    """Train one step and return its loss, a scalar on the device."""
    torch.manual_seed(data.key(recipe.seed, step))
    with torch.no_grad():
        images, labels = data.batch(recipe, step, device)
        views = objective.views(images)
    bf16 = torch.autocast("cuda", torch.bfloat16, device.type == "cuda")
    with bf16:
        loss: Tensor = objective(views, labels)
    for group in muon.param_groups:
        rate = group["peak"] * schedule(recipe, step, steps)
        group["lr"] = group["adamw_lr"] = rate  # the second: timm < 1.0.27
    muon.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(objective.parameters(), CLIP)
    muon.step()
    objective.update((step + 1) / steps)
    return loss.detach()


def on_device(device: str | torch.device | None) -> torch.device:
    """Return the device asked for, or the GPU when there is one."""
    return devices.named(device) if device else devices.pick(["cuda"])


def pace(name: str, recipe: Recipe, device: torch.device) -> float:
    """Time a training step, in seconds: the median of three.

    The steps are taken on a throw-away objective; fine-tuning is timed from
    a random start, which costs the same.
    """
    if recipe.objective == "finetune":
        recipe = replace(recipe, objective="supervised")
    if device.type == "cpu":
        recipe = for_cpu(recipe)
    objective = start(name, recipe).to(device).train()
    muon = optimiser(objective, recipe)
    times = []
    for step in range(4):
        begin = time.perf_counter()
        one_step(objective, muon, recipe, step, 1000, device).item()
        times.append(time.perf_counter() - begin)
    return sorted(times[1:])[1]


def train(
    name: str,
    steps: int | None = None,
    device: str | torch.device | None = None,
    resume: bool = True,
    seconds: float | None = None,
    runs: Path | None = None,
    recipe: Recipe | None = None,
) -> Path:
    """Train a model of the zoo, or go on with a training that was broken off.

    The number of steps is fixed at the start and kept in the checkpoint; the
    schedule always fits it. On a CPU batches are smaller (`for_cpu`).

    Args:
        name: one of `zoo.NAMES`.
        steps: fewer or more steps than the recipe's.
        device: the GPU when there is one, by default.
        resume: go on from `runs/<name>/checkpoint.pt` when it is there and
            not complete.
        seconds: train about that long instead; the first steps are timed.
        runs: folder of the checkpoints, `paths.runs()` by default.
        recipe: the one of `name` in `RECIPES`, by default.

    Returns:
        The path of the last checkpoint, for `finish`.

    Raises:
        ValueError: for an unknown name, steps below 1, both steps and
            seconds, or a broken-off run of another recipe or another number
            of steps.
    """
    if steps is not None and seconds is not None:
        raise ValueError("give steps or seconds, not both")
    recipe, device = recipe or recipe_of(name), on_device(device)
    path = place(name, runs)
    recipe = data.bound(recipe)
    recipe = for_cpu(recipe) if device.type == "cpu" else recipe
    with devices.own_draws(device):
        return _train(name, recipe, steps, seconds, device, resume, path)


def _train(
    name: str,
    recipe: Recipe,
    steps: int | None,
    seconds: float | None,
    device: torch.device,
    resume: bool,
    path: Path,
) -> Path:
    saved = load(path) if resume and path.is_file() else None
    if saved and saved.complete:
        wanted = recipe.steps if steps is None else steps
        if saved.recipe == asdict(recipe) and saved.steps == wanted:
            return path
        saved = None
    if saved:
        if saved.recipe != asdict(recipe) or steps not in (None, saved.steps):
            raise ValueError(
                f"{path} belongs to another recipe, or to {saved.steps} "
                "steps: finish that run as it was begun, or start anew with "
                "resume=False (--no-resume)"
            )
        steps = saved.steps
    elif seconds is not None:
        steps = max(1, int(seconds / pace(name, recipe, device)))
    steps = recipe.steps if steps is None else steps
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    objective = start(name, recipe).to(device).train()
    muon = optimiser(objective, recipe)
    losses, spent = [], 0.0
    if saved:
        losses, spent = saved.losses, saved.seconds
        objective.load_state_dict(saved.objective)
        muon.load_state_dict(saved.optimiser)
        del saved
    recent: list[Tensor] = []
    first, begin = len(losses), time.monotonic()
    reported = kept = begin
    for step in range(first, steps):
        recent.append(one_step(objective, muon, recipe, step, steps, device))
        now, last = time.monotonic(), step + 1 == steps
        report = last or now - reported >= REPORT_EVERY
        keep = last or now - kept >= SAVE_EVERY
        if report or keep:
            losses += torch.stack(recent).tolist()
            recent.clear()
            if not math.isfinite(sum(losses)):
                raise ValueError(
                    f"{name}: the loss is not finite after step {step + 1}; "
                    "a resumed run begins at the last checkpoint"
                )
        if report:
            speed = (step + 1 - first) / (now - begin)
            _report(name, losses, steps, speed, recipe.batch)
            reported = now
        if keep:
            Checkpoint(
                recipe=asdict(recipe),
                steps=steps,
                losses=losses,
                seconds=spent + now - begin,
                device=describe(device),
                objective=objective.state_dict(),
                optimiser=muon.state_dict(),
            ).save(path)
            kept = now
    return path


def describe(device: torch.device) -> str:
    """Name a device in words."""
    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} thread(s)"
    return devices.name(device)


def _report(
    name: str, losses: list[float], steps: int, speed: float, batch: int
) -> None:
    """Print one line on how far a training is; speed is in steps a second."""
    print(
        f"{name}: step {len(losses)}/{steps}  loss {losses[-1]:.4f}  "
        f"{speed * batch:.0f} scenes/s  {(steps - len(losses)) / speed:.0f} s "
        "left",
        flush=True,
    )
