"""How a training computes on a device: the precision, and how fast it is.

On a CPU, bfloat16 pays only where the processor multiplies it in hardware,
and only with plain attention: the fused kernel is many times slower there at
the few tokens of the lab. So both ways are tried before a training begins.
"""

import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from helpers.runtime import devices

FLOAT32, BFLOAT16 = "float32", "bfloat16"
STEPS = 10
GAIN = 1.1
"""How many times as fast bfloat16 must be to be taken."""
TOLERANCE = 0.02
"""How far, as a share, the mean losses of the trial may differ."""


@dataclass(frozen=True)
class Way:
    """How to compute.

    Attributes:
        precision: of matrix products, float32 or bfloat16.
        seconds: of a step, measured; 0 when not measured.
    """

    precision: str
    seconds: float = 0.0

    def cast(self, device: torch.device) -> AbstractContextManager[None]:
        """Compute in this precision inside a `with`."""
        half = self.precision == BFLOAT16
        return torch.autocast(device.type, torch.bfloat16, half)

    def prepare(self, objective: nn.Module, device: torch.device) -> None:
        """Lay out kernels, and choose the attention that suits."""
        objective.to(device).to(memory_format=torch.channels_last)
        plain = self.precision == BFLOAT16 and device.type == "cpu"
        for module in objective.modules():
            if plain and hasattr(module, "fused_attn"):
                setattr(module, "fused_attn", False)  # noqa: B010

    def describe(self, device: torch.device) -> str:
        """Name device and precision in words."""
        if device.type != "cpu":
            return f"{devices.name(device)}, {self.precision}"
        threads = torch.get_num_threads()
        return f"{processor()}, {threads} thread(s), {self.precision}"


def processor() -> str:
    """Name the processor, as the system does where it can."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [
        line.partition(":")[2].strip()
        for line in lines
        if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()


def choose(
    trial: Callable[[Way], Callable[[], float]], device: torch.device
) -> Way:
    """Time ten steps in each precision and return the better way.

    Args:
        trial: prepares a throw-away training in a precision and returns the
            function that takes one step of it and returns the loss.
        device: where; a GPU always computes in bfloat16.
    """
    found: dict[str, tuple[float, float]] = {}
    given = (FLOAT32, BFLOAT16) if device.type == "cpu" else (BFLOAT16,)
    for precision in given:
        step = trial(Way(precision))
        step()
        losses, begin = [], time.perf_counter()
        for _ in range(STEPS):
            losses.append(step())
        spent = (time.perf_counter() - begin) / STEPS
        found[precision] = spent, sum(losses) / STEPS
    slow, fast = found.get(FLOAT32), found[BFLOAT16]
    if slow is None or (
        slow[0] >= GAIN * fast[0]
        and abs(slow[1] - fast[1]) <= TOLERANCE * abs(slow[1])
    ):
        return Way(BFLOAT16, fast[0])
    return Way(FLOAT32, slow[0])
