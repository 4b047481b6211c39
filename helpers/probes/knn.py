"""Nearest neighbours by cosine, exactly, in pieces that fit in the cache.

Only the best k of what has been seen are kept, so the bank may come in
chunks and be of any size. Of equally similar images the one that comes first
in the bank wins, so that what is found depends on neither chunks nor device.

Do not use it with a bank that contains the queries: each would vote for
itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

import helpers.probes.checks as checks
from helpers.runtime.precision import full_precision

Bank = Tensor | Iterable[tuple[Tensor, Tensor]]

BANK_ROWS = {"cpu": 2**14}  # of the bank compared at a time; else 2**17
SIMILARITIES = {"cpu": 2**23}  # formed at a time; else 2**28


def knn(
    bank: Bank,
    bank_labels: Tensor | None,
    queries: Tensor,
    k: int = 20,
    temperature: float | None = 0.07,
    classes: int | None = None,
) -> Tensor:
    """Classify by the votes of the nearest neighbours.

    The protocol of Caron et al. 2021 (appendix F.1): cosine similarity, and
    a neighbour of similarity s votes for its class with weight exp(s / T).

    Args:
        bank: (m, d) features; or chunks of features and labels, for a bank
            that should not be in memory as a whole.
        bank_labels: (m,) classes from 0; None when the chunks bring them.
        queries: (n, d) features.
        k: neighbours.
        temperature: T; None for equal votes.
        classes: how many; one more than the largest label by default.

    Returns:
        (n, classes) share of the votes, each row summing to 1, on the device
        of the bank.

    Raises:
        ValueError: k above the size of the bank or below 1, another number
            of labels than images, a class without an image, features that
            are NaN, infinite, or the same for the whole bank.
    """
    seen: list[Tensor] = []

    def noted() -> Iterator[Tensor]:
        for x, y in chunks(bank, bank_labels):
            seen.append(y)
            yield x

    similarity, index = neighbours(noted(), queries, k)
    labels = torch.cat(seen)
    total = checks.count(labels, classes)
    return votes(similarity, labels[index], total, temperature)


def chunks(
    bank: Bank, bank_labels: Tensor | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give a bank out in checked chunks of features and labels.

    Raises:
        ValueError: features or labels that `checks` refuses, or no labels.
    """
    if bank_labels is not None:
        bank = [(bank, bank_labels)]  # type: ignore[list-item]
    elif isinstance(bank, Tensor):
        raise ValueError("a bank in one piece needs labels")
    for given, y in bank:
        x = checks.features(given, "bank")
        yield x, checks.labels(y, len(x), x.device)


def neighbours(
    bank: Iterable[Tensor], queries: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """Find the k most similar images of a bank for each query.

    Args:
        bank: chunks of features (m, d), checked.
        queries: (n, d) features.
        k: how many.

    Returns:
        (n, k) cosine similarities, from the largest, and the places of these
        images in the bank.

    Raises:
        ValueError: as `knn`.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    best: list[tuple[Tensor, Tensor]] = []
    units: list[Tensor] = []
    size, varied = 0, False
    for x in (part for chunk in bank for part in _rows(chunk)):
        if not units:
            first = x[0]
            units = _units(queries, x)
            best = [(u[:, :0], u[:, :0].long()) for u in units]
        varied = varied or checks.varies(x, first)
        x = F.normalize(x, dim=1).T
        with full_precision(x.device):
            best = [
                _merge(b, largest(u @ x, k), size, k)
                for b, u in zip(best, units, strict=True)
            ]
        size += x.shape[1]
    if k > size:
        raise ValueError(f"k = {k}, but the bank holds {size} images")
    if not varied:
        raise checks.ConstantFeaturesError()
    similarity, index = zip(*best, strict=True)
    return torch.cat(similarity), torch.cat(index)


def votes(
    similarity: Tensor,
    labels: Tensor,
    classes: int,
    temperature: float | None,
) -> Tensor:
    """Add up the votes of neighbours.

    Args:
        similarity: (n, k) of query and neighbour.
        labels: (n, k) class of each neighbour.
        classes: how many there are.
        temperature: of the weights; None for equal votes.

    Returns:
        (n, classes) share of the votes.

    Raises:
        ValueError: a temperature that is not positive.
    """
    if temperature is None:
        weight = torch.full_like(similarity, 1 / similarity.shape[1])
    else:
        (divisor,) = checks.positive([temperature], "temperature")
        weight = torch.softmax(similarity / divisor, 1)
    shares = weight.new_zeros(len(weight), classes)
    return shares.scatter_add_(1, labels, weight)


def largest(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k largest of each row; of equals the first.

    The columns are cut into groups. The k groups with the largest maxima
    hold the k largest numbers, so only these are searched: a pass over the
    matrix, and a search among a tenth of it.

    Args:
        x: (n, m) numbers.
        k: how many; m is enough.

    Returns:
        (n, min(k, m)) numbers from the largest, and their columns.
    """
    n, m = x.shape
    if m <= k:
        return _ranked(x)
    size = math.isqrt(m // (k + 1))
    count = m // size
    grouped = x[:, : size * count].reshape(n, size, count)
    group = grouped.amax(1).topk(k + 1, 1, sorted=False).indices
    found = grouped.gather(2, group[:, None].expand(n, size, k + 1))
    rest = x[:, size * count :]
    value, place = torch.cat([found.flatten(1), rest], 1).topk(k + 1, 1)
    row, slot = place // (k + 1), place % (k + 1)
    column = row * count + torch.where(
        row < size,
        group.gather(1, slot),
        (row - size) * (k + 1 - count) + slot,
    )
    column = column[:, :k]
    # Only equals at the border make the choice depend on the order.
    equal = (value[:, k - 1] == value[:, k]).nonzero().flatten()
    if len(equal):
        column[equal] = _first_largest(x[equal], value[equal, k - 1], k)
    column = column.sort(1).values
    value, order = _ranked(x.gather(1, column))
    return value, column.gather(1, order)


def _ranked(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sort each row from the largest; equals keep their order."""
    value, order = torch.sort(x, dim=1, descending=True, stable=True)
    return value, order


def _first_largest(x: Tensor, border: Tensor, k: int) -> Tensor:
    """Choose k columns a row: those above the border, the first on it."""
    above, on = x > border[:, None], x == border[:, None]
    room = k - above.sum(1, keepdim=True)
    chosen = above | (on & (on.cumsum(1) <= room))
    return chosen.nonzero()[:, 1].view(len(x), k)


def _merge(
    old: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor], start: int, k: int
) -> tuple[Tensor, Tensor]:
    """Keep the k best of two sorted lists; `new` comes later in the bank."""
    value, order = _ranked(torch.cat([old[0], new[0]], 1))
    column = torch.cat([old[1], new[1] + start], 1)
    return value[:, :k], column.gather(1, order[:, :k])


def _rows(x: Tensor) -> tuple[Tensor, ...]:
    return torch.split(x, BANK_ROWS.get(x.device.type, 2**17))


def _units(queries: Tensor, like: Tensor) -> list[Tensor]:
    """Normalise the queries, in parts of which a product is not too large."""
    queries = checks.fits(queries, like.shape[1])
    unit = F.normalize(queries.to(like.device, like.dtype), dim=1)
    room = SIMILARITIES.get(like.device.type, 2**28)
    return list(torch.split(unit, max(1, room // len(like))))
