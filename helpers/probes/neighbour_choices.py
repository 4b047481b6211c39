"""How far each choice of the protocol moves the accuracy of neighbours.

Token, norm, k, temperature and the size of the bank are changed one at a
time, from the settings of a page: choices that act together are not told
apart. Published numbers differ in all five.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor, nn

from helpers import intervals
from helpers.probes import checks
from helpers.probes.knn import neighbours, votes
from helpers.probes.targets import labels
from helpers.runtime.errors import unknown

if TYPE_CHECKING:
    from helpers.features.layer_selection import Tokens
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel

COUNTS = (1, 5, 20, 100)  # of neighbours
TEMPERATURES = (0.02, 0.07, 0.5, None)
SHARES = (0.25, 0.5)  # of the bank
FINAL = "norm"
Protocol = dict[str, Any]


def measure(
    model: VisionModel,
    features: Mapping[Tokens, tuple[Tensor, Tensor]],
    bank: Images,
    test: Images,
    target: str = "class",
    k: int = 20,
    temperature: float = 0.07,
    seed: int = 0,
) -> pd.DataFrame:
    """Change one choice of the protocol at a time.

    Args:
        model: the model; its final norm, where it has one, is applied to the
            vectors, which for a single token is what the network does.
        features: token choice -> (m, width) of the bank and (n, width) of
            the test images; the first choice is the usual one.
        bank: the m training images.
        test: the n test images.
        target: what the neighbours vote on.
        k: the usual number of neighbours.
        temperature: the usual one.
        seed: which images stay in a smaller bank.

    Returns:
        One row per change: `choice`, `value`, `accuracy`, and `difference`
        from the usual protocol with its interval `low` and `high`, paired
        over test images (95 %, one change at a time). The usual protocol is
        the first row, its choice empty.

    Raises:
        ValueError: no features, or labels and features that do not fit.
    """
    if not features:
        raise unknown("choice of tokens", "the first", [])
    known, truth = labels(bank, test, target)
    order = torch.randperm(
        len(known), generator=torch.Generator().manual_seed(seed)
    )
    usual = {
        "token": next(iter(features)),
        "norm": "raw",
        "k": min(k, len(known)),
        "temperature": temperature,
        "bank": len(known),
    }

    def right(how: Protocol) -> Tensor:
        x, queries = features[how["token"]]
        kept = order[: how["bank"]].sort().values  # ties go to the first
        x = x[kept]
        if how["norm"] == "final":
            x, queries = (_normed(model, each) for each in (x, queries))
        x = checks.features(x, "bank")
        near, places = neighbours([x], queries, how["k"])
        voters, classes = known[kept][places.cpu()], int(known.max()) + 1
        shares = votes(near.cpu(), voters, classes, how["temperature"])
        return (shares.argmax(1) == truth).double()

    at_first = right(usual)
    rows = [_row({}, at_first, at_first)]
    for change in _changes(model, usual, list(features)):
        rows.append(_row(change, right({**usual, **change}), at_first))
    table = pd.DataFrame(rows)
    table.attrs |= {"model": model.spec, "target": target, "usual": usual}
    return table


def largest(table: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Take of each choice the value that moves accuracy most.

    Args:
        table: what `measure` returned, or several of these.
        *by: columns that tell them apart, such as `model`.

    Returns:
        Their rows, those that move it most first.
    """
    changed = table[table.choice != ""]
    size = changed.difference.abs()
    first = changed.assign(size=size).sort_values("size", ascending=False)
    kept = first.drop_duplicates([*by, "choice"])
    if by:
        kept = kept.sort_values(list(by), kind="stable")
    return kept.drop(columns="size").reset_index(drop=True)


def _changes(
    model: VisionModel, usual: Protocol, tokens: list[Tokens]
) -> Iterator[Protocol]:
    """List each change, as far as the model and the bank allow it."""
    values: dict[str, list[Any]] = {
        "token": [*tokens],
        "norm": ["final"] if _final(model) else [],
        "k": [k for k in COUNTS if k <= usual["bank"]],
        "temperature": [*TEMPERATURES],
        "bank": [int(share * usual["bank"]) for share in SHARES],
    }
    for choice, others in values.items():
        for value in others:
            enough = choice != "bank" or value >= usual["k"]
            if value != usual[choice] and enough:
                yield {choice: value}


def _final(model: VisionModel) -> nn.LayerNorm | None:
    """Find the norm after the last block."""
    tap = model.taps.get(FINAL)
    norm = model.module.get_submodule(tap.path) if tap else None
    return norm if isinstance(norm, nn.LayerNorm) else None


def _normed(model: VisionModel, x: Tensor) -> Tensor:
    norm = _final(model)
    if norm is None:
        return x
    with torch.no_grad():
        found: Tensor = norm(x.to(norm.weight)).cpu()
    return found


def _row(
    change: Protocol, right: Tensor, usual: Tensor
) -> dict[str, float | str]:
    ((choice, value),) = change.items() or [("", "")]
    text = "equal votes" if value is None else str(value)
    moved = intervals.mean((right - usual).numpy())
    return {
        "choice": choice,
        "value": text,
        "accuracy": float(right.mean()),
        "difference": moved.value,
        "low": moved.low,
        "high": moved.high,
    }
