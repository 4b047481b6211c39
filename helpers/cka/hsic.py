"""Gram matrices and the unbiased HSIC: the numerics below CKA.

A Gram matrix holds the inner products of all pairs of images in a layer.
HSIC_1 asks whether two of them agree beyond chance. Two facts make it exact
and fast: it does not change when all images are shifted alike, so float32
suffices after a shift; and it is an inner product of U-centred matrices, so
all pairs of layers are one matrix product.

Do not form Gram matrices of raw features in low precision: a common offset,
which every trained network has, then swamps what differs between images.
"""

from __future__ import annotations

import math
import threading

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from helpers.runtime.precision import full_precision, rounding

MIN_BATCH = 4  # HSIC_1 divides by n - 3
SHIFT_IMAGES = 16  # about so many make the shift of `gram`
SLAB = 2**23  # float64 numbers U-centred at a time

_scratch = threading.local()


def hsic1(K: ArrayLike | Tensor, L: ArrayLike | Tensor) -> float:
    """Estimate HSIC without bias, as the paper writes it.

    Args:
        K: (n, n) Gram matrix of one layer.
        L: (n, n) Gram matrix of another, of the same images in order.

    Returns:
        HSIC_1 (Shekhar et al. 2022, equation 4), in float64; it may be
        negative.

    Raises:
        ValueError: fewer than 4 images, or matrices that do not fit.
    """
    K, L = (torch.as_tensor(g).double().clone() for g in (K, L))
    n = check_grams(K[None])
    if K.shape != L.shape:
        raise ValueError(f"K is {tuple(K.shape)} but L is {tuple(L.shape)}")
    K.fill_diagonal_(0)
    L.fill_diagonal_(0)
    value = (
        (K * L.T).sum()  # the trace of K @ L
        + K.sum() * L.sum() / ((n - 1) * (n - 2))
        - 2 / (n - 2) * K.sum(0) @ L.sum(1)
    ) / (n * (n - 3))
    return float(value)


def gram(x: Tensor) -> Tensor:
    """Form the Gram matrix of a batch, precisely enough for HSIC.

    HSIC_1 does not change when all images are shifted alike, but float32
    does: an offset of 60 spreads costs a factor of 3600. So the mean of some
    of the images is taken off first. Halves are raised to float32 and the
    product never uses TF32 or bfloat16; float64 stays float64.

    Args:
        x: (n, ...) features, one row per image.

    Returns:
        (n, n) Gram matrix of the shifted features; exactly zero where the
        images differ by no more than rounding.

    Raises:
        ValueError: no features.
    """
    if x.ndim == 0 or x.numel() == 0:
        raise ValueError(f"features are (n, ...), got {tuple(x.shape)}")
    x = x.detach().reshape(len(x), -1)
    x = x if x.is_floating_point() else x.double()
    n, dtype = len(x), torch.promote_types(x.dtype, torch.float32)
    columns, block = _blocking(n, x.shape[1], x.device)
    buffer = _buffer(n, columns + 16, dtype, x.device)
    total = torch.zeros(n, n, dtype=dtype, device=x.device)
    shift = x[:: max(1, n // SHIFT_IMAGES)].mean(0, dtype=dtype)
    with full_precision(x.device):
        for start in range(0, x.shape[1], columns):
            part = x[:, start : start + columns]
            rows = buffer[:, : part.shape[1]]
            torch.sub(part, shift[start : start + columns], out=rows)
            for i in range(0, n, block):  # the lower triangle is enough
                other = rows[i : i + block].t()
                total[i:, i : i + block].addmm_(rows[i:], other)
        floor = n * shift.dot(shift) * rounding(x.dtype) ** 2
    total = total.tril() + total.tril(-1).t()
    return total.masked_fill_(total.trace() <= floor, 0)


def u_products(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Estimate HSIC_1 of all pairs of layers, in float64.

    HSIC_1 is the inner product of the U-centred Gram matrices, divided by
    n (n - 3) (Szekely and Rizzo 2014, section 2), so that all pairs are one
    matrix product.

    Args:
        x: (layers, n, n) Gram matrices.
        y: (layers, n, n), or the same object as x.

    Returns:
        (layers of x, layers of y) HSIC_1 of the pairs, then the self-HSIC of
        each layer of x and of y. Exactly zero for a constant layer.
    """
    n, step = x.shape[1], max(1, SLAB // (max(len(x), len(y)) * x.shape[1]))
    sides = [x] if y is x else [x, y]
    sums = [_sums(grams) for grams in sides]
    cross = torch.zeros(len(x), len(y), dtype=torch.float64, device=x.device)
    own = [cross.new_zeros(len(grams)) for grams in sides]
    for row in range(0, n, step):
        slabs = [
            _u_centred(grams, total, row, step)
            for grams, total in zip(sides, sums, strict=True)
        ]
        cross += slabs[0] @ slabs[-1].T
        for value, slab in zip(own, slabs, strict=True):
            value += torch.linalg.vector_norm(slab, dim=1) ** 2
    for grams, value in zip(sides, own, strict=True):
        largest = grams.diagonal(dim1=1, dim2=2).abs().amax(1).double()
        floor = n * largest * rounding(grams.dtype)
        value.masked_fill_(value <= floor**2, 0)
    cross.masked_fill_((own[0] == 0)[:, None] | (own[-1] == 0), 0)
    scale = n * (n - 3)
    return cross / scale, own[0] / scale, own[-1] / scale


def u_centred(grams: Tensor) -> Tensor:
    """U-centre Gram matrices: rows without the diagonal then sum to zero.

    Args:
        grams: (layers, n, n), n at least 4.

    Returns:
        The same in float64, with a diagonal of zeros (Szekely and Rizzo
        2014, equation 3.1). The inner product of two, divided by n (n - 3),
        is HSIC_1.
    """
    check_grams(grams)
    flat = _u_centred(grams, _sums(grams), 0, grams.shape[1])
    return flat.view_as(grams)


def check_grams(grams: Tensor) -> int:
    """Return n of (layers, n, n) Gram matrices.

    Raises:
        ValueError: not square, or fewer than 4 images.
    """
    if grams.ndim != 3 or grams.shape[1] != grams.shape[2]:
        raise ValueError(
            f"a Gram matrix is (n, n), not {tuple(grams.shape[1:])}"
        )
    n = grams.shape[1]
    if n < MIN_BATCH:
        raise ValueError(
            f"unbiased HSIC needs at least {MIN_BATCH} images in a "
            f"minibatch, got {n}"
        )
    return n


def _sums(grams: Tensor) -> Tensor:
    """Row sums without the diagonal: (layers, n) in float64."""
    return grams.sum(2, dtype=torch.float64) - grams.diagonal(dim1=1, dim2=2)


def _u_centred(grams: Tensor, sums: Tensor, row: int, step: int) -> Tensor:
    """Rows of the U-centred matrices, flat: (layers, rows * n)."""
    n = grams.shape[1]
    rows = sums / (n - 2)
    rest = rows - rows.sum(1, keepdim=True) / (n - 1)
    slab = grams[:, row : row + step] - rows[:, None]
    slab -= rest[:, row : row + step, None]
    slab.diagonal(row, 1, 2).zero_()
    return slab.flatten(1)


def _blocking(n: int, width: int, device: torch.device) -> tuple[int, int]:
    """Choose the columns shifted at a time and the rows of a product.

    On a CPU the shifted columns stay in the cache, and of the symmetric
    product half is left out where blocks are large enough to be efficient.
    An accelerator is better off with few large products.
    """
    room, block = 2**26, n
    if device.type == "cpu":
        room, block = max(2**18, 512 * n), max(32, n // 4)
    return math.ceil(width / math.ceil(n * width / room)), block


def _buffer(
    n: int, columns: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Working memory; on a CPU it is kept, as fresh pages are slow."""
    if device.type != "cpu":
        return torch.empty(n, columns, dtype=dtype, device=device)
    flat: Tensor | None = getattr(_scratch, str(dtype), None)
    if flat is None or flat.numel() < n * columns:
        with torch.inference_mode(False):
            flat = torch.empty(n * columns, dtype=dtype)
        setattr(_scratch, str(dtype), flat)
    return flat[: n * columns].view(n, columns)
