"""Many models in the time there is: one process for each core.

A training is made of legs, each up to a milestone of its recipe. Legs run in
rounds, from the smallest share of a recipe to the whole, so that time is
divided among the models in proportion to what they need, and after every
round the zoo is complete at one share of the full length. Fine-tuning begins
with what its start reached in the same round. Each process writes its
progress to `runs/<name>/log.txt`; GPUs are shared evenly.
"""

import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import helpers.training.natural_images as natural_images
from helpers.lab.architectures import NATURAL
from helpers.runtime import devices, paths
from helpers.training.cards import finish
from helpers.training.checkpoints import place
from helpers.training.loop import OutOfTimeError, train
from helpers.training.recipes import members, recipe
from helpers.training.settings import Recipe
from helpers.training.status import table
from helpers.training.steps import on_device


class TrainingError(Exception):
    """Some models could not be trained; says which, and why."""


@dataclass(frozen=True)
class Leg:
    """A training up to one milestone.

    Attributes:
        name: of the model.
        scenes: seen in all when the rate has reached zero.
        share: of the full training.
    """

    name: str
    scenes: int
    share: float


def legs(recipes: dict[str, Recipe], scenes: int | None = None) -> list[Leg]:
    """List what is to be done, in rounds; fine-tuning after its start.

    Args:
        recipes: by name.
        scenes: one leg of that length for each, instead of the milestones.
    """
    found = [
        Leg(name, scenes or how.steps(share) * how.batch, share)
        for name, how in recipes.items()
        for share in ((1.0,) if scenes else how.milestones)
    ]
    return sorted(found, key=lambda leg: (leg.share, _late(recipes, leg)))


def _late(recipes: dict[str, Recipe], leg: Leg) -> bool:
    return bool(recipes[leg.name].init_from)


def run(
    names: Sequence[str],
    scenes: int | None = None,
    hours: float = math.inf,
    device: str | None = None,
    resume: bool = True,
    jobs: int | None = None,
    images: str = "",
) -> None:
    """Train models and put them into the zoo, milestone by milestone.

    Args:
        names: models of the zoo, `natural/<name>`, or `natural` for all of
            these.
        scenes: train once, that long, instead of to every milestone.
        hours: stop after that long; the next call continues.
        device: of all of them.
        resume: use what is there already, instead of removing it.
        jobs: processes at once; one for each CPU core by default.
        images: spec of the set that the photographs are made from, where a
            natural model is among the names; see `natural_images.prepare`.

    Raises:
        ValueError: for an unknown name, hours that are not above zero, images
            that no name asks for, or a device that is not here.
        TrainingError: some models failed; names them and says why.
    """
    ends = time.monotonic() + 3600 * hours
    names = members(names)
    recipes = {name: recipe(name) for name in names}
    if any(name.startswith(NATURAL) for name in names):
        natural_images.prepare(images)
    elif images:
        raise ValueError("--images is for natural models; the lab has its own")
    where = on_device(device)
    todo = legs(recipes, scenes)
    for name in names if not resume else ():
        for file in [*place(name).parent.glob("*.pt")]:
            file.with_suffix(".json").unlink(missing_ok=True)
            file.unlink()
    if len(recipes) == 1:
        one_by_one(todo, ends, device)
        return
    command = [sys.executable, "-m", "helpers.training"]
    command += ["--device", device] if device else []
    gpus = devices.gpus() if where.type == "cuda" and device is None else []
    needs = {name: how.init_from for name, how in recipes.items()}
    print(table(names), flush=True)
    jobs = jobs or os.cpu_count() or 1
    failed = fleet(command, todo, needs, jobs, ends, gpus)
    print(table(names), flush=True)
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(names)} models are not trained:\n"
            + "\n".join(
                f"{name}: {why} ({log(name)})" for name, why in failed.items()
            )
        )


def one_by_one(todo: Sequence[Leg], ends: float, device: str | None) -> None:
    """Train legs in this process until the time is over."""
    for leg in todo:
        hours = (ends - time.monotonic()) / 3600
        try:
            path = train(leg.name, leg.scenes, device, hours=hours)
        except OutOfTimeError:
            return
        finish(leg.name, path, device)


def log(name: str) -> Path:
    """Return where a model's trainings tell how far they are."""
    return paths.runs() / name / "log.txt"


def fleet(
    command: Sequence[str],
    todo: Sequence[Leg],
    needs: dict[str, str],
    jobs: int,
    ends: float = math.inf,
    gpus: Sequence[str] = (),
) -> dict[str, str]:
    """Run a command for every leg, each as soon as what it needs is done.

    A leg waits for the earlier ones of its model, and for those of the model
    that it begins with. When one fails, those that need it are left out and
    the others go on.

    Args:
        command: gets `NAME --scenes N`, and `--hours H` when time is limited.
        todo: in order of importance.
        needs: model -> the one it begins with, or "".
        jobs: processes at once; they share the cores.
        ends: when to stop, on the monotonic clock.
        gpus: values of `CUDA_VISIBLE_DEVICES`; each process sees one.

    Returns:
        What failed: name -> the last line of its log, or what it needed.
    """
    waiting, failed = list(todo), dict[str, str]()
    running: dict[Future[str], Leg] = {}
    threads = max(1, (os.cpu_count() or 1) // jobs)
    slots: SimpleQueue[dict[str, str]] = SimpleQueue()
    for i in range(jobs):
        gpu = {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus else {}
        slots.put({"OMP_NUM_THREADS": str(threads)} | gpu)
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            while len(running) < jobs and time.monotonic() < ends:
                busy = [*running.values()]
                leg = _next(waiting, busy, needs)
                if leg is None:
                    break
                waiting.remove(leg)
                hours = (ends - time.monotonic()) / 3600
                limit = [f"--hours={hours}"] if math.isfinite(hours) else []
                words = [*command, leg.name, f"--scenes={leg.scenes}", *limit]
                running[pool.submit(_one, words, log(leg.name), slots)] = leg
            if not running:
                return failed
            for job in wait(running, return_when=FIRST_COMPLETED).done:
                leg = running.pop(job)
                why = job.result()
                if why:
                    failed[leg.name] = why
                print(f"{leg.name} {leg.scenes}: {why or 'done'}", flush=True)
            for name, origin in needs.items():
                if origin in failed and name not in failed:
                    failed[name] = f"needs {origin}"
            waiting = [leg for leg in waiting if leg.name not in failed]


def _next(
    waiting: Sequence[Leg], busy: Sequence[Leg], needs: dict[str, str]
) -> Leg | None:
    """Return the first leg that nothing before it holds up."""
    before: list[Leg] = list(busy)
    for leg in waiting:
        names = {other.name for other in before}
        if leg.name not in names and needs[leg.name] not in names:
            return leg
        before.append(leg)
    return None


def _one(
    command: list[str], log: Path, slots: SimpleQueue[dict[str, str]]
) -> str:
    """Run a leg; return "" or the last line of what it said."""
    log.parent.mkdir(parents=True, exist_ok=True)
    slot = slots.get()
    with log.open("a", encoding="utf-8") as out:
        done = subprocess.run(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | slot,
        )
    slots.put(slot)
    said = log.read_text("utf-8").strip().splitlines() or [""]
    return "" if done.returncode == 0 else said[-1] or "failed"
