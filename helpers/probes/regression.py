"""Read classes and quantities out of frozen features, on one scale.

Ridge regression says what each target is; its *skill* is the share of the
error of a constant guess that it removes,

    skill = 1 - error / error of the constant guess,

where the error is the share of wrong answers for classes (the constant guess
is the most common class of the bank) and the mean squared error for
quantities (the mean of the bank). So 0 is a guess, 1 is perfect, below 0 is
worse than a guess; for quantities it is R^2 on unseen images, for classes
(accuracy - chance) / (1 - chance). The name is that of forecast verification
(Murphy 1988).

All targets of a bank share one decomposition, see `fit_targets`. Do not use
it for targets without spread, or for a bank that does not fit in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import helpers.probes.checks as checks
from helpers.probes.held_out import HELD_OUT, hold_out
from helpers.probes.least_squares import fit_targets
from helpers.probes.ridge import PENALTIES


@dataclass(frozen=True)
class Regression:
    """What ridge regression says of the queries about one target.

    Attributes:
        scores: (n, columns) one column per class or quantity.
        constant: (columns,) the constant guess: the mean over the bank.
        penalty: the one that was chosen.
        tried: skill on held-out images of the bank by penalty.
    """

    scores: Tensor
    constant: Tensor
    penalty: float
    tried: dict[float, float]


def regressions(
    bank: Tensor,
    targets: Mapping[str, Tensor],
    queries: Tensor,
    penalties: Sequence[float] = PENALTIES,
    held_out: float = HELD_OUT,
    seed: int = 0,
) -> dict[str, Regression]:
    """Fit ridge regression to several targets of one bank.

    Args:
        bank: (m, d) features; standardised as in `ridge`.
        targets: name -> (m,) classes from 0, or (m, columns) quantities that
            are judged together (two coordinates, sine and cosine of an
            angle), in floating point.
        queries: (n, d) features.
        penalties: to choose from, each target for itself, by its skill on
            held-out images of the bank; of equals the largest.
        held_out: share of the bank that is held out for the choice, then
            fitted with the rest.
        seed: which images are held out.

    Returns:
        One regression a target, in the order given.

    Raises:
        ValueError: targets that do not fit the bank, have no spread or are
            NaN, and what `ridge` refuses.
    """
    bank = checks.exactable(checks.features(bank, "bank"))
    if not checks.varies(bank, bank[0]):
        raise checks.ConstantFeaturesError()
    grid = sorted(checks.positive(penalties, "penalties"), reverse=True)
    truth = {n: _checked(n, y, bank) for n, y in targets.items()}
    coded = [_coded(y) for y in truth.values()]
    columns = [y.shape[1] for y in coded]
    y = torch.cat(coded, 1)
    classes = [y for y in truth.values() if y.ndim == 1]
    held = hold_out(
        classes or [torch.zeros_like(bank[:, 0], dtype=torch.int64)],
        held_out,
        seed,
    )
    fit = fit_targets(bank[~held], y[~held])
    tried = {}
    for (name, values), scores, constant in zip(
        truth.items(),
        torch.split(fit.scores(bank[held], grid), columns, 2),
        torch.split(fit.offset, columns),
        strict=True,
    ):
        skills = skill(
            errors(scores, values[held]).T, errors(constant, values[held])
        )
        tried[name] = dict(zip(grid, skills.tolist(), strict=True))
    chosen = {name: max(by, key=by.__getitem__) for name, by in tried.items()}
    fit = fit_targets(bank, y)
    final = sorted(set(chosen.values()))
    found = torch.split(fit.scores(queries, final), columns, 2)
    return {
        name: Regression(
            scores[final.index(chosen[name])],
            constant,
            chosen[name],
            tried[name],
        )
        for name, scores, constant in zip(
            truth, found, torch.split(fit.offset, columns), strict=True
        )
    }


def errors(scores: Tensor, truth: Tensor) -> Tensor:
    """Return the error of each image.

    Args:
        scores: (..., n, columns), or (columns,) of a constant guess.
        truth: (n,) classes or (n, columns) quantities.

    Returns:
        (..., n) float64: 0 or 1, whether the class of the largest score is
        wrong; or the squared error, summed over the columns.
    """
    scores = checks.exact(scores)
    if scores.ndim == 1:
        scores = scores.expand(len(truth), -1)
    truth = truth.to(scores.device)
    if truth.ndim == 1:
        return (scores.argmax(-1) != truth).double()
    return (scores - truth).square().sum(-1)


def skill(errors: Tensor, baseline: Tensor) -> Tensor:
    """Return the share of a constant guess' error that is removed.

    Args:
        errors: (n, ...) of each image.
        baseline: (n,) of the constant guess.

    Returns:
        (...) skill; NaN where the constant guess makes no error.
    """
    worst = baseline.mean()
    return 1 - errors.mean(0) / torch.where(worst > 0, worst, torch.nan)


def _checked(name: str, y: Tensor, bank: Tensor) -> Tensor:
    y = torch.as_tensor(y)
    if not y.is_floating_point():
        y = checks.labels(y, len(bank), bank.device)
        try:
            checks.count(y)
        except ValueError as error:
            raise ValueError(f"target {name!r}: {error}") from error
        return y
    if y.ndim != 2 or len(y) != len(bank):
        raise ValueError(
            f"target {name!r}: {len(bank)} images need quantities of shape "
            f"({len(bank)}, columns), got {tuple(y.shape)}"
        )
    if not torch.isfinite(y).all():
        raise ValueError(f"target {name!r} is NaN or infinite")
    if (y == y[0]).all():
        raise ValueError(f"target {name!r} is the same for all images")
    return checks.exact(y.to(bank.device))


def _coded(y: Tensor) -> Tensor:
    """Return targets as columns: classes as -1 and 1, quantities as given."""
    if y.ndim == 2:
        return y
    return 2 * torch.nn.functional.one_hot(y).double() - 1
