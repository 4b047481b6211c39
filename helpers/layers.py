"""Where to look inside a model: canonical layer names and hooks.

A *tap* is a tensor of the forward pass with a canonical name, the same for
every family in which the notion exists:

- ViT and Mixer: `embed`, then per block `ln1 qkv heads attn mid ln2 fc1 act
  fc2 out` (a Mixer has `mix`, its token-mixing branch, where a ViT has
  `qkv heads attn`), then `norm`. `attn` and `fc2` are the branches as they
  are added to the residual stream (after LayerScale), `mid` is the residual
  sum between them.
- ResNet: `stem`, then per block `conv1 norm1 act1 ... out`, `norm` at the
  end of a pre-activation network. The `norm` layers of BiT include the
  activation.
- other families: the points that timm lists as features, as `<module>.out`.

`record` runs a reduction inside the hook, so that nothing of the size of an
activation outlives its batch. Do not use it to collect raw features of many
images: reduce, or measure batch by batch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from torch import Tensor, nn

from helpers.choices import unknown

if TYPE_CHECKING:
    from helpers.models import VisionModel

Tokens = str | int
Reduce = Callable[[Tensor], Tensor]

TOKENS = ("all", "cls", "mean", "patches", "each")

# Canonical name -> (module inside the block, is it that module's input?).
_VIT_BLOCK = {
    "ln1": ("norm1", False),
    "qkv": ("attn.qkv", False),
    "heads": ("attn.proj", True),
    "attn": ("ls1", False),
    "mid": ("norm2", True),
    "ln2": ("norm2", False),
    "fc1": ("mlp.fc1", False),
    "act": ("mlp.act", False),
    "fc2": ("ls2", False),
    "out": ("", False),
}
_MIXER_BLOCK = {
    "ln1": ("norm1", False),
    "mix": ("mlp_tokens", False),
    "mid": ("norm2", True),
    "ln2": ("norm2", False),
    "fc1": ("mlp_channels.fc1", False),
    "act": ("mlp_channels.act", False),
    "fc2": ("mlp_channels.fc2", False),
    "out": ("", False),
}
# timm's names in a residual block, in forward order, v1 and pre-activation.
_RESNET_V1_BLOCK = {
    f"{ours}{i}": (f"{theirs}{i}", False)
    for i in (1, 2, 3)
    for ours, theirs in (("conv", "conv"), ("norm", "bn"), ("act", "act"))
}
_LAST_ACT = {"act2": "conv3", "act3": "conv4"}  # else it repeats `out`
_RESNET_V2_BLOCK = {
    f"{kind}{i}": (f"{kind}{i}", False)
    for i in (1, 2, 3)
    for kind in ("norm", "conv")
}
SUBLAYERS = tuple(
    dict.fromkeys(
        [
            *("embed", *_VIT_BLOCK, *_MIXER_BLOCK, "norm", "stem"),
            *(*_RESNET_V1_BLOCK, *_RESNET_V2_BLOCK),
        ]
    )
)


@dataclass(frozen=True)
class Tap:
    """One measurable tensor of a model.

    Attributes:
        path: the module to hook, as timm names it.
        is_input: whether the tensor is that module's input, not its output.
        transposed: whether the module works on (n, channels, tokens).
    """

    path: str
    is_input: bool = False
    transposed: bool = False


def taps(module: nn.Module, family: str) -> dict[str, Tap]:
    """List the measurable layers of a timm model, in forward order.

    Args:
        module: the timm model.
        family: `vit`, `mixer`, `resnet` or `other`.
    """
    if family == "vit":
        found = {"embed": Tap("blocks.0", is_input=True)}
        found |= _block_taps(module, "blocks", _VIT_BLOCK)
        if not isinstance(module.norm, nn.Identity):
            found["norm"] = Tap("norm")
    elif family == "mixer":
        found = {"embed": Tap("blocks.0", is_input=True)}
        found |= _block_taps(module, "blocks", _MIXER_BLOCK)
        found["norm"] = Tap("norm")
    elif family == "resnet" and hasattr(module, "layer1"):
        found = {"stem": Tap("layer1", is_input=True)}
        for i in range(4):
            stage = _block_taps(module, f"layer{i + 1}", _RESNET_V1_BLOCK)
            found |= {
                f"stages.{i}{name.removeprefix(f'layer{i + 1}')}": tap
                for name, tap in stage.items()
            }
    elif family == "resnet":
        found = {"stem": Tap("stem")}
        for i, _ in enumerate(module.get_submodule("stages").children()):
            stage = _block_taps(module, f"stages.{i}.blocks", _RESNET_V2_BLOCK)
            found |= {
                name.replace(".blocks", ""): tap for name, tap in stage.items()
            }
        if not isinstance(module.norm, nn.Identity):
            found["norm"] = Tap("norm")
    else:
        info = getattr(module, "feature_info", [])
        paths = [entry["module"] for entry in info if entry.get("module")]
        found = {f"{path}.out": Tap(path) for path in paths}
    return found


def _block_taps(
    module: nn.Module, blocks: str, parts: dict[str, tuple[str, bool]]
) -> dict[str, Tap]:
    found = {}
    for i, block in enumerate(module.get_submodule(blocks).children()):
        present = {path for path, _ in block.named_modules()}
        for name, (path, is_input) in {**parts, "out": ("", False)}.items():
            if name in _LAST_ACT and _LAST_ACT[name] not in present:
                continue
            if path in present:
                full = f"{blocks}.{i}.{path}".rstrip(".")
                found[f"{blocks}.{i}.{name}"] = Tap(
                    full, is_input, transposed=name == "mix"
                )
    return found


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
    handles = []
    try:
        for name in names(model, selection):
            tap = model.taps[name]
            module = model.module.get_submodule(tap.path)
            keep = _keeper(tape, name, tap, model, tokens, reduce)
            if tap.is_input:
                handles.append(
                    module.register_forward_pre_hook(
                        lambda _m, args, keep=keep: keep(args[0])
                    )
                )
            else:
                handles.append(
                    module.register_forward_hook(
                        lambda _m, _args, out, keep=keep: keep(out)
                    )
                )
        yield tape
    finally:
        for handle in handles:
            handle.remove()


def _keeper(
    tape: dict[str, Tensor],
    name: str,
    tap: Tap,
    model: VisionModel,
    tokens: Tokens,
    reduce: Reduce | None,
) -> Callable[[Tensor], None]:
    channels_last = getattr(model.module, "output_fmt", "NCHW") == "NHWC"

    def keep(value: Tensor) -> None:
        value = value.transpose(1, 2) if tap.transposed else value
        if channels_last and value.ndim == 4:  # as in Swin
            value = value.movedim(-1, 1)
        chosen = _select(value, tokens, model.prefix_tokens, name)
        tape[name] = reduce(chosen) if reduce else chosen.detach().clone()

    return keep


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
