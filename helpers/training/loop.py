"""The one training loop.

The rate rises, stays, and falls to zero over the last fifth of the steps. The
constant part is kept apart from the falls, so that it can be prolonged, and
annealed models of several lengths cost little more than the longest.
"""

import math
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

import helpers.training.data as data
import helpers.training.resuming as resuming
from helpers.runtime import devices
from helpers.training.checkpoints import Checkpoint, place
from helpers.training.mixed_precision import Way
from helpers.training.recipes import recipe as recipe_of
from helpers.training.settings import Recipe
from helpers.training.steps import (
    falling_from,
    on_device,
    one_step,
    optimisers,
    start,
    way_of,
)

SAVE_EVERY = 60.0
REPORT_EVERY = 10.0


class OutOfTimeError(Exception):
    """The time given is over; the training is kept as far as it is."""


class Training:
    """A training in memory, with what it needs to go on.

    Args:
        name: of the model.
        recipe: its settings.
        device: where it runs.
        way: how it computes.
    """

    def __init__(
        self, name: str, recipe: Recipe, device: torch.device, way: Way
    ) -> None:
        self.name, self.recipe = name, recipe
        self.device, self.way = device, way
        self.objective = start(name, recipe).train()
        way.prepare(self.objective, device)
        self.optimisers = optimisers(self.objective, recipe)
        self.losses: list[float] = []
        self.seconds = 0.0
        self.hardware = [way.describe(device)]

    def take_up(self, saved: Checkpoint) -> None:
        """Continue from a checkpoint."""
        self.objective.load_state_dict(saved.objective)
        self.optimisers.load_state_dict(saved.optimiser)
        self.losses, self.seconds = saved.losses, saved.seconds
        here = self.way.describe(self.device)
        self.hardware = [*(h for h in saved.hardware if h != here), here]

    def keep(self, path: Path, steps: int) -> None:
        """Write a checkpoint."""
        Checkpoint(
            recipe=asdict(self.recipe),
            steps=steps,
            losses=self.losses,
            seconds=self.seconds,
            hardware=self.hardware,
            start=resuming.beginning(self.recipe),
            sample=data.sample(self.recipe),
            objective=self.objective.state_dict(),
            optimiser=self.optimisers.state_dict(),
        ).save(path)

    def go_on(
        self, until: int, steps: int, path: Path | None, ends: float
    ) -> None:
        """Train up to a step, with a checkpoint a minute and at the end.

        Args:
            until: the number of steps done at the end.
            steps: at which the rate reaches zero; 0: never.
            path: of the checkpoints; None: neither kept nor reported.
            ends: when to stop, on the monotonic clock.

        Raises:
            OutOfTimeError: stopped before `until`.
            ValueError: a loss that is not finite; nothing of it is kept.
        """
        recent: list[Tensor] = []
        first, begin, spent = len(self.losses), time.monotonic(), self.seconds
        reported = kept = begin
        for step in range(first, until):
            recent.append(
                one_step(
                    self.objective,
                    self.optimisers,
                    self.recipe,
                    step,
                    steps,
                    self.device,
                    self.way,
                )
            )
            now = time.monotonic()
            last = step + 1 == until or now >= ends
            report = last or now - reported >= REPORT_EVERY
            keep = last or now - kept >= SAVE_EVERY
            if report or keep:
                self.losses += torch.stack(recent).tolist()
                self.seconds = spent + now - begin
                recent.clear()
                if not math.isfinite(sum(self.losses)):
                    raise ValueError(
                        f"{self.name}: the loss is not finite after step "
                        f"{step + 1}; the last checkpoint is whole"
                    )
            if report and path:
                speed = (step + 1 - first) / (now - begin)
                _report(self, until, speed)
                reported = now
            if keep and path:
                self.keep(path, steps)
                kept = now
            if last and step + 1 < until:
                raise OutOfTimeError(self.name)
        if path and first == until:  # so short that the rate does not fall
            self.keep(path, steps)


def train(
    name: str,
    scenes: int | None = None,
    device: str | torch.device | None = None,
    resume: bool = True,
    hours: float = math.inf,
    runs: Path | None = None,
    recipe: Recipe | None = None,
    way: Way | None = None,
) -> Path:
    """Train a model of the zoo, or continue a training that was broken off.

    Args:
        name: one of `zoo.NAMES`.
        scenes: fewer or more scenes than the recipe's.
        device: the GPU when there is one, by default.
        resume: use the checkpoints in `runs/<name>`.
        hours: stop after that long; a later call continues.
        runs: folder of the checkpoints, `paths.runs()` by default.
        recipe: the one of `name` in `RECIPES`, by default.
        way: how to compute; tried out by default.

    Returns:
        The path of the annealed checkpoint, for `finish`.

    Raises:
        ValueError: for an unknown name, fewer scenes than a batch, hours of
            less than a step, or checkpoints of another recipe, of other
            scenes or of another start.
        OutOfTimeError: the hours are over.
    """
    if not hours > 0:
        raise ValueError(f"hours must be above 0, not {hours}")
    recipe = data.bound(recipe or recipe_of(name))
    device = on_device(device)
    ends = time.monotonic() + 3600 * hours
    steps = (recipe.scenes if scenes is None else scenes) // recipe.batch
    if steps < 1:
        raise ValueError(
            f"scenes must be at least one batch ({recipe.batch}), not {scenes}"
        )
    path = place(name, steps, runs)
    constant = place(name, 0, runs)
    saved = (
        resuming.usable(recipe, [path, constant], steps) if resume else None
    )
    if saved and saved.complete:
        return path
    way = (
        way
        or resuming.as_before(saved, device)
        or way_of(name, recipe, device)
    )
    if way.seconds > 3600 * hours:
        raise ValueError(
            f"{name}: a step takes {way.seconds:.2g} s, and {hours:.2g} hours "
            "are less than one"
        )
    with devices.own_draws(device):
        run = Training(name, recipe, device, way)
        print(f"{name}: {run.hardware[-1]}", flush=True)
        if saved:
            run.take_up(saved)
        falling = falling_from(recipe, steps)
        if len(run.losses) < falling:
            run.go_on(falling, 0, constant, ends)
        run.go_on(steps, steps, path, ends)
    return path


def _report(run: Training, until: int, speed: float) -> None:
    """Print one line on how far a training is; speed is in steps a second."""
    done = len(run.losses)
    print(
        f"{run.name}: step {done}/{until}  loss {run.losses[-1]:.4f}  "
        f"{speed * run.recipe.batch:.0f} scenes/s  "
        f"{(until - done) / speed:.0f} s left",
        flush=True,
    )
