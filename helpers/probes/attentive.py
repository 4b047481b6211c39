"""Read classes out of all tokens of a layer, by attention that is learned.

A linear probe reads one vector of an image, the class token or a mean; where
a network spreads what it knows over its tokens, that asks too much of the
mean. An attentive probe learns which tokens to read: one query attends to
all tokens, and a linear classifier reads what it fetches (Chen et al. 2024,
*Context Autoencoder*, section 4; El-Nouby et al. 2024, section 3.3):

    a = softmax over tokens of  w . x_t
    logits = (sum_t a_t x_t) M + b

A query times the keys' matrix is one vector w, and the values' matrix times
the classifier's is one matrix M, so this is cross-attention with one head,
written with as few numbers as say the same.

Tokens of all images are kept in memory. The loss has more than one minimum;
the solver starts where the attention is even and the classifier is that of
`logistic` on the mean, so that it never fits worse than that.
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
from helpers.probes.held_out import HELD_OUT, hold_out
from helpers.probes.least_squares import SMALLEST_SCALE
from helpers.probes.logistic import MAX_STEPS, NotConverged, logistic

TOLERANCE = 1e-4
"""Largest slope of the loss an image at which the solver stops."""
HISTORY = 30
ATTENTIVE_PENALTIES = (1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Attentive:
    """What an attentive probe says of the queries.

    Attributes:
        scores: (n, classes) logits.
        attention: (n, tokens) weights, each row summing to 1.
        setting: the chosen penalty.
        converged: whether the solver reached a minimum.
        tried: held-out accuracy by penalty; empty if nothing was held out.
    """

    scores: Tensor
    attention: Tensor
    setting: float
    converged: bool
    tried: dict[float, float]


def attentive(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    penalties: Sequence[float] = ATTENTIVE_PENALTIES,
    held_out: float = HELD_OUT,
    max_steps: int = MAX_STEPS,
    seed: int = 0,
) -> Attentive:
    """Fit an attentive probe and score queries.

    The sum over images of the cross-entropy plus penalty / 2 times the
    squared entries of w and M; the intercept is free. Channels are
    standardised by the bank's mean over images and tokens, and the standard
    deviation plus 1e-5.

    Args:
        bank: (m, tokens, width) features, such as those that
            `helpers.features.pooled` keeps with `tokens=["each"]`.
        bank_labels: (m,) classes from 0.
        queries: (n, tokens, width) features.
        penalties: to choose from, on images of the bank that are held out;
            of equally good ones the largest.
        held_out: share of each class that the choice is made on. With one
            penalty it may be 0.
        max_steps: of L-BFGS, for each fit.
        seed: which images are held out.

    Raises:
        ValueError: features that are no tokens, of another shape than those
            of the bank, NaN, infinite or the same for the whole bank; labels
            or penalties that `logistic` refuses.

    Warns:
        NotConverged: the solver ran out of steps.
    """
    grid = sorted(checks.positive(penalties, "penalties"), reverse=True)
    bank, queries = _tokens(bank, "bank"), _tokens(queries, "query")
    if queries.shape[1:] != bank.shape[1:]:
        raise ValueError(
            f"the queries have (tokens, width) {tuple(queries.shape[1:])}, "
            f"the bank {tuple(bank.shape[1:])}"
        )
    labels = checks.labels(bank_labels, len(bank), bank.device)
    classes = checks.count(labels)
    if not checks.varies(bank.flatten(1), bank[0].flatten()):
        raise checks.ConstantFeaturesError()
    mean = bank.mean((0, 1))
    scale = bank.std((0, 1), correction=0) + SMALLEST_SCALE
    bank, queries = (
        (checks.exactable(x) - mean) / scale for x in (bank, queries)
    )
    tried: dict[float, float] = {}
    if held_out or len(grid) > 1:
        held = hold_out([labels], held_out, seed)
        for penalty in grid:
            scores, *_ = _fitted(
                bank[~held],
                labels[~held],
                bank[held],
                penalty,
                classes,
                max_steps,
            )
            right = scores.argmax(1) == labels[held]
            tried[penalty] = float(right.double().mean())
    chosen = max(tried, key=tried.__getitem__) if tried else grid[0]
    scores, attention, converged = _fitted(
        bank, labels, queries, chosen, classes, max_steps
    )
    return Attentive(scores, attention, chosen, converged, tried)


def _tokens(x: Tensor, what: str) -> Tensor:
    if x.ndim != 3:
        raise ValueError(
            f"{what} features of an attentive probe are (images, tokens, "
            f"width), got {tuple(x.shape)}; keep them with tokens='each'"
        )
    return checks.exact(checks.features(x.flatten(1), what).view(x.shape))


def _fitted(
    bank: Tensor,
    labels: Tensor,
    queries: Tensor,
    penalty: float,
    classes: int,
    max_steps: int,
) -> tuple[Tensor, Tensor, bool]:
    """Fit with one penalty; return logits, attention and convergence."""
    width = bank.shape[-1]
    pooled = bank.mean(1)
    # The linear probe, solved for the origin and for one image per channel:
    # its logits of these are the intercept and the weights.
    ends = torch.cat([pooled.new_zeros(1, width), torch.eye(width).to(pooled)])
    linear = logistic(pooled, labels, ends, [penalty], classes).logits[0]
    start = torch.cat([linear[1:] - linear[:1], linear[:1]])
    flat = torch.cat([start.new_zeros(width), start.flatten()])
    flat = flat.clone().requires_grad_()
    search: Any = torch.optim.LBFGS(
        [flat],
        max_iter=max_steps,
        max_eval=2 * max_steps,
        tolerance_grad=TOLERANCE * len(bank),
        tolerance_change=0,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        with torch.enable_grad():
            logits, _ = _read(bank, flat, classes)
            size = flat[:-classes].square().sum()
            loss = F.cross_entropy(logits, labels, reduction="sum")
            loss = loss + penalty / 2 * size
        (flat.grad,) = torch.autograd.grad(loss, flat)
        return loss.detach()

    search.step(closure)
    closure()
    slope = float(flat.grad.abs().max())  # type: ignore[union-attr]
    converged = slope <= TOLERANCE * len(bank)
    if not converged:
        warnings.warn(
            f"the attentive probe (penalty {penalty:g}) has not converged in "
            f"{max_steps} steps; raise max_steps or the penalty",
            NotConverged,
            stacklevel=3,
        )
    return *_read(queries, flat.detach(), classes), converged


def _read(x: Tensor, flat: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Attend and classify: (n, classes) logits, (n, tokens) attention."""
    width = x.shape[-1]
    weights = flat[width:].view(width + 1, classes)
    attention = (x @ flat[:width]).softmax(1)
    fetched = torch.einsum("nt,ntd->nd", attention, x)
    return fetched @ weights[:-1] + weights[-1], attention
