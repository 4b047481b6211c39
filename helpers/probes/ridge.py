"""Ridge regression on class indicators, closed form, all penalties at once.

All that ridge needs of the images are sums: `RidgeStatistics` adds them up
batch by batch and merges them, so that the bank never sits in memory. One
eigendecomposition then serves every penalty and every set of labels.

The recipe is that of the few-shot evaluations of Google's ViT papers (Raghu
et al. 2021, appendix A): features standardised by the mean of the bank and
its standard deviation plus 1e-5, targets -1 and 1, the largest score wins.
The intercept is free.

Do not read the scores as probabilities; `helpers.probes.logistic` has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor

import helpers.probes.checks as checks
from helpers.probes.least_squares import RidgeFit, Sums, fit_rows
from helpers.runtime import parallel

PENALTIES = tuple(2.0**k for k in range(-10, 20))
SHIFT_IMAGES = 2**10  # whose mean is taken off all
KEPT = 4  # times the width: up to so many images are kept as they are


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
    bank = checks.features(bank, "bank")
    labels = checks.labels(bank_labels, len(bank), bank.device)
    total = checks.count(labels, classes)
    statistics = RidgeStatistics([total]).update(bank, labels)
    return statistics.solve().scores(queries, penalties)


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
        self._sums: Sums | None = None

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
        x = checks.features(x, "bank")
        columns, first = [], 0
        sets = torch.as_tensor(labels).reshape(len(labels), -1).unbind(1)
        for classes, y in zip(self.classes, sets, strict=True):
            y = checks.labels(y, len(x), x.device)
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
        for its in other._samples()[:1]:
            self._fit(its.shape[-1])
        for x, columns in other._rows:
            self._take(x, columns)
        if other._sums is not None:
            sums = self._sums or self._fold(other._sums.shift)
            sums.merge(other._sums, other.images, other._counts)
            self.images += other.images
            self._counts += other._counts
        return self

    def all_reduce(self, group: Any = None) -> RidgeStatistics:
        """Merge the images of all processes, in each of them.

        To be called once, after the last update, by every process of the
        `torch.distributed` group (all processes by default).

        Returns:
            This object, now as if it had seen all images.
        """
        here = self._samples()
        device = here[0].device if here else torch.device("cpu")
        whole = RidgeStatistics(self.classes)
        for part in parallel.gather(self._to("cpu"), group):
            whole.merge(part._to(device))
        vars(self).update(vars(whole))
        return self

    def solve(self) -> RidgeFit:
        """Fit, for all penalties at once.

        Raises:
            ValueError: no images, a class without an image, or features that
                are the same for all of them.
        """
        first = 0
        for classes in self.classes:
            checks.covered(self._counts[first : first + classes])
            first += classes
        if self._sums is None:
            return fit_rows(self._rows, self._counts)
        return self._sums.fit(self.images, self._counts)

    def _samples(self) -> list[Tensor]:
        """Give out tensors of the width and on the device of this bank."""
        if self._sums is not None:
            return [self._sums.shift]
        return [x for x, _ in self._rows]

    def _fit(self, width: int) -> None:
        for mine in self._samples()[:1]:
            if mine.shape[-1] != width:
                raise ValueError(
                    f"{width} features, but {mine.shape[-1]} before"
                )

    def _to(self, device: torch.device | str) -> RidgeStatistics:
        moved = copy(self)
        moved._rows = [(x.to(device), y.to(device)) for x, y in self._rows]
        moved._sums = self._sums.to(device) if self._sums else None
        return moved

    def _take(self, x: Tensor, columns: Tensor) -> None:
        self._fit(x.shape[1])
        self.images += len(x)
        self._counts += torch.bincount(
            columns.flatten(), minlength=len(self._counts)
        ).cpu()
        full = self._sums is not None or self.images > KEPT * x.shape[1]
        self._rows.append((x if full else x.clone(), columns))
        if full:
            self._fold(x[:SHIFT_IMAGES].mean(0))

    def _fold(self, shift: Tensor) -> Sums:
        if self._sums is None:
            self._sums = Sums(shift, len(self._counts))
        for x, columns in self._rows:
            self._sums.add(x, columns)
        self._rows.clear()
        return self._sums
