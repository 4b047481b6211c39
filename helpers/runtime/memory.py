"""A batch too large for the device goes through the model in parts.

A measurement asks for the batch that its numbers need. Where the device
cannot hold it, the batch is halved until it can, and what the hooks saw of
the parts is joined in main memory before anything is reduced. So the result
does not change, whatever the reduction; only the time does.

It makes no room for a reduction that is itself too large, nor for hooks on
more than main memory holds of one batch.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

T = TypeVar("T")
Use = Callable[[Tensor], None]

_FULL = re.compile(
    "out of memory|not enough memory|allocate memory|ALLOC_FAILED", re.I
)
_parts: ContextVar[dict[Use, list[Tensor]] | None] = ContextVar(
    "parts", default=None
)
_room: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


def fitting(size: int, work: Callable[[int], T]) -> T:
    """Work at the largest size that the device has memory for.

    Args:
        size: images at once, to start with; halved while they do not fit.
        work: takes the size; called again after it ran out of memory.

    Raises:
        RuntimeError: there is no room for a single image, or for another
            reason than memory.
    """
    while True:
        try:
            return work(size)
        except RuntimeError as error:
            if not _FULL.search(str(error)):
                raise
            if size == 1:
                error.add_note("There is room for not even one image at once.")
                raise
        size = (size + 1) // 2  # here the failed attempt is freed
        torch.cuda.empty_cache()
        if torch.backends.mps.is_available():
            torch.mps.empty_cache()


def forward(module: nn.Module, x: Tensor) -> Tensor:
    """Run a forward pass, in parts if it must be.

    Args:
        module: the model; the size that it had room for is remembered.
        x: (n, ...) batch on its device.

    Returns:
        (n, ...) output; of a dictionary or a tuple the first tensor. Hooks
        that work by `whole` have seen all n images.

    Raises:
        RuntimeError: as `fitting`.
        TypeError: an output without a tensor.
    """

    def attempt(size: int) -> Tensor:
        if size >= len(x):
            return _first_tensor(module(x))
        seen: dict[Use, list[Tensor]] = {}
        token = _parts.set(seen)
        try:
            output = torch.cat(
                [_first_tensor(module(part)) for part in torch.split(x, size)]
            )
        finally:
            _parts.reset(token)
        for use in list(seen):
            use(torch.cat(seen.pop(use)).to(x.device))
        _room[module] = size
        return output

    return fitting(min(len(x), _room.get(module, len(x))), attempt)


def _first_tensor(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output
    for part in parts if isinstance(parts, Iterable) else ():
        if isinstance(part, Tensor):
            return part
    raise TypeError(
        f"the model gives a {type(output).__name__} without a tensor; "
        "expected a tensor, or a dictionary or tuple that holds one"
    )


def whole(x: Tensor, use: Use) -> None:
    """Use a tensor of a forward pass when that of the whole batch is there.

    Args:
        x: (n, ...) of the batch, or of the part that is in work.
        use: called at once, or with the joined parts after the last one.
    """
    seen = _parts.get()
    if seen is None:
        use(x)
    else:
        part = x.detach().to("cpu", copy=True)
        seen.setdefault(use, []).append(part)
