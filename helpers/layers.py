"""Look inside a model: choose layers by name, reduce them in hooks.

The canonical names, the same for every family in which the notion exists, are
listed in `helpers.taps`; a selection is one or more patterns of them.

`record` runs a reduction inside the hook, so that nothing of the size of an
activation outlives its batch. Do not use it to collect raw features of many
images: reduce, or measure batch by batch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from helpers import memory
from helpers.choices import unknown
from helpers.taps import SUBLAYERS, Tap

if TYPE_CHECKING:
    from helpers.models import VisionModel

Tokens = str | int
Reduce = Callable[[Tensor], Tensor]

TOKENS = ("all", "cls", "mean", "patches", "each")


def check_selection(selection: str) -> str:
    """Refuse a selection that could match no layer of any model.

    Args:
        selection: comma-separated patterns: a sublayer name (`out`,
            `ln1,qkv`), `all`, or a full name with `*` and ranges
            (`blocks.0-3.*`, `stages.1.2.conv1`).

    Returns:
        The selection, unchanged.

    Raises:
        ValueError: an empty or unknown pattern; names the nearest ones.
    """
    for pattern in _patterns(selection):
        last = pattern.rsplit(".", 1)[-1]
        known = any(fnmatchcase(name, last) for name in SUBLAYERS)
        if pattern != "all" and not known:
            raise unknown("layer", pattern, ("all", *SUBLAYERS))
    return selection


def check_tokens(tokens: Tokens) -> Tokens:
    """Refuse a token choice that is neither a known word nor an index.

    Raises:
        ValueError: names the nearest valid choices.
    """
    if isinstance(tokens, bool) or not isinstance(tokens, (str, int)):
        raise ValueError(
            f"tokens must be one of {', '.join(TOKENS)} or a position, "
            f"not {tokens!r}"
        )
    if isinstance(tokens, str) and tokens not in TOKENS:
        raise unknown("token choice", tokens, TOKENS)
    if isinstance(tokens, int) and tokens < 0:
        raise ValueError(f"a token position counts from 0, got {tokens}")
    return tokens


def names(model: VisionModel, selection: str) -> list[str]:
    """Resolve a selection to layer names of a model, in forward order.

    Raises:
        ValueError: a pattern matches no layer; names the nearest ones.
    """
    wanted: set[str] = set()
    for pattern in _patterns(selection):
        matches = [name for name in model.taps if _match(name, pattern)]
        if not matches:
            words = dict.fromkeys(n.rsplit(".", 1)[-1] for n in model.taps)
            choices = model.taps if "." in pattern else ("all", *words)
            raise unknown(f"layer of {model.spec}", pattern, choices)
        wanted.update(matches)
    return [name for name in model.taps if name in wanted]


def shared(selection: str, *models: VisionModel) -> str:
    """Refuse models whose layers do not correspond one to one.

    Returns:
        The selection, unchanged.

    Raises:
        ValueError: a model lacks a layer, or has other ones than the first.
    """
    first, *others = models
    known = names(first, selection)
    for model in others:
        unlike = f"{first.spec} and {model.spec} do not correspond"
        try:
            own = names(model, selection)
        except ValueError as error:
            raise ValueError(f"{unlike} layer by layer: {error}") from None
        if own != known:
            raise ValueError(
                f"{unlike} layer by layer: {selection!r} is {len(known)} "
                f"layers of the one ({known[0]} to {known[-1]}) and "
                f"{len(own)} of the other ({own[0]} to {own[-1]}); choose "
                "models of one architecture"
            )
    return selection


def depth(model: VisionModel, name: str) -> float:
    """Return how deep a layer lies: 0 for the first tap, 1 for the last."""
    order = list(model.taps)
    return order.index(name) / max(len(order) - 1, 1)


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
    channels_last = getattr(model.module, "output_fmt", "NCHW") == "NHWC"

    def pass_on(name: str, tap: Tap, value: Tensor) -> None:
        value = value.transpose(1, 2) if tap.transposed else value
        if channels_last and value.ndim == 4:  # as in Swin
            value = value.movedim(-1, 1)
        hear(name, value)

    with ExitStack() as hooks:
        for name in names(model, selection):
            tap = model.taps[name]
            module = model.module.get_submodule(tap.path)
            say = partial(pass_on, name, tap)
            handle = (
                module.register_forward_pre_hook(
                    lambda _m, args, say=say: say(args[0])
                )
                if tap.is_input
                else module.register_forward_hook(
                    lambda _m, _args, out, say=say: say(out)
                )
            )
            hooks.callback(handle.remove)
        yield


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


def _patterns(selection: str) -> list[str]:
    patterns = [part.strip() for part in selection.split(",")]
    if not all(patterns):
        raise ValueError(
            f"a layer selection is a comma-separated list of patterns such "
            f"as 'out' or 'blocks.0-3.*', not {selection!r}"
        )
    return patterns


def _match(name: str, pattern: str) -> bool:
    if pattern == "all":
        return True
    if "." not in pattern:
        return fnmatchcase(name.rsplit(".", 1)[-1], pattern)
    have, want = name.split("."), pattern.split(".")
    return len(have) == len(want) and all(map(_match_part, have, want))


def _match_part(part: str, pattern: str) -> bool:
    span = re.fullmatch(r"(\d+)-(\d+)", pattern)
    if span and part.isdigit():
        return int(span[1]) <= int(part) <= int(span[2])
    return fnmatchcase(part, pattern)
