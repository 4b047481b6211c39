"""Many models at once: one process each, fine-tuning after its start.

Each process writes its progress to `runs/<name>/log.txt`. Where there are
GPUs, the processes share them evenly.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ThreadPoolExecutor,
    wait,
)
from graphlib import TopologicalSorter
from pathlib import Path
from queue import SimpleQueue

import torch

import helpers.training.natural_images as natural_images
from helpers.lab.architectures import NATURAL
from helpers.runtime import devices
from helpers.training.cards import finish
from helpers.training.checkpoints import place
from helpers.training.loop import on_device, pace, train
from helpers.training.recipes import members, recipe


class TrainingError(Exception):
    """Some models could not be trained; says which, and why."""


def run(
    names: Sequence[str],
    steps: int | None = None,
    seconds: float | None = None,
    device: str | None = None,
    resume: bool = True,
    jobs: int | None = None,
    images: str = "",
) -> None:
    """Train models and put them into the zoo.

    One model is trained here and shows its progress. Several are trained
    side by side, after a word on how long each would take alone.

    Args:
        names: models of the zoo, `natural/<name>`, or `natural` for all of
            these.
        steps: see `train`, as for `seconds`, `device` and `resume`.
        seconds: of each training.
        device: of all of them.
        resume: go on with what was broken off.
        jobs: processes at once; one a CPU core by default.
        images: spec of the set that the photographs are made from, where a
            natural model is among the names; see `natural_images.prepare`.

    Raises:
        ValueError: for an unknown name, images that no name asks for, or a
            device that is not here.
        TrainingError: some models failed; names them and says why.
    """
    names = members(names)
    recipes = {name: recipe(name) for name in names}
    if any(name.startswith(NATURAL) for name in names):
        natural_images.prepare(images)
    elif images:
        raise ValueError("--images is for natural models; the lab has its own")
    where = on_device(device)
    if len(recipes) == 1:
        train(names[0], steps, device, resume, seconds)
        finish(names[0], device=device)
        return
    for name, given in recipes.items():
        cost = pace(name, given, where) * (steps or given.steps)
        alone = f"{(seconds or cost) / 3600:.1f} hours on its own"
        print(f"{name}: {alone}", flush=True)
    command = [sys.executable, "-m", "helpers.training"]
    for option, value in (
        ("--steps", steps),
        ("--seconds", seconds),
        ("--device", device),
    ):
        command += [option, str(value)] if value is not None else []
    command += ["--no-resume"] * (not resume)
    gpus: list[str] = []
    if where.type == "cuda":
        torch.cuda.empty_cache()  # the trainings need it more
        gpus = devices.gpus() if device is None else gpus
    needs = {name: {given.init_from} for name, given in recipes.items()}
    failed = fleet(command, needs, jobs or os.cpu_count() or 1, gpus)
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(names)} models are not trained:\n"
            + "\n".join(
                f"{name}: {why} ({place(name).with_name('log.txt')})"
                for name, why in failed.items()
            )
        )


def fleet(
    command: Sequence[str],
    needs: dict[str, set[str]],
    jobs: int,
    gpus: Sequence[str] = (),
) -> dict[str, str]:
    """Run a command for every name, each as soon as what it needs is done.

    When one fails, those that need it are left out and the others go on.

    Args:
        command: gets a name as its last argument.
        needs: what each name needs; names that are no keys count as done.
        jobs: processes at once; they share the cores.
        gpus: values of `CUDA_VISIBLE_DEVICES`; each process sees one.

    Returns:
        What failed: name to the last line of its log, or to what it needed.
    """
    order = TopologicalSorter(
        {name: needed & needs.keys() for name, needed in needs.items()}
    )
    order.prepare()
    running: dict[Future[str], str] = {}
    ended: dict[str, str] = {}
    threads = max(1, (os.cpu_count() or 1) // jobs)
    slots: SimpleQueue[dict[str, str]] = SimpleQueue()
    for i in range(jobs):
        gpu = {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus else {}
        slots.put({"OMP_NUM_THREADS": str(threads)} | gpu)
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            for name in order.get_ready():
                log = place(name).with_name("log.txt")
                job = pool.submit(_one, [*command, name], log, slots)
                running[job] = name
            if not running:
                break
            for job in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(job)
                ended[name] = job.result()
                if not ended[name]:
                    order.done(name)
                count = f"{len(ended)}/{len(needs)}"
                print(f"{count} {name}: {ended[name] or 'done'}", flush=True)
    left = needs.keys() - ended.keys()
    return {name: why for name, why in ended.items() if why} | {
        name: f"needs {', '.join(needs[name])}" for name in sorted(left)
    }


def _one(
    command: list[str], log: Path, slots: SimpleQueue[dict[str, str]]
) -> str:
    """Run a training; return "" or the last line of what it said."""
    log.parent.mkdir(parents=True, exist_ok=True)
    slot = slots.get()
    with log.open("w", encoding="utf-8") as out:
        done = subprocess.run(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | slot,
        )
    slots.put(slot)
    said = log.read_text("utf-8").strip().splitlines() or [""]
    return "" if done.returncode == 0 else said[-1] or "failed"
