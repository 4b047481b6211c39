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

import helpers.probes.checks as checks
from helpers.probes.held_out import HELD_OUT, hold_out
from helpers.probes.knn import neighbours, votes
from helpers.probes.least_squares import SMALLEST_SCALE
from helpers.probes.logistic import logistic
from helpers.probes.ridge import PENALTIES, RidgeStatistics
from helpers.runtime.errors import unknown

SETTINGS: dict[str, tuple[float, ...]] = {
    "knn": (20,),
    "ridge": PENALTIES,
    "logistic": (1.0,),
}
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
    grid = sorted(checks.positive(given, "settings"), reverse=True)
    bank = checks.features(bank, "bank")
    if not checks.varies(bank, bank[0]):
        raise checks.ConstantFeaturesError()
    sets = {}
    for name, y in bank_labels.items():
        labels = checks.labels(y, len(bank), bank.device)
        sets[name] = _Set(labels, checks.count(labels))
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
    q = (checks.fits(queries, len(mean)).to(mean) - mean) / scale
    fits = [logistic(x, s.labels, q, grid, s.classes) for s in sets]
    return [f.logits for f in fits], all(all(f.converged) for f in fits)


_SCORE: dict[
    str, Callable[[Tensor, list[_Set], Tensor, Sequence[float]], Scored]
] = {"knn": _knn, "ridge": _ridge, "logistic": _logistic}
