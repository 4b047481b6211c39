"""One measurement by several processes, as `torchrun` starts them.

Every process calls the same measurement with the same arguments. It runs a
share of the images through the model and then holds the result of all of
them, as one process would. Without a process group there is one share.

For different measurements at once take a sweep: `vitscope sweep`.
"""

from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")


def alone() -> bool:
    """Tell whether there is no process group."""
    return not (dist.is_available() and dist.is_initialized())


def share(total: int, unit: int = 1) -> slice:
    """Tell which images are this process's.

    Args:
        total: how many there are.
        unit: so many, counted from the first, stay together.

    Returns:
        A run of whole units; the runs of all processes, in the order of
        their ranks, are all images.
    """
    if alone():
        return slice(0, total)
    rank, size = dist.get_rank(), dist.get_world_size()
    units = -(-total // unit)
    start, stop = (units * r // size * unit for r in (rank, rank + 1))
    return slice(start, min(stop, total))


def gather(part: T, group: Any = None) -> list[T]:
    """Collect what every process has, in the order of their ranks.

    Args:
        part: this process's; all must call.
        group: of `torch.distributed`; all processes by default.

    Returns:
        The parts, in each process.
    """
    if alone():
        return [part]
    parts: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(parts, part, group=group)
    return parts
