"""Time what makes training on a CPU faster, part by part.

`make bench` prints the ratio of a step in float32 to one in bfloat16 for each
objective, with plain attention and with the fused kernel, and of the
channels-first layout and timm's Muon to what is used; and how far the losses
of a hundred steps are apart in the two precisions.
"""

from collections.abc import Callable

import numpy as np
import torch
from timm.optim.muon import Muon

from helpers.training import loop
from helpers.training.mixed_precision import BFLOAT16, FLOAT32, Way
from helpers.training.recipes import recipe
from tests.bench.probes import seconds

NAMES = ("vit_cls", "resnet", "mixer", "moco_v3", "dino", "mae")
ROUNDS, AGREE = 5, 100
CPU = torch.device("cpu")


def stepper(name: str, way: Way, change: str = "") -> Callable[[], float]:
    """Make a training and return what takes one step of it."""
    how = recipe(name)
    objective = loop.start(name, how).train()
    way.prepare(objective, CPU)
    if change == "channels first":
        objective.to(memory_format=torch.contiguous_format)
    for module in objective.modules() if change == "fused" else ():
        if hasattr(module, "fused_attn"):
            module.fused_attn = True
    both = loop.optimisers(objective, how)
    if change == "timm's Muon":
        ours = both.muon
        both.muon = Muon(ours.param_groups[0]["params"], momentum=0.95)
        both.peaks[both.muon] = both.peaks.pop(ours)
    count = iter(range(10**6))

    def step() -> float:
        with torch.enable_grad():
            return loop.one_step(
                objective, both, how, next(count), 0, CPU, way
            ).item()

    return step


def speed(name: str) -> None:
    """Print the ratios of one objective."""
    half = Way(BFLOAT16)
    ways = {
        "float32": stepper(name, Way(FLOAT32)),
        "bfloat16": stepper(name, half),
        "timm's Muon": stepper(name, half, "timm's Muon"),
    }
    change = "channels first" if name == "resnet" else "fused"
    if name != "mixer":
        ways[change] = stepper(name, half, change)
    spent = seconds(ways, ROUNDS)
    base = spent.pop("bfloat16")
    rate = recipe(name).batch / base
    ratios = ", ".join(f"{k} {v / base:.2f}" for k, v in spent.items())
    print(f"{name}: {rate:.0f} scenes/s; times that without it: {ratios}")


def agreement(name: str) -> None:
    """Print how far two precisions are apart after a hundred steps."""
    one, two = (stepper(name, Way(kind)) for kind in (FLOAT32, BFLOAT16))
    losses = np.array([(one(), two()) for _ in range(AGREE)])
    apart = np.abs(np.diff(losses, axis=1)[:, 0]) / losses[:, 0]
    print(
        f"{name}: losses of {AGREE} steps in float32 and bfloat16 differ by "
        f"{apart.mean():.2%} on average, {apart.max():.2%} at most"
    )


def main() -> None:
    """Print both."""
    print("\ncpu: training steps of 64 scenes, one thread")
    for name in NAMES:
        speed(name)
    for name in ("vit_cls", "resnet"):
        agreement(name)
