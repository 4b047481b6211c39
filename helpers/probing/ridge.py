"""Ridge regression on class indicators, closed form, all penalties at once.

All that ridge needs of the images are sums: `RidgeStatistics` adds them up
batch by batch and merges them, so that the bank never sits in memory. One
eigendecomposition then serves every penalty and every set of labels.

The recipe is that of the few-shot evaluations of Google's ViT papers (Raghu
et al. 2021, appendix A): features standardised by the mean of the bank and
its standard deviation plus 1e-5, targets -1 and 1, the largest score wins.
The intercept is free.

Do not read the scores as probabilities; `helpers.probing.logistic` has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.hsic import full_precision, rounding
from helpers.probing import inputs

PENALTIES = tuple(2.0**k for k in range(-10, 20))
SMALLEST_SCALE = 1e-5  # added to each standard deviation
KEPT = 4  # times the width: up to so many images are kept as they are
ROWS = 2**11  # images multiplied at a time


def ridge(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    penalties: Sequence[float] = PENALTIES,
    classes: int | None = None,
) -> Tensor:
    """Classify by ridge regression on class indicators of -1 and 1.

    Args:
        bank: (m, d) features.
        bank_labels: (m,) classes from 0.
        queries: (n, d) features.
        penalties: on the squared weights of standardised features, against
            a sum over images.
        classes: how many; one more than the largest label by default.

    Returns:
        (penalties, n, classes) scores, on the device of the bank.

    Raises:
        ValueError: another number of labels than images, a class without an
            image, a penalty that is not positive, features that are NaN,
            infinite, or the same for the whole bank.
    """
    bank = inputs.features(bank, "bank")
    labels = inputs.labels(bank_labels, len(bank), bank.device)
    total = inputs.count(labels, classes)
    statistics = RidgeStatistics([total]).update(bank, labels)
    return statistics.solve().scores(queries, penalties)


@dataclass(frozen=True)
class RidgeFit:
    """Ridge regressions on one bank, for any penalty.

    Attributes:
        mean: (d,) of the bank.
        scale: (d,) standard deviation of the bank plus 1e-5.
        basis: (d, r) directions that the eigenvalues belong to.
        values: (r,) eigenvalues.
        target: (r, all classes) what each direction says of each class.
        offset: (all classes,) intercepts.
    """

    mean: Tensor
    scale: Tensor
    basis: Tensor
    values: Tensor
    target: Tensor
    offset: Tensor

    def scores(self, queries: Tensor, penalties: Sequence[float]) -> Tensor:
        """Score every class.

        Args:
            queries: (n, d) features.
            penalties: one or more.

        Returns:
            (penalties, n, all classes); sets of labels lie side by side.

        Raises:
            ValueError: queries of another width, NaN or infinite, or a
                penalty that is not positive.
        """
        grid = inputs.positive(penalties, "penalties")
        queries = inputs.fits(queries, len(self.mean)).to(self.mean.device)
        x = queries - self.mean.to(queries.dtype)
        out = x.new_empty(len(grid), len(x), len(self.offset))
        offset = self.offset.to(x.dtype)
        with full_precision(x.device):
            for scores, penalty in zip(out, grid, strict=True):
                shrunk = self.target / (self.values + penalty)[:, None]
                weights = self.basis @ shrunk / self.scale[:, None]
                torch.addmm(offset, x, weights.to(x.dtype), out=scores)
        return out


class RidgeStatistics:
    """What ridge regression must know of a bank, added up in batches.

    Of up to a few times more images than features the rows are kept, so that
    all is float64, in the dual form where images are fewer than features.
    Beyond that only sums are kept: products in the precision of the
    features, shifted to about their mean, added up in float64.

    Args:
        classes: number of classes of each set of labels; the sets are fitted
            together, on the same features.
    """

    def __init__(self, classes: Sequence[int]) -> None:
        self.classes = tuple(classes)
        self.images = 0
        self._counts = torch.zeros(sum(classes), dtype=torch.int64)
        self._rows: list[tuple[Tensor, Tensor]] = []
        self._sums: _Sums | None = None

    def update(self, x: Tensor, labels: Tensor) -> RidgeStatistics:
        """Take in a batch.

        Args:
            x: (n, d) features.
            labels: (n,) classes, or (n, sets) for several sets of labels.

        Returns:
            This object.

        Raises:
            ValueError: features of another width, NaN or infinite, or labels
                that do not fit the images or the classes.
        """
        x = inputs.features(x, "bank")
        columns, first = [], 0
        sets = torch.as_tensor(labels).reshape(len(labels), -1).unbind(1)
        for classes, y in zip(self.classes, sets, strict=True):
            y = inputs.labels(y, len(x), x.device)
            if int(y.max()) >= classes:
                raise ValueError(f"label {int(y.max())}, {classes} classes")
            columns.append(y + first)
            first += classes
        self._take(x, torch.stack(columns, 1))
        return self

    def merge(self, other: RidgeStatistics) -> RidgeStatistics:
        """Take in the images of other statistics, which stay as they are.

        Returns:
            This object.

        Raises:
            ValueError: other classes or another width.
        """
        if other.classes != self.classes:
            raise ValueError(f"classes {other.classes}, not {self.classes}")
        for x, columns in other._rows:
            self._take(x, columns)
        if other._sums is not None:
            if self._sums is None:
                self._fold(other._sums.shift)
            assert self._sums is not None
            self._sums.merge(other._sums, other.images, other._counts)
            self.images += other.images
            self._counts += other._counts
        return self

    def solve(self) -> RidgeFit:
        """Fit, for all penalties at once.

        Raises:
            ValueError: no images, a class without an image, or features that
                are the same for all of them.
        """
        first = 0
        for classes in self.classes:
            inputs.covered(self._counts[first : first + classes])
            first += classes
        if self._sums is None:
            return _fit_rows(self._rows, self._counts)
        return self._sums.fit(self.images, self._counts)

    def _take(self, x: Tensor, columns: Tensor) -> None:
        for other, _ in self._rows[:1]:
            inputs.fits(x, other.shape[1])
        self.images += len(x)
        self._counts += torch.bincount(
            columns.flatten(), minlength=len(self._counts)
        ).cpu()
        full = self._sums is not None or self.images > KEPT * x.shape[1]
        self._rows.append((x if full else x.clone(), columns))
        if full:
            self._fold(x[:ROWS].mean(0))

    def _fold(self, shift: Tensor) -> None:
        if self._sums is None:
            self._sums = _Sums(shift, len(self._counts))
        for x, columns in self._rows:
            self._sums.add(x, columns)
        self._rows.clear()


class _Sums:
    """Sums over images of features minus a shift, in float64."""

    def __init__(self, shift: Tensor, classes: int) -> None:
        width = len(shift)
        self.shift = shift
        self.total = inputs.exact(torch.zeros_like(shift))
        self.gram = self.total.new_zeros(width, width)
        self.by_class = self.total.new_zeros(classes, width)

    def add(self, x: Tensor, columns: Tensor) -> None:
        with full_precision(x.device):
            for rows, where in zip(
                torch.split(x, ROWS), torch.split(columns, ROWS), strict=True
            ):
                part = rows - self.shift
                self.gram += inputs.exact(part.T @ part)
                self.total += inputs.exact(part.sum(0))
                self.by_class += _by_class(part, where, len(self.by_class))

    def merge(self, other: _Sums, images: int, counts: Tensor) -> None:
        by = inputs.exact(other.shift) - inputs.exact(self.shift)
        cross = torch.outer(by, other.total)
        self.gram += other.gram + cross + cross.T
        self.gram += images * torch.outer(by, by)
        self.total += other.total + images * by
        self.by_class += other.by_class + torch.outer(counts.to(by), by)

    def fit(self, images: int, counts: Tensor) -> RidgeFit:
        mean = self.total / images
        gram = self.gram - torch.outer(mean, self.total)
        variance = gram.diagonal().clamp(min=0) / images
        by_class = self.by_class - torch.outer(counts.to(mean), mean)
        mean = mean + inputs.exact(self.shift)
        scale = _scale(variance, mean, self.shift.dtype)
        values, basis = torch.linalg.eigh(gram / torch.outer(scale, scale))
        return _fit(
            mean, scale, values, basis, by_class, counts.to(mean) / images
        )


def _fit_rows(
    rows: Sequence[tuple[Tensor, Tensor]], counts: Tensor
) -> RidgeFit:
    """Fit as `_Sums.fit`, from the images themselves."""
    x = torch.cat([inputs.exact(x) for x, _ in rows])
    columns = torch.cat([c for _, c in rows])
    mean = x.mean(0)
    x -= mean
    by_class = _by_class(x, columns, len(counts))
    scale = _scale(x.square().mean(0), mean, rows[0][0].dtype)
    x /= scale
    values, basis = spectrum(x)
    return _fit(mean, scale, values, basis, by_class, counts.to(mean) / len(x))


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
    by_class: Tensor,
    shares: Tensor,
) -> RidgeFit:
    # Centred features are blind to the constant in targets of -1 and 1.
    target = basis.T @ (2 * by_class / scale).T
    offset = 2 * shares - 1
    return RidgeFit(mean, scale, basis, values.clamp(min=0), target, offset)


def _by_class(x: Tensor, columns: Tensor, classes: int) -> Tensor:
    """Sum the features of each class: (all classes, d)."""
    total = x.new_zeros(classes, x.shape[1])
    for column in columns.unbind(1):
        total.index_add_(0, column.to(x.device), x)
    return inputs.exact(total)


def _scale(variance: Tensor, mean: Tensor, dtype: torch.dtype) -> Tensor:
    spread = variance.sqrt()
    if spread.max() <= rounding(dtype) * mean.abs().max():
        raise inputs.refuse_constant()
    return spread + SMALLEST_SCALE
