"""Similarity indices of two whole feature matrices, side by side with CKA.

CKA, regression and CCA differ in what they ignore: CKA ignores rotations
and scale; regression also any invertible linear map of what it predicts
from; CCA any such map of either side (Kornblith et al. 2019, table 1).

Do not use them for many images or layers (`helpers.cka` is made for that),
nor regression or CCA when features outnumber images: they then find a
perfect fit in noise.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import spearmanr

from helpers.cka.hsic import hsic1
from helpers.cka.minibatch import MinibatchCKA
from helpers.cka.permuted import neighbours
from helpers.runtime.arrays import Floats


def linear_cka(x: ArrayLike, y: ArrayLike) -> float:
    """Compare two feature matrices by unbiased linear CKA.

    Args:
        x: (n, ...) features of n images in one layer.
        y: (n, ...) features of the same images in another.

    Returns:
        CKA with HSIC_1 (Shekhar et al. 2022, equation 4); a little below 0
        or above 1 is possible.

    Raises:
        ValueError: different numbers of images, NaN, or constant features.
    """
    x, y = _centred(x, y)
    K, L = x @ x.T, y @ y.T
    return float(hsic1(K, L) / np.sqrt(hsic1(K, K) * hsic1(L, L)))


def linear_regression_r2(x: ArrayLike, y: ArrayLike) -> float:
    """Measure how much of the variance of x a linear fit from y explains.

    Args:
        x: (n, ...) features to be predicted.
        y: (n, ...) features to predict from.

    Returns:
        R^2_LR in [0, 1] (Kornblith et al. 2019, table 1).

    Raises:
        ValueError: as `linear_cka`.
    """
    x, y = _centred(x, y)
    return _explained(x, _basis(y))


def mean_cca(x: ArrayLike, y: ArrayLike) -> float:
    """Average the squared canonical correlations.

    Args:
        x: (n, ...) features.
        y: (n, ...) features of the same images.

    Returns:
        R^2_CCA in [0, 1] (Kornblith et al. 2019, table 1), over as many
        directions as the side of lower rank has.

    Raises:
        ValueError: as `linear_cka`.
    """
    return _overlap(*map(_basis, _centred(x, y)))


def mutual_neighbours(x: ArrayLike, y: ArrayLike, k: int = 10) -> float:
    """Count the nearest neighbours that two layers have in common.

    Args:
        x: (n, ...) features.
        y: (n, ...) features of the same images.
        k: neighbours of an image, by Euclidean distance.

    Returns:
        The share of the k nearest neighbours in x that are among those in y,
        averaged over images (Huh et al. 2024, section 2); k / (n - 1) by
        chance.

    Raises:
        ValueError: as `linear_cka`, or no or too many neighbours.
    """
    x, y = _centred(x, y)
    if not 0 < k < len(x):
        raise ValueError(f"expected 1 to {len(x) - 1} neighbours, got {k}")
    grams = torch.as_tensor(np.stack([f @ f.T for f in (x, y)]))
    near = neighbours(grams, k)
    return float((near[0] * near[1]).sum() / (k * len(x)))


def procrustes_similarity(x: ArrayLike, y: ArrayLike) -> float:
    """Measure how well the one layer can be rotated onto the other.

    Args:
        x: (n, ...) features.
        y: (n, ...) features of the same images.

    Returns:
        The nuclear norm of X'Y over the product of the Frobenius norms, in
        [0, 1]: 1 minus half of the squared orthogonal Procrustes distance of
        the layers at norm 1 (Ding et al. 2021, section 2).

    Raises:
        ValueError: as `linear_cka`.
    """
    x, y = _centred(x, y)
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    return float(np.linalg.norm(x.T @ y, "nuc") / norms)


def representational_similarity(x: ArrayLike, y: ArrayLike) -> float:
    """Correlate the distances between images in two layers, by rank.

    Args:
        x: (n, ...) features.
        y: (n, ...) features of the same images, at least 3.

    Returns:
        Spearman's correlation, over pairs of images, of 1 minus the
        correlation of their features (Kriegeskorte et al. 2008).

    Raises:
        ValueError: as `linear_cka`.
    """
    flat = [f.reshape(len(f), -1) for f in map(np.asarray, (x, y))]
    _centred(*flat)
    pairs = np.triu_indices(len(flat[0]), 1)
    return float(spearmanr(*(np.corrcoef(f)[pairs] for f in flat)).statistic)


def all_pairs(
    xs: Sequence[ArrayLike], ys: Sequence[ArrayLike]
) -> dict[str, Floats]:
    """Compare all layers of two networks by the three measures.

    Args:
        xs: (n, ...) features, one a layer.
        ys: those of the same images in the layers of another network.

    Returns:
        `CKA` (unbiased, of all images at once), `CCA` and `regression` (what
        y explains of x), each (layers of x, layers of y).

    Raises:
        ValueError: as `linear_cka`.
    """
    centred = [_centred(xs[0], f)[1] for f in (*xs, *ys)]
    bases = [_basis(f) for f in centred]
    cut = len(xs)
    return {
        "CKA": MinibatchCKA().update(xs, ys).compute().cka,
        "CCA": np.array(
            [[_overlap(p, q) for q in bases[cut:]] for p in bases[:cut]]
        ),
        "regression": np.array(
            [[_explained(x, q) for q in bases[cut:]] for x in centred[:cut]]
        ),
    }


def _overlap(p: Floats, q: Floats) -> float:
    """Mean squared canonical correlation of two bases."""
    return float(((p.T @ q) ** 2).sum() / min(p.shape[1], q.shape[1]))


def _explained(x: Floats, q: Floats) -> float:
    """Share of the variance of centred x inside the span of a basis."""
    return float(((q.T @ x) ** 2).sum() / (x**2).sum())


def _basis(x: Floats) -> Floats:
    """Orthonormal basis of the span over images: (n, rank)."""
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    rank = int((s > s[0] * max(x.shape) * np.finfo(np.float64).eps).sum())
    basis: Floats = u[:, :rank]
    return basis


def _centred(*features: ArrayLike) -> list[Floats]:
    matrices = [np.asarray(x, dtype=np.float64) for x in features]
    counts = [len(x) if x.ndim else 0 for x in matrices]
    if len(set(counts)) > 1 or counts[0] < 2:
        raise ValueError(
            "both sides need features of the same images, at least 2; got "
            f"{counts[0]} and {counts[-1]}"
        )
    centred = []
    for name, x in zip("xy", matrices, strict=True):
        if not np.isfinite(x).all():
            raise ValueError(f"{name} has NaN or infinite features")
        flat = x.reshape(len(x), -1)
        flat = flat - flat.mean(0)
        if np.abs(flat).max() <= 1e-12 * np.abs(x).max():
            raise ValueError(f"{name} is the same for all images")
        centred.append(flat)
    return centred
