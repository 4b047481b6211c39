"""Products of matrices over images, with the images of one permuted.

The numerics below `helpers.cka.nulls`: all layers and many permutations are
one matrix product. Not for permutations across minibatches.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 2**21  # numbers reordered at a time


def orders(n: int, permutations: int, generator: torch.Generator) -> Tensor:
    """Draw permutations of n images: (permutations, n) positions."""
    return torch.rand(permutations, n, generator=generator).argsort(1)


def products(u: Tensor, v: Tensor, drawn: Tensor) -> Tensor:
    """Multiply u with each reordering of v, entry by entry, and sum.

    Symmetric matrices need each pair of images once.

    Args:
        u: (layers of x, n, n) float64.
        v: (layers of y, n, n).
        drawn: (permutations, n) positions.

    Returns:
        (permutations, layers of x, layers of y).
    """
    n = u.shape[1]
    symmetric = torch.equal(v, v.transpose(1, 2))
    if symmetric:
        i, j = torch.triu_indices(n, n)
        u = (u + u.transpose(1, 2)) / (1 + torch.eye(n))
    else:
        i, j = torch.cartesian_prod(torch.arange(n), torch.arange(n)).T
    left = u[:, i, j]  # (layers of x, pairs)
    last = v.permute(1, 2, 0).reshape(n * n, -1).contiguous()
    step, parts = max(1, CHUNK // (len(i) * len(v))), []
    for some in torch.split(drawn, step):
        where = some.T[i] * n + some.T[j]  # (pairs, permutations)
        right = last.index_select(0, where.flatten()).view(len(i), -1)
        parts.append((left @ right).view(len(u), len(some), len(v)))
    return torch.cat(parts, 1).transpose(0, 1)


def double_centred(grams: Tensor) -> Tensor:
    """Centre the columns of the features behind Gram matrices."""
    rows = grams.double().mean(2)
    rest = rows - rows.mean(1, keepdim=True)
    return grams - rows[:, :, None] - rest[:, None]


def neighbours(grams: Tensor, k: int) -> Tensor:
    """Mark the k nearest neighbours of each image: (layers, n, n).

    Args:
        grams: (layers, n, n) Gram matrices, which hold Euclidean distances.
        k: how many; an image is not its own neighbour.
    """
    squares = grams.diagonal(dim1=1, dim2=2)
    away = squares[:, None] - 2 * grams  # less what a row has in common
    away.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    nearest = away.topk(k, largest=False).indices
    return torch.zeros_like(grams).scatter_(2, nearest, 1)
