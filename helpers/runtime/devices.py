"""Which device to compute on: the one place where that is decided.

A model stays where it was loaded, and everything about it is computed there;
a measurement never moves it. For batches that are too large for a device see
`helpers.runtime.memory`.
"""

import os
from collections.abc import Collection
from contextlib import AbstractContextManager

import torch

KINDS = ("cuda", "mps")  # in this order; without them the CPU


def pick(kinds: Collection[str] = KINDS) -> torch.device:
    """Return the best device here: CUDA, then Apple's MPS, then the CPU.

    A process of a `torchrun` gets the GPU of its local rank.

    Args:
        kinds: the kinds of accelerator that will do.
    """
    if "cuda" in kinds and torch.cuda.is_available():
        rank = os.environ.get("LOCAL_RANK")
        if rank is None:
            return torch.device("cuda")
        found = torch.device("cuda", int(rank) % torch.cuda.device_count())
        torch.cuda.set_device(found)  # NCCL talks through the current one
        return found
    if "mps" in kinds and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def named(name: str | torch.device) -> torch.device:
    """Return a device that was asked for.

    Raises:
        ValueError: it is not here.
    """
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"no device {str(name)!r} here: {error}") from error


def name(device: torch.device) -> str:
    """Name a device for a reader."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "Apple GPU" if device.type == "mps" else "CPU"


def own_draws(device: torch.device) -> AbstractContextManager[None]:
    """Undo in the end what is drawn or seeded, on the CPU and this device."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def gpus() -> list[str]:
    """List the GPUs here, each as a value of `CUDA_VISIBLE_DEVICES`."""
    count = torch.cuda.device_count()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (given.split(",") if given else [*map(str, range(count))])[:count]
