"""The residual sublayers of a model, and what is summed up about each.

For `helpers.measures.residual`, which measures; a page calls that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from helpers.features.layer_selection import depth
from helpers.models.families.family import Sums
from helpers.runtime.arrays import Floats

if TYPE_CHECKING:
    from helpers.models.vision_model import VisionModel

QUANTITIES = ("ratio", "log2_ratio", "cos_branch", "cos_output")
ROLES = ("skip", "branch", "sum")
TOLERANCE = 0.01  # of ||z||, by which z + f(z) may miss the output
NO_SKIP = "the output is not z + f(z), there is no skip connection"


def sums_of(model: VisionModel) -> Sums:
    """Find z, f(z) and z + f(z) of every residual sublayer.

    Returns:
        Canonical name of the branch -> its sum, in forward order.

    Raises:
        ValueError: a model whose sums are not known (says why).
    """
    found = model.family.sums(model.module, model.taps)
    if isinstance(found, str):
        raise ValueError(f"{model.spec} {found}")
    return found


class Meter:
    """Running sums of one sublayer: over images, and for each image.

    Args:
        model: the model.
        layer: the sublayer, a key of `sums_of`.
        kind: what its branch is.
    """

    def __init__(self, model: VisionModel, layer: str, kind: str) -> None:
        self.layer, self.spec = layer, model.spec
        prefix = ["prefix"] * model.prefix_tokens
        self.prefix = ["cls", *prefix[1:]] if model.has_class_token else prefix
        self.place = {
            "layer": layer,
            "block": layer.rpartition(".")[0],
            "branch": kind,
            "depth": depth(model, layer),
        }
        self.held: dict[str, Tensor] = {}
        self.each: list[dict[str, Floats]] = []
        self.count = self.sums = self.squares = np.zeros(())
        self.images, self.skip, self.miss = 0, 0.0, 0.0

    def hook(self, role: str, x: Tensor) -> Tensor:
        """Hold z and f(z) until their sum comes, then their products.

        Args:
            role: one of `ROLES`; `sum` comes last.
            x: that tensor, (n, tokens, width).
        """
        # A ResNet adds in place, so its branch must be copied.
        self.held[role] = x.clone() if role == "branch" else x
        if role == "sum":
            z, f = self.held["skip"], self.held["branch"]
            pairs = (z, z), (f, f), (x, x), (z, f), (z, x), (x - z - f,) * 2
            products = [(a * b).sum(-1) for a, b in pairs]
            self.held = {"products": torch.stack(products)}
        return x.new_empty(0)

    def update(self) -> None:
        """Add the images of one forward pass.

        Raises:
            ValueError: activations that are NaN or infinite.
        """
        products = self.held.pop("products").cpu().double().numpy()
        if not np.isfinite(products).all():
            raise ValueError(
                f"{self.layer} of {self.spec} has activations that are NaN "
                "or infinite"
            )
        zz, ff, xx, zf, zx, miss = products
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.sqrt(zz / ff)
            cosines = zf / np.sqrt(zz * ff), zx / np.sqrt(zz * xx)
            values = np.stack([ratio, np.log2(ratio), *cosines])
        known = np.isfinite(values).all(0)
        values = np.where(known, values, np.nan)
        self.count = self.count + known.sum(0)
        self.sums = self.sums + np.nansum(values, 1)
        self.squares = self.squares + np.nansum(values**2, 1)
        self.images += len(zz)
        self.skip += float(zz.sum())
        self.miss += float(miss.sum())
        kinds = np.array(self.kinds(zz.shape[1]))
        self.each.append(
            {k: _mean(values[..., kinds == k]) for k in dict.fromkeys(kinds)}
        )

    def kinds(self, tokens: int) -> list[str]:
        """Name the kind of each token."""
        return self.prefix + ["patch"] * (tokens - len(self.prefix))

    @property
    def left_out(self) -> str:
        """Why some or all values are NaN; empty where none is."""
        if self.miss >= TOLERANCE**2 * self.skip:
            return NO_SKIP
        share = 1 - self.count.mean() / self.images
        zero = f"z or f(z) is zero for {100 * share:.3g} % of tokens"
        return zero if share else ""

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Write the values of each token, and of each image."""
        each = {
            kind: np.concatenate([part[kind] for part in self.each], 1)
            for kind in self.each[0]
        }
        nothing = np.nan if self.left_out == NO_SKIP else 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.sums / self.count
            spread = np.maximum(self.squares / self.count - mean**2, 0)
            se = np.sqrt(spread / (self.count - 1)) + nothing
        tokens = range(mean.shape[1])
        kinds = self.kinds(len(tokens))
        per_token = self._table(mean + nothing, token=tokens, kind=kinds)
        per_image = [
            self._table(v + nothing, image=range(self.images), kind=[kind])
            for kind, v in each.items()
        ]
        return per_token.assign(se=se.ravel()), pd.concat(per_image)

    def _table(
        self, values: Floats, **columns: Sequence[object]
    ) -> pd.DataFrame:
        named = {
            name: np.resize(np.array(column), values.size)
            for name, column in columns.items()
        }
        quantity = np.repeat(QUANTITIES, values.shape[1])
        return pd.DataFrame(
            {
                **self.place,
                **named,
                "quantity": quantity,
                "value": values.ravel(),
            }
        )


def _mean(values: Floats) -> Floats:
    """Average the last axis without NaN; NaN where there is nothing else."""
    count = np.isfinite(values).sum(-1)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.nansum(values, -1) / count
    return mean
