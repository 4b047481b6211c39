"""Which module of which block to probe: the protocol of Odonnat et al. 2026.

One forward pass over the images pools every module (`helpers.probes.samples`);
then probes are fitted to part of the training images, blocks are chosen on
the rest, and all is tested on the test images (`probe`). The controls that
the paper lacks are arguments: other pooling, other penalties, one width for
all modules, another split.

Training and test images have the same shift: it lies between what the model
was trained on and the whole data set. Do not use this to ask how a probe
fares on images unlike those it was fitted to.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

import helpers.probes.checks as checks
from helpers.features.layer_selection import Tokens
from helpers.intervals.estimates import share
from helpers.probes.held_out import HELD_OUT, hold_out
from helpers.probes.logistic import logistic
from helpers.probes.preprocessing import REDUCTIONS, reduced, unit
from helpers.probes.ridge import ridge
from helpers.probes.samples import Sample
from helpers.probes.selection import SETTINGS
from helpers.runtime.errors import unknown

if TYPE_CHECKING:
    from helpers.models.vision_model import VisionModel

MODULES = {
    "ln1": "LN1",
    "attn": "MHA",
    "mix": "mixing",
    "mid": "RC1",
    "ln2": "LN2",
    "fc1": "FC1",
    "act": "Act",
    "fc2": "FC2",
    "out": "RC2",
}
"""Names of layers and the paper's names; `mix` is a Mixer's `attn`."""


@dataclass(frozen=True, eq=False)
class Probed:
    """How well classes can be read from each module of each block.

    Attributes:
        table: one row per layer, with its `module` (the paper's name) and
            `block` (from 1). `accuracy` on the test images lies between `low`
            and `high` with 95 % confidence (Wilson); `held_out` is that on
            the training images kept from the fit, at the chosen penalty
            (`setting`).
        right: (n, rows) whether each test image was classified correctly, 0
            or 1; NaN for constant features.
    """

    table: pd.DataFrame
    right: NDArray[np.float64]

    def best(self, by: str = "held_out") -> pd.DataFrame:
        """Choose the best block of each module.

        Args:
            by: `held_out`, or `accuracy`, which chooses on the test images
                as the paper does. Of equal blocks the first is chosen.

        Returns:
            One row per module, in forward order, with the index of the table.
        """
        known = self.table.dropna(subset=[by])
        rows = known.groupby("module", sort=False)[by].idxmax()
        return self.table.loc[rows]


def modules(model: VisionModel) -> list[str]:
    """List those of the paper's modules that a model has."""
    have = {name.rsplit(".", 1)[-1] for name in model.taps}
    return [name for name in MODULES if name in have]


def probe(
    sample: Sample,
    tokens: Tokens = "mean",
    probe: str = "logistic",
    settings: Sequence[float] | None = None,
    reduce: str | None = None,
    held_out: float = HELD_OUT,
    seed: int = 0,
) -> Probed:
    """Fit a probe to every layer, as the paper does.

    Each image's features are scaled to length 1, then standardised; the
    probe is multinomial logistic regression with C = 1, fitted to the
    training images that are not held out (as the authors' code does).

    Args:
        sample: features of the data set.
        tokens: one of its ways of pooling.
        probe: `logistic` or `ridge`.
        settings: penalties to choose from on the images held out; by default
            1 for `logistic` and a wide grid for `ridge`; of equally good
            ones the largest.
        reduce: how wider layers are brought to the width of the narrowest:
            `pca` (of the images that are fitted), `random` (a Gaussian
            projection), or not at all.
        held_out: share of each class of the training images.
        seed: which images are held out, and which random projection.

    Returns:
        The table, and which test images were right.

    Raises:
        ValueError: unknown probe, reduction or way of pooling, or what
            `probes.logistic` and `probes.ridge` refuse.

    Warns:
        UserWarning: layers with constant features, whose rows are NaN.
        NotConverged: a solver ran out of steps.
    """
    if probe not in _SCORES:
        raise unknown("probe", probe, _SCORES)
    if reduce not in (None, *REDUCTIONS):
        raise unknown("reduction", str(reduce), REDUCTIONS)
    layers = [layer for layer, choice in sample.bank if choice == tokens]
    if not layers:
        valid = dict.fromkeys(str(choice) for _, choice in sample.bank)
        raise unknown("pooling of the sample", str(tokens), valid)
    grid = tuple(sorted(settings or SETTINGS[probe], reverse=True))
    classes = checks.count(sample.bank_labels)
    held = hold_out([sample.bank_labels], held_out, seed)
    width = min(sample.bank[layer, tokens].shape[1] for layer in layers)
    rows, right = [], []
    for layer in layers:
        bank, test = (
            part[layer, tokens].to(sample.device)
            for part in (sample.bank, sample.test)
        )
        place = {
            "layer": layer,
            "depth": sample.depths[layer],
            "module": MODULES.get(layer.rsplit(".", 1)[-1], layer),
        }
        answers = np.full(len(test), np.nan)
        chosen = {"held_out": np.nan, "setting": np.nan}
        if checks.varies(bank[~held], bank[~held][0]):
            parts = unit(bank[~held], torch.cat([bank[held], test]))
            if reduce:
                parts = reduced(*parts, reduce, width, seed)
            fit = parts[0], sample.bank_labels[~held], parts[1], grid, classes
            said = _SCORES[probe](*fit).argmax(2).cpu()
            truth = torch.cat([sample.bank_labels[held], sample.labels])
            known = (said == truth).double().numpy()
            shares = known[:, : -len(test)].mean(1)
            best = int(shares.argmax())
            chosen = {"held_out": shares[best], "setting": grid[best]}
            answers = known[best, -len(test) :]
        else:
            warnings.warn(
                f"{layer} ({tokens}) is the same for all images: its row is "
                "NaN",
                stacklevel=2,
            )
        rows.append(place | vars(share(answers)) | chosen)
        right.append(answers)
    table = pd.DataFrame(rows).rename(columns={"value": "accuracy"})
    table.insert(3, "block", table.groupby("module").cumcount() + 1)
    table.attrs.update(
        images=sample.spec,
        target=sample.target,
        fitted=int((~held).sum()),
        held_out=int(held.sum()),
        test=len(sample.labels),
        tokens=tokens,
        probe=probe,
        settings=grid,
        reduce=reduce,
    )
    return Probed(table, np.stack(right, 1))


def _logits(
    bank: Tensor,
    labels: Tensor,
    queries: Tensor,
    grid: Sequence[float],
    classes: int,
) -> Tensor:
    return logistic(bank, labels, queries, grid, classes).logits


_SCORES: dict[str, Callable[..., Tensor]] = {
    "logistic": _logits,
    "ridge": ridge,
}
