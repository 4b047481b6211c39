"""Choose layers by name.

The canonical names, the same for every family in which the notion exists, are
listed in `helpers.models.families`; a selection is one or more patterns of
them.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from helpers.features.arguments import checked
from helpers.models.families.recognition import WORDS
from helpers.runtime.errors import unknown

if TYPE_CHECKING:
    from helpers.models.vision_model import VisionModel


Tokens = str | int

TOKENS = ("all", "cls", "mean", "patches", "each")


def check_selection(selection: str) -> str:
    """Refuse a selection that could match no layer of any model.

    Args:
        selection: comma-separated patterns: a sublayer name (`out`,
            `ln1,qkv`), `all`, or a full name with `*` and ranges
            (`blocks.0-3.*`, `stages.1.2.conv1`). For the output of a module
            that has no other layers its path will do, where a model is given
            (`layer4`).

    Returns:
        The selection, unchanged.

    Raises:
        ValueError: an empty or unknown pattern; names the nearest ones.
    """
    for pattern in _patterns(selection):
        last = pattern.rsplit(".", 1)[-1]
        known = any(fnmatchcase(name, last) for name in WORDS)
        if pattern != "all" and not known:
            raise unknown("layer", pattern, ("all", *WORDS))
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


@checked
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
            by_path = "." in pattern or list(words) == ["out"]
            choices = model.taps if by_path else ("all", *words)
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


def _patterns(selection: str) -> list[str]:
    patterns = [part.strip() for part in selection.split(",")]
    if not all(patterns):
        raise ValueError(
            f"a layer selection is a comma-separated list of patterns such "
            f"as 'out' or 'blocks.0-3.*', not {selection!r}"
        )
    return patterns


def _match(name: str, pattern: str) -> bool:
    if pattern in ("all", name.removesuffix(".out")):
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
