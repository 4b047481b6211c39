"""The arithmetic of ridge regression: sums, spectra and scores.

Ridge regression of centred targets on standardised features needs the
features' Gram matrix and their products with the targets (for classes: their
sum over each class), nothing else of the images. The eigenvectors of the
Gram matrix then serve every penalty and every target.

Not for pages: see `helpers.probes.ridge`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

import helpers.probes.checks as checks
from helpers.runtime.precision import full_precision, rounding

SMALLEST_SCALE = 1e-5  # added to each standard deviation
ROWS = 2**11  # images multiplied at a time


@dataclass(frozen=True)
class RidgeFit:
    """Ridge regressions on one bank, for any penalty.

    Attributes:
        mean: (d,) of the bank.
        scale: (d,) standard deviation of the bank plus 1e-5.
        basis: (d, r) directions that the eigenvalues belong to.
        values: (r,) eigenvalues.
        target: (r, all targets) what each direction says of each target;
            a class is a target of -1 and 1.
        offset: (all targets,) intercepts: the means of the targets, since
            the features are centred.
    """

    mean: Tensor
    scale: Tensor
    basis: Tensor
    values: Tensor
    target: Tensor
    offset: Tensor

    def scores(self, queries: Tensor, penalties: Sequence[float]) -> Tensor:
        """Say what every target is of each query.

        Args:
            queries: (n, d) features.
            penalties: one or more.

        Returns:
            (penalties, n, all targets); sets of labels lie side by side.

        Raises:
            ValueError: queries of another width, NaN or infinite, or a
                penalty that is not positive.
        """
        grid = checks.positive(penalties, "penalties")
        queries = checks.fits(queries, len(self.mean)).to(self.mean.device)
        x = queries - self.mean.to(queries.dtype)
        out = x.new_empty(len(grid), len(x), len(self.offset))
        offset = self.offset.to(x.dtype)
        with full_precision(x.device):
            for scores, penalty in zip(out, grid, strict=True):
                shrunk = self.target / (self.values + penalty)[:, None]
                weights = self.basis @ shrunk / self.scale[:, None]
                torch.addmm(offset, x, weights.to(x.dtype), out=scores)
        return out


class Sums:
    """Sums over images of features minus a shift, in float64."""

    def __init__(self, shift: Tensor, classes: int) -> None:
        width = len(shift)
        self.shift = shift
        self.total = checks.exact(torch.zeros_like(shift))
        self.gram = self.total.new_zeros(width, width)
        self.by_class = self.total.new_zeros(classes, width)

    def to(self, device: torch.device | str) -> Sums:
        """Return these sums on a device."""
        moved = copy(self)
        for name, value in vars(self).items():
            setattr(moved, name, value.to(device))
        return moved

    def add(self, x: Tensor, columns: Tensor) -> None:
        """Take in images: features (n, d), classes (n, sets)."""
        with full_precision(x.device):
            for rows, where in zip(
                torch.split(x, ROWS), torch.split(columns, ROWS), strict=True
            ):
                part = rows - self.shift
                self.gram += checks.exact(part.T @ part)
                self.total += checks.exact(part.sum(0))
                self.by_class += _by_class(part, where, len(self.by_class))

    def merge(self, other: Sums, images: int, counts: Tensor) -> None:
        """Take in sums over so many images, so many of each class."""
        by = checks.exact(other.shift) - checks.exact(self.shift)
        cross = torch.outer(by, other.total)
        self.gram += other.gram + cross + cross.T
        self.gram += images * torch.outer(by, by)
        self.total += other.total + images * by
        self.by_class += other.by_class + torch.outer(counts.to(by), by)

    def fit(self, images: int, counts: Tensor) -> RidgeFit:
        """Fit to all images taken in, so many of each class."""
        mean = self.total / images
        gram = self.gram - torch.outer(mean, self.total)
        variance = gram.diagonal().clamp(min=0) / images
        by_class = self.by_class - torch.outer(counts.to(mean), mean)
        mean = mean + checks.exact(self.shift)
        scale = _scale(variance, mean, self.shift.dtype)
        values, basis = torch.linalg.eigh(gram / torch.outer(scale, scale))
        shares = counts.to(mean) / images
        return _fit(mean, scale, values, basis, 2 * by_class, 2 * shares - 1)


def fit_rows(
    rows: Sequence[tuple[Tensor, Tensor]], counts: Tensor
) -> RidgeFit:
    """Fit as `Sums.fit`, from the images themselves."""
    columns = torch.cat([c for _, c in rows])
    x, mean, scale = _centred(torch.cat([x for x, _ in rows]))
    by_class = _by_class(x, columns, len(counts))
    values, basis = spectrum(x.div_(scale))
    shares = counts.to(mean) / len(x)
    # Centred features are blind to the constant in targets of -1 and 1.
    return _fit(mean, scale, values, basis, 2 * by_class, 2 * shares - 1)


def fit_targets(x: Tensor, targets: Tensor) -> RidgeFit:
    """Fit any targets, all of them with one decomposition.

    Args:
        x: (n, d) features.
        targets: (n, targets), in float64.

    Returns:
        The fit, in float64.
    """
    x, mean, scale = _centred(x)
    offset = targets.mean(0)
    products = (targets - offset).T @ x
    values, basis = spectrum(x.div_(scale))
    return _fit(mean, scale, values, basis, products, offset)


def spectrum(x: Tensor) -> tuple[Tensor, Tensor]:
    """Decompose X'X, by way of XX' where images are fewer than features.

    Args:
        x: (n, d), in float64.

    Returns:
        (r,) eigenvalues that are not zero, and their directions (d, r).
    """
    wide = len(x) < x.shape[1]
    values, basis = torch.linalg.eigh(x @ x.T if wide else x.T @ x)
    real = values > values[-1] * max(x.shape) * torch.finfo(x.dtype).eps
    values, basis = values[real], basis[:, real]
    return values, x.T @ (basis / values.sqrt()) if wide else basis


def _fit(
    mean: Tensor,
    scale: Tensor,
    values: Tensor,
    basis: Tensor,
    products: Tensor,
    offset: Tensor,
) -> RidgeFit:
    """Fit from the targets' products with centred features, (targets, d)."""
    target = basis.T @ (products / scale).T
    return RidgeFit(mean, scale, basis, values.clamp(min=0), target, offset)


def _centred(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centre a copy, in float64; return it, the mean and the scale."""
    exact = checks.exact(x)
    mean = exact.mean(0)
    exact = exact - mean
    return exact, mean, _scale(exact.square().mean(0), mean, x.dtype)


def _by_class(x: Tensor, columns: Tensor, classes: int) -> Tensor:
    """Sum the features of each class: (all classes, d)."""
    total = x.new_zeros(classes, x.shape[1])
    for column in columns.unbind(1):
        total.index_add_(0, column.to(x.device), x)
    return checks.exact(total)


def _scale(variance: Tensor, mean: Tensor, dtype: torch.dtype) -> Tensor:
    spread = variance.sqrt()
    if spread.max() <= rounding(dtype) * mean.abs().max():
        raise checks.ConstantFeaturesError()
    return spread + SMALLEST_SCALE
