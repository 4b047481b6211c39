"""Any module: which layers it has, found by running it once.

Names of modules say neither in which order they run nor what they give out,
so two black pictures go through the model while all its parts are watched.
For modules that no family knows; a layer is what a part of the model gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from helpers.models.families.family import Layers, Tap
from helpers.models.families.generic import channels_first
from helpers.runtime.errors import unknown

LISTS = (nn.Sequential, nn.ModuleList)
PICTURES = 2
SIZE_HINT = (
    "give another input_size in preprocessing, one that its patches and "
    "windows divide, or a module whose first argument is the batch"
)
Outputs = dict[str, list[Any]]
"""Path of a module -> the form of what it gave out, for each time it ran."""


def layers_of(
    module: nn.Module,
    size: Sequence[int],
    wanted: Sequence[str] | None = None,
) -> Layers:
    """List layers of a module in forward order, as `<path>.out`.

    Args:
        module: the model.
        size: (3, h, w) of the pictures it is shown.
        wanted: paths of its modules, as `named_modules` gives them; where one
            gives a tuple or a dictionary, with the entry in brackets, as in
            `attn[0]`. By default its blocks, the modules with parts of their
            own in its lists; in a model that has none, all modules
            with weights.

    Raises:
        TypeError: paths that are no list of text.
        ValueError: no named layers, pictures that it cannot run, or a path
            that is unknown, runs never or several times, or gives no tensor
            of one row per image.
    """
    kind, ran = type(module).__name__, run(module, size)
    if isinstance(wanted, str) or not all(
        isinstance(path, str) for path in wanted or ()
    ):
        raise TypeError(
            f"layers of {kind} must be a list of paths of modules, like "
            f"['{next(iter(ran), 'layer4')}'], not {wanted!r}"
        )
    asked = list(wanted) if wanted is not None else _usual(module, ran)
    if not asked:
        raise ValueError(
            f"{kind} has no named layers: none of its parts is a module that "
            "runs; make them attributes of the model (self.name = nn...)"
        )
    taps = {}
    for text in asked:
        path, entry = _parse(text)
        taps[path] = _tap(module, ran, path, entry)
    return {f"{path}.out": taps[path] for path in ran if path in taps}


def run(
    module: nn.Module, size: Sequence[int], hint: str = SIZE_HINT
) -> Outputs:
    """Watch all parts during one forward pass, in the order they finish.

    Args:
        module: the model.
        size: (3, h, w) of the pictures it is shown.
        hint: what to do where it cannot be run on these.

    Raises:
        ValueError: it cannot, as where its windows do not divide the picture.
    """
    ran: Outputs = {}
    handles = [
        part.register_forward_hook(
            lambda _m, _x, out, path=path: ran.setdefault(path, []).append(
                _form(out)
            )
        )
        for path, part in module.named_modules()
        if path
    ]
    first = next(module.parameters())
    black = torch.zeros(
        PICTURES, *size, device=first.device, dtype=first.dtype
    )
    try:
        with torch.no_grad():
            module(black)
    except Exception as error:
        raise ValueError(
            f"{type(module).__name__} cannot be run on pictures of "
            f"{size[1]} x {size[2]} pixels ({error}); {hint}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return ran


def _form(output: Any) -> Any:
    """Keep the shapes of what a module gave out, not the tensors."""
    if isinstance(output, Tensor):
        return tuple(output.shape)
    if isinstance(output, Mapping):
        return {key: _form(value) for key, value in output.items()}
    if isinstance(output, (tuple, list)):
        return [_form(value) for value in output]
    return type(output)


def _usual(module: nn.Module, ran: Outputs) -> list[str]:
    """List the blocks of a model, or all of its parts that have weights."""
    blocks = [path for path in _blocks(module) if len(ran.get(path, ())) == 1]
    return blocks or [
        path
        for path, part in module.named_modules()
        if len(ran.get(path, ())) == 1
        and not list(part.children())
        and list(part.parameters())
    ]


def _blocks(
    module: nn.Module, path: str = "", listed: bool = False
) -> Iterator[str]:
    """Yield modules with parts of their own that stand in a list.

    One that holds a stack of such modules itself gives way to these.
    """
    if listed and _is_block(module) and not any(map(_stack, module.modules())):
        yield path
        return
    for name, part in module.named_children():
        inner = f"{path}.{name}".lstrip(".")
        yield from _blocks(part, inner, isinstance(module, LISTS))


def _is_block(module: nn.Module) -> bool:
    return not isinstance(module, LISTS) and any(
        True for _ in module.children()
    )


def _stack(module: nn.Module) -> bool:
    """Say whether a module is a list with two blocks of one type or more."""
    kinds = [type(part) for part in module.children() if _is_block(part)]
    return isinstance(module, LISTS) and len(kinds) > len(set(kinds))


def _parse(text: str) -> tuple[str, int | str | None]:
    found = re.fullmatch(r"([^\[\]]+)(?:\[(-?\d+|[^\[\]]+)\])?", text)
    if not found:
        raise ValueError(
            f"{text!r} names no layer; expected the path of a module, or one "
            "with an entry of what it gives, like 'attn[0]'"
        )
    path, key = found.groups()
    if key is None:
        return path, None
    return path, int(key) if key.lstrip("-").isdigit() else key.strip("'\"")


def _tap(
    module: nn.Module, ran: Outputs, path: str, entry: int | str | None
) -> Tap:
    """Find how one layer is read."""
    kind = type(module).__name__
    if path not in dict(module.named_modules()):
        raise unknown(f"layer of {kind}", path, list(ran))
    if path not in ran:
        raise unknown(f"layer of {kind} in a forward pass", path, list(ran))
    if len(ran[path]) > 1:
        raise ValueError(
            f"{path} of {kind} runs {len(ran[path])} times in a forward pass, "
            "so that it is no one layer; choose a module around it"
        )
    (form,) = ran[path]
    entries: dict[Any, Any] = form if isinstance(form, dict) else {}
    if isinstance(form, list):
        entries = dict(enumerate(form))
    if entries or entry is not None:
        known = [key for key, f in entries.items() if isinstance(f, tuple)]
        if entry not in known:
            word = "dictionary" if isinstance(form, dict) else "tuple"
            one = "tensor" if isinstance(form, tuple) else word
            choices = [f"{path}[{key}]" for key in known] or [path]
            raise ValueError(
                f"{path} of {kind} gives a {one}, not the tensor that was "
                f"asked for; valid: {', '.join(map(repr, choices))}"
            )
        form = entries[entry]
    if not isinstance(form, tuple) or len(form) < 2 or form[0] != PICTURES:
        raise ValueError(
            f"{path} of {kind} gives no tensor of one row per image: of "
            f"{PICTURES} pictures it makes {form}; choose a module around it"
        )
    part = module.get_submodule(path)
    return Tap(path, read=_reader(part, form, entry))


def _reader(part: nn.Module, form: tuple[int, ...], entry: Any) -> Any:
    """Take the entry out, and bring maps whose width comes last to (c, h, w).

    The width of a map is the first length of one of the weights.
    """
    widths = {len(p) for p in part.parameters() if p.ndim}
    turned = len(form) == 4 and form[1] not in widths and form[-1] in widths
    turn = partial(channels_first, form[-1]) if turned else None
    if entry is None:
        return turn
    return partial(_taken, entry, turn)


def _taken(entry: Any, turn: Any, part: nn.Module, output: Any) -> Tensor:
    value: Tensor = output[entry]
    return turn(part, value) if turn else value
