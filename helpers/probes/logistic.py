"""Multinomial logistic regression, to the solution of scikit-learn.

The problem is convex, so the only question is how fast its one solution is
reached. Plain L-BFGS crawls where features are correlated, as those of a
network are. So it works in coordinates in which the loss curves about alike
in all directions, chosen again every few steps.

Do not use it for a bank that does not fit in memory: see
`helpers.probes.ridge`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import helpers.probes.checks as checks
from helpers.probes.least_squares import spectrum

MAX_STEPS = 2000
ROUND = 30  # steps after which the coordinates are chosen again
FLATTEST = 1e-9  # curvature that an image may have
TOLERANCE = 5e-6  # largest slope, in coordinates of unit curvature


class NotConverged(UserWarning):
    """The solver stopped before it reached the solution."""


@dataclass(frozen=True)
class Logistic:
    """Logits of logistic regressions, one for each penalty.

    Attributes:
        logits: (penalties, n, classes) of the queries.
        converged: for each penalty, whether the solution was reached.
        steps: for each penalty, steps of L-BFGS.
    """

    logits: Tensor
    converged: tuple[bool, ...]
    steps: tuple[int, ...]


def logistic(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    penalties: Sequence[float] = (1.0,),
    classes: int | None = None,
    max_steps: int = MAX_STEPS,
) -> Logistic:
    """Fit multinomial logistic regression and score queries.

    The sum over images of the cross-entropy plus penalty / 2 times the
    squared weights; the intercept is free. This is scikit-learn's
    `LogisticRegression(C=1 / penalty)`. Features are taken as they are:
    standardise them first, as `helpers.probes.readout` does.

    Args:
        bank: (m, d) features.
        bank_labels: (m,) classes from 0.
        queries: (n, d) features.
        penalties: one or more.
        classes: how many; one more than the largest label by default.
        max_steps: of L-BFGS, for each penalty.

    Returns:
        The logits, in float64, and whether the solver converged.

    Raises:
        ValueError: another number of labels than images, a class without an
            image, a penalty that is not positive, features that are NaN,
            infinite, or the same for the whole bank.

    Warns:
        NotConverged: the solver ran out of steps.
    """
    grid = checks.positive(penalties, "penalties")
    bank = checks.features(bank, "bank")
    queries = checks.fits(queries, bank.shape[1]).to(bank.device)
    labels = checks.labels(bank_labels, len(bank), bank.device)
    total = checks.count(labels, classes)
    if not checks.varies(bank, bank[0]):
        raise checks.ConstantFeaturesError()
    mean = checks.exact(bank).mean(0)
    x, seen = checks.exact(bank) - mean, checks.exact(queries) - mean
    if len(x) < x.shape[1]:  # weights lie in the span of the images
        _, basis = spectrum(x)
        x, seen = x @ basis, seen @ basis
    x, seen = _with_intercept(x), _with_intercept(seen)
    labels = labels.to(x.device)
    weights = x.new_zeros(x.shape[1], total)
    logits, converged, steps = {}, {}, {}
    for p in sorted(grid, reverse=True):  # each starts from the one before
        weights, steps[p], converged[p] = _solve(
            x, labels, p, weights, max_steps
        )
        logits[p] = seen @ weights
        if not converged[p]:
            warnings.warn(
                f"logistic regression (penalty {p:g}) has not converged in "
                f"{steps[p]} steps; raise max_steps or the penalty",
                NotConverged,
                stacklevel=2,
            )
    return Logistic(
        torch.stack([logits[p] for p in grid]),
        tuple(converged[p] for p in grid),
        tuple(steps[p] for p in grid),
    )


def _with_intercept(x: Tensor) -> Tensor:
    return torch.cat([x, x.new_ones(len(x), 1)], 1)


def _solve(
    x: Tensor, y: Tensor, penalty: float, weights: Tensor, max_steps: int
) -> tuple[Tensor, int, bool]:
    """Descend from given weights, in rounds with coordinates of their own.

    Returns:
        (d + 1, classes) weights, the last row being the intercept, the steps
        taken, and whether the solution was reached.
    """
    steps, slope = 0, float("inf")
    while slope > TOLERANCE and steps < max_steps:
        room = min(ROUND, max_steps - steps)
        weights, taken, slope = _round(x, y, penalty, weights, room)
        steps += taken
    return weights, steps, slope <= TOLERANCE


def _round(
    x: Tensor, y: Tensor, penalty: float, weights: Tensor, max_steps: int
) -> tuple[Tensor, int, float]:
    """Take up to so many steps; return the largest slope after them too."""
    axes = _axes(x, weights, penalty)
    z = torch.linalg.solve_triangular(axes, weights, upper=True)
    z = z.contiguous().requires_grad_()
    search: Any = torch.optim.LBFGS(
        [z],
        max_iter=max_steps,
        tolerance_grad=TOLERANCE,
        tolerance_change=0,
        history_size=ROUND,
        line_search_fn="strong_wolfe",
    )
    turned = x @ axes

    def loss_and_gradient() -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            size = (axes[:-1] @ z).square().sum()
            loss = F.cross_entropy(turned @ z, y, reduction="sum")
            loss = loss + penalty / 2 * size
        (gradient,) = torch.autograd.grad(loss, z)
        return loss.detach(), gradient

    def closure() -> Tensor:
        loss, z.grad = loss_and_gradient()
        return loss

    search.step(closure)
    _, gradient = loss_and_gradient()
    slope = float(gradient.abs().max())
    found: Tensor = axes @ z.detach()
    return found, int(search.state[z]["n_iter"]), slope


def _axes(x: Tensor, weights: Tensor, penalty: float) -> Tensor:
    """Choose coordinates in which the loss curves about alike everywhere.

    The Hessian has a block for each pair of classes; the mean of the blocks
    on its diagonal stands for all.
    """
    shares = torch.softmax(x @ weights, 1)
    curvature = (shares * (1 - shares)).mean(1, keepdim=True)
    curvature = curvature.clamp(min=FLATTEST)
    block = x.T @ (curvature * x)
    block.diagonal()[:-1] += penalty
    root = torch.linalg.cholesky(block)
    one = torch.eye(len(block), dtype=x.dtype, device=x.device)
    axes: Tensor = torch.linalg.solve_triangular(root.T, one, upper=True)
    return axes
