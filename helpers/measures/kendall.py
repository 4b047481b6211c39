"""Kendall's tau on the top of two rankings, row by row.

What is on top for one ranking need not be on top for the other, so that tau
on the k highest of C scores can be read in four ways:

- `top`: on what is on top for one, averaged with the same for the other. Zero
  for unrelated scores.
- `clipped`: on everything, ranked 1 to k, and k + 1 for all the rest. Zero
  for unrelated scores as well.
- `union`: on what is on top for either. Negative for unrelated scores, since
  what one list chose for its place there is seldom high in the other.
- `indices`: on the two lists of positions, as a `topk` returns them. These
  are ordered like names, not like scores: meaningless.

Use the first two; the others are here to show why not to use them.

Source: Kendall 1945 (tau-b, with ties); Fagin, Kumar and Sivakumar 2003 (top
k lists).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.runtime.arrays import Bools, Floats, Ints

CHUNK = 1 << 22  # pairs compared at once


def tau(x: ArrayLike, y: ArrayLike, weights: ArrayLike = 1) -> Floats:
    """Compute Kendall's tau-b of every row.

    Args:
        x: (n, m) scores.
        y: (n, m) scores of the same things.
        weights: (n, m) how many tied things an entry stands for; 0 leaves it
            out.

    Returns:
        (n,) exact tau-b, ties included; NaN where all of a row is tied.
    """
    a, b = np.asarray(x), np.asarray(y)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(
            f"tau compares two (n, m) arrays, not {a.shape} and {b.shape}"
        )
    w = np.broadcast_to(np.asarray(weights, np.float32), a.shape)
    step = max(1, CHUNK // max(1, a.shape[1] ** 2))
    parts = [
        _tau(a[i : i + step], b[i : i + step], w[i : i + step])
        for i in range(0, len(a), step)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _tau(a: NDArray[Any], b: NDArray[Any], w: NDArray[np.float32]) -> Floats:
    def order(x: NDArray[Any]) -> NDArray[np.int8]:
        left, right = x[:, :, None], x[:, None, :]
        return (left > right).view(np.int8) - (left < right).view(np.int8)

    def total(signs: NDArray[np.int8]) -> Floats:
        rows = signs.astype(np.float32) @ w[:, :, None]  # whole numbers
        found: Floats = (w * rows[:, :, 0].astype(np.float64)).sum(1)
        return found

    in_a, in_b = order(a), order(b)
    untied = np.sqrt(total(np.abs(in_a)) * total(np.abs(in_b)))
    with np.errstate(invalid="ignore"):
        found: Floats = total(in_a * in_b) / untied
    return found


def _top(scores: Floats, k: int) -> Ints:
    """Find the k classes of highest score; the earlier one of a tie."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def _on_top(a: Floats, b: Floats, k: int) -> Floats:
    halves = []
    for scores in (a, b):
        top = _top(scores, k)
        x, y = (np.take_along_axis(s, top, 1) for s in (a, b))
        halves.append(tau(x, y))
    found: Floats = np.mean(halves, axis=0)
    return found


def _either(a: Floats, b: Floats, k: int) -> tuple[Ints, Bools]:
    """List the classes on top for either, and mark each one once."""
    top_a, top_b = _top(a, k), _top(b, k)
    new = (top_b[:, :, None] != top_a[:, None, :]).all(2)
    return np.hstack([top_a, top_b]), np.hstack([np.ones_like(new), new])


def _union(a: Floats, b: Floats, k: int) -> Floats:
    top, once = _either(a, b, k)
    x, y = (np.take_along_axis(s, top, 1) for s in (a, b))
    return tau(x, y, once)


def _clipped(a: Floats, b: Floats, k: int) -> Floats:
    top, once = _either(a, b, k)
    rest = a.shape[1] - once.sum(1, keepdims=True)  # tied in both models
    clipped = []
    for scores in (a, b):
        inside = np.zeros(scores.shape, bool)
        np.put_along_axis(inside, _top(scores, k), True, 1)
        kept = np.where(inside, scores, -np.inf)
        below = np.full((len(scores), 1), -np.inf)
        clipped.append(np.hstack([np.take_along_axis(kept, top, 1), below]))
    x, y = clipped
    return tau(x, y, np.hstack([once, rest]))


def _indices(a: Floats, b: Floats, k: int) -> Floats:
    return tau(_top(a, k), _top(b, k))


DEFINITIONS: dict[str, Callable[[Floats, Floats, int], Floats]] = {
    "top": _on_top,
    "clipped": _clipped,
    "union": _union,
    "indices": _indices,
}
