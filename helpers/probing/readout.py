"""Read classes out of frozen features, with the setting chosen fairly.

The penalty (or k) is the one that does best on a part of the bank held out
of the fit; then the whole bank is fitted with it. The queries are never
looked at before the end.

Do not choose among layers by the scores of the queries either: `tried` holds
the held-out accuracy to choose by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.choices import unknown
from helpers.probing import inputs
from helpers.probing.knn import neighbours, votes
from helpers.probing.least_squares import SMALLEST_SCALE
from helpers.probing.logistic import logistic
from helpers.probing.ridge import PENALTIES, RidgeStatistics

SETTINGS: dict[str, tuple[float, ...]] = {
    "knn": (20,),
    "ridge": PENALTIES,
    "logistic": (1.0,),
}
HELD_OUT = 0.2
TEMPERATURE = 0.07  # of the votes of neighbours


@dataclass(frozen=True)
class Readout:
    """What a probe says of the queries.

    Attributes:
        scores: (n, classes), the largest wins: shares of votes (knn), values
            between about -1 and 1 (ridge), logits (logistic).
        setting: the chosen k or penalty.
        converged: whether the solver reached the solution.
        tried: held-out accuracy by setting; empty if nothing was held out.
    """

    scores: Tensor
    setting: float
    converged: bool
    tried: dict[float, float]


@dataclass(frozen=True)
class _Set:
    """One set of labels of the bank."""

    labels: Tensor
    classes: int


Scored = tuple[list[Tensor], bool]  # (settings, n, classes) a set; converged


def readout(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    probe: str = "logistic",
    settings: Sequence[float] | None = None,
    held_out: float = HELD_OUT,
    seed: int = 0,
) -> Readout:
    """Fit a probe to a bank and score queries; see `readouts`.

    Args:
        bank: (m, d) features.
        bank_labels: (m,) classes from 0.
        queries: (n, d) features.
        probe: `knn`, `ridge` or `logistic`.
        settings: as in `readouts`.
        held_out: as in `readouts`.
        seed: as in `readouts`.
    """
    sets = {"labels": bank_labels}
    return readouts(bank, sets, queries, probe, settings, held_out, seed)[
        "labels"
    ]


def readouts(
    bank: Tensor,
    bank_labels: Mapping[str, Tensor],
    queries: Tensor,
    probe: str = "logistic",
    settings: Sequence[float] | None = None,
    held_out: float = HELD_OUT,
    seed: int = 0,
) -> dict[str, Readout]:
    """Fit a probe to several sets of labels of one bank, and score queries.

    What the sets have in common (neighbours, the decomposition behind ridge)
    is computed once.

    Args:
        bank: (m, d) features. For ridge and logistic they are standardised
            by the mean of the bank and its standard deviation plus 1e-5.
        bank_labels: name of a set -> (m,) classes from 0.
        queries: (n, d) features.
        probe: `knn`, `ridge` or `logistic`.
        settings: numbers of neighbours or penalties to choose from, each set
            for itself; by default 20 neighbours, the penalties from 2^-10 to
            2^19, and 1.
        held_out: share of each class of the bank that the choice is made
            on; a class of one image stays in the fit. With one setting it
            may be 0: nothing is then held out.
        seed: which images are held out.

    Returns:
        One readout a set. Of settings that do equally well the largest is
        chosen.

    Raises:
        ValueError: unknown probe, or what `knn`, `ridge` and `logistic`
            refuse.

    Warns:
        NotConverged: the solver ran out of steps.
    """
    check(probe)
    given = SETTINGS[probe] if settings is None else settings
    grid = sorted(inputs.positive(given, "settings"), reverse=True)
    bank = inputs.features(bank, "bank")
    if not inputs.varies(bank, bank[0]):
        raise inputs.ConstantFeaturesError()
    sets = {}
    for name, y in bank_labels.items():
        labels = inputs.labels(y, len(bank), bank.device)
        sets[name] = _Set(labels, inputs.count(labels))
    score, chosen = _SCORE[probe], dict.fromkeys(sets, grid[0])
    tried: dict[str, dict[float, float]] = {name: {} for name in sets}
    if held_out or len(grid) > 1:
        held = hold_out([s.labels for s in sets.values()], held_out, seed)
        fit = [_Set(s.labels[~held], s.classes) for s in sets.values()]
        found, _ = score(bank[~held], fit, bank[held], grid)
        for (name, s), scores in zip(sets.items(), found, strict=True):
            right = scores.argmax(2) == s.labels[held].to(scores.device)
            shares = right.cpu().double().mean(1).tolist()
            tried[name] = dict(zip(grid, shares, strict=True))
            chosen[name] = max(tried[name], key=tried[name].__getitem__)
    final = sorted(set(chosen.values()))
    found, converged = score(bank, list(sets.values()), queries, final)
    return {
        name: Readout(
            scores[final.index(chosen[name])],
            chosen[name],
            converged,
            tried[name],
        )
        for name, scores in zip(sets, found, strict=True)
    }


def check(probe: str) -> str:
    """Refuse an unknown probe.

    Raises:
        ValueError: names the nearest ones.
    """
    if probe not in SETTINGS:
        raise unknown("probe", probe, SETTINGS)
    return probe


def hold_out(sets: Sequence[Tensor], share: float, seed: int) -> Tensor:
    """Choose images of a bank to be held out, stratified.

    Args:
        sets: (m,) classes, one tensor a set of labels; the set of most
            classes is stratified.
        share: of each class, in (0, 1); at least one image.
        seed: which images.

    Returns:
        (m,) whether an image is held out. In every set each class keeps an
        image that is not.

    Raises:
        ValueError: a share outside (0, 1), or no class with two images.
    """
    if not 0 < share < 1:
        raise ValueError(f"held_out must lie between 0 and 1, got {share}")
    order = torch.randperm(
        len(sets[0]), generator=torch.Generator().manual_seed(seed)
    )
    held = torch.zeros(len(order), dtype=torch.bool)
    finest = max(sets, key=lambda y: int(y.max())).cpu()
    for y in range(int(finest.max()) + 1):
        mine = order[finest[order] == y]
        count = min(len(mine) - 1, max(1, round(share * len(mine))))
        held[mine[: max(count, 0)]] = True
    for labels in (y.cpu() for y in sets):
        kept = torch.bincount(labels[~held], minlength=int(labels.max()) + 1)
        for y in (kept == 0).nonzero().flatten().tolist():
            held[(labels == y).nonzero()[0]] = False
    if not held.any():
        raise ValueError(
            "no image can be held out, as every class has one; give more "
            "images, or a single setting"
        )
    return held.to(sets[0].device)


def _knn(
    bank: Tensor, sets: list[_Set], queries: Tensor, grid: Sequence[float]
) -> Scored:
    if any(k != int(k) for k in grid):
        raise ValueError(f"k must be a whole number, got {list(grid)}")
    similarity, index = neighbours([bank], queries, int(max(grid)))
    return [
        torch.stack(
            [
                votes(
                    similarity[:, : int(k)],
                    s.labels[index[:, : int(k)]],
                    s.classes,
                    TEMPERATURE,
                )
                for k in grid
            ]
        )
        for s in sets
    ], True


def _ridge(
    bank: Tensor, sets: list[_Set], queries: Tensor, grid: Sequence[float]
) -> Scored:
    classes = [s.classes for s in sets]
    statistics = RidgeStatistics(classes)
    statistics.update(bank, torch.stack([s.labels for s in sets], 1))
    scores = statistics.solve().scores(queries, grid)
    return list(torch.split(scores, classes, 2)), True


def _logistic(
    bank: Tensor, sets: list[_Set], queries: Tensor, grid: Sequence[float]
) -> Scored:
    mean, scale = bank.mean(0), bank.std(0, correction=0) + SMALLEST_SCALE
    x = (bank - mean) / scale
    q = (inputs.fits(queries, len(mean)).to(mean) - mean) / scale
    fits = [logistic(x, s.labels, q, grid, s.classes) for s in sets]
    return [f.logits for f in fits], all(all(f.converged) for f in fits)


_SCORE: dict[
    str, Callable[[Tensor, list[_Set], Tensor, Sequence[float]], Scored]
] = {"knn": _knn, "ridge": _ridge, "logistic": _logistic}
