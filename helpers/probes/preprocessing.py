"""What is done to features before a probe is fitted to them.

Odonnat et al. 2026 take the length off each image's features and standardise
the rest; here also what makes layers of different widths comparable. Do not
use it for the few-shot probes of Raghu et al. 2021, which `readout` prepares.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

import helpers.probes.checks as checks
from helpers.probes.least_squares import spectrum
from helpers.runtime.precision import rounding

REDUCTIONS = ("pca", "random")


def unit(bank: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    """Scale each image's features to length 1, then standardise.

    Args:
        bank: (m, d) features that the mean and the spread are taken of.
        queries: (n, d) features.

    Returns:
        Both, in float64. A feature that is constant in the bank is only
        centred.
    """
    bank, queries = (F.normalize(checks.exact(x)) for x in (bank, queries))
    mean, spread = bank.mean(0), bank.std(0, correction=0)
    constant = spread <= rounding(torch.float32) * bank.abs().amax(0)
    spread = torch.where(constant, 1.0, spread)
    return (bank - mean) / spread, (queries - mean) / spread


def reduced(
    bank: Tensor, queries: Tensor, how: str, width: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Bring standardised features to a width, unless they have no more.

    The result is scaled as a whole, to a mean variance of 1, so that a
    penalty weighs on it as on standardised features of that width.

    Args:
        bank: (m, d) features.
        queries: (n, d) features.
        how: `pca`, the directions of most variance of the bank, or `random`,
            a Gaussian projection.
        width: how many features are left, at most.
        seed: which projection.
    """
    wide = bank.shape[1]
    if wide <= width:
        return bank, queries
    if how == "pca":
        _, directions = spectrum(bank)
        axes = directions[:, -width:]
    else:
        source = torch.Generator().manual_seed(seed)
        axes = torch.randn(wide, width, generator=source, dtype=bank.dtype)
        axes = axes.to(bank.device)  # the same projection on every device
    bank, queries = bank @ axes, queries @ axes
    scale = bank.var(0, correction=0).mean().sqrt()
    return bank / scale, queries / scale
