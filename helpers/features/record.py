"""Look inside a model: reduce the layers chosen by name in hooks.

`record` runs a reduction inside the hook, so that nothing of the size of an
activation outlives its batch. Do not use it to collect raw features of many
images: reduce, or measure batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from helpers.features.arguments import checked
from helpers.features.layer_selection import (
    TOKENS,
    Tokens,
    check_tokens,
    names,
)
from helpers.models.families.family import Tap
from helpers.runtime import memory

if TYPE_CHECKING:
    from helpers.models.vision_model import VisionModel


Reduce = Callable[[Tensor], Tensor]


@checked
@contextmanager
def record(
    model: VisionModel,
    selection: str,
    tokens: Tokens = "all",
    reduce: Reduce | None = None,
) -> Iterator[dict[str, Tensor]]:
    """Hook the selected layers of a model for the forward passes inside.

    Args:
        model: the model to listen to.
        selection: which layers, see `check_selection`.
        tokens: which part of a layer: `all` flattens everything to
            (n, tokens * width), `cls` is the class token, `mean` the average
            of all tokens, `patches` the average without prefix tokens (both
            (n, width)), `each` keeps positions (n, tokens, width), and a
            number is one position. In a CNN the positions are the pixels of
            the map, row by row.
        reduce: called inside the hook with the chosen (n, ...) tensor; what
            it returns is kept. Without it a copy of the tensor is kept.

    Yields:
        The tape: a dictionary from layer name to what `reduce` returned in
        the latest forward pass.

    Raises:
        ValueError: unknown layers or tokens, or tokens the model lacks.
    """
    check_tokens(tokens)
    if tokens == "cls" and not model.has_class_token:
        raise ValueError(
            f"{model.spec} has no class token; valid token choices: "
            + ", ".join(t for t in TOKENS if t != "cls")
        )
    tape: dict[str, Tensor] = {}

    def store(name: str, chosen: Tensor) -> None:
        tape[name] = reduce(chosen) if reduce else chosen.detach().clone()

    stores = {name: partial(store, name) for name in names(model, selection)}

    def keep(name: str, value: Tensor) -> None:
        chosen = _select(value, tokens, model.prefix_tokens, name)
        memory.whole(chosen, stores[name])

    with listen(model, selection, keep):
        yield tape


@contextmanager
def listen(
    model: VisionModel, selection: str, hear: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Call a function on the selected layers in forward passes inside.

    Args:
        model: the model to listen to.
        selection: which layers, see `check_selection`.
        hear: gets the name of a layer and its tensor, as the model uses it:
            (n, tokens, width), (n, channels, h, w) or (n, width), whatever
            order of the axes the model keeps it in.

    Raises:
        ValueError: unknown layers.
    """

    def pass_on(name: str, tap: Tap, module: nn.Module, value: Tensor) -> None:
        hear(name, tap.read(module, value) if tap.read else value)

    with ExitStack() as hooks:
        for name in names(model, selection):
            tap = model.taps[name]
            module = model.module.get_submodule(tap.path)
            say = partial(pass_on, name, tap, module)
            hooks.callback(hook(module, tap.is_input, say).remove)
        yield


def hook(
    module: nn.Module,
    is_input: bool,
    use: Callable[[Tensor], Tensor | None],
    first: bool = False,
) -> RemovableHandle:
    """Hand the input or the output of a module to a function.

    Args:
        module: the module.
        is_input: whether its input is meant, not its output.
        use: the forward pass goes on with what it returns, if anything.
        first: before all other hooks, so that whoever listens hears what is
            passed on.
    """
    if is_input:
        return module.register_forward_pre_hook(
            lambda _, args: use(args[0]), prepend=first
        )
    return module.register_forward_hook(
        lambda _, _args, out: use(out), prepend=first
    )


def _select(value: Tensor, tokens: Tokens, prefix: int, name: str) -> Tensor:
    if tokens == "all":
        return value.flatten(1)
    if value.ndim == 4:  # (n, c, h, w): a map has no prefix tokens
        value, prefix = value.flatten(2).transpose(1, 2), 0
    if value.ndim != 3:
        raise ValueError(
            f"{name} has no token positions (shape {tuple(value.shape)}); "
            "only tokens='all' is possible there"
        )
    if tokens == "each":
        return value
    if tokens == "cls":
        return value[:, 0]
    if tokens == "mean":
        return value.mean(1)
    if tokens == "patches":
        return value[:, prefix:].mean(1)
    position = int(tokens)
    if position >= value.shape[1]:
        raise ValueError(
            f"{name} has {value.shape[1]} token positions, 0 to "
            f"{value.shape[1] - 1}; there is no position {position}"
        )
    return value[:, position]
