"""How long tokens are: outliers, and activations far larger than the rest.

Some vision transformers write into a few patches of plain background vectors
many times as long as those of other patches, and use them to keep what
belongs to the whole image; tokens of their own, registers, take over that
part (Darcet et al. 2024). In others a few single activations are thousands of
times as large as the median one (Sun et al. 2024).

An *outlier* is here a patch whose norm is more than `times` the median over
the patches of the same image in the same layer. Darcet et al. (section 2.1)
read a threshold of their own off the histogram of each model, 150 for DINOv2
at its output; a ratio holds for networks of any scale, and `outlier_table`
sweeps it.

Do not compare norms across layers of different types: a norm layer sets them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from helpers.features.arguments import checked, settings_of
from helpers.features.layer_selection import depth
from helpers.features.pooled import pooled
from helpers.runtime.arrays import Bools, Floats

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel

TIMES = 3.0
"""Medians above which a patch is called an outlier, unless told."""
SWEPT = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
MAGNITUDES = ("largest", "second", "third", "median")
CLASS, REGISTERS, PATCHES = "class token", "registers", "patches"


@dataclass(frozen=True, eq=False)
class TokenNorms:
    """The norms of all tokens of some layers, and their largest activations.

    Attributes:
        each: name of a layer -> (images, tokens) Euclidean norms.
        magnitudes: name of a layer -> (images, 4) the three largest absolute
            activations of an image's tokens, and the median one.
        prefix: class and register tokens, which come first.
        class_token: whether token 0 is a class token.
        depths: name of a layer -> its depth, 0 to 1.
        settings: model, images.
    """

    each: dict[str, Floats]
    magnitudes: dict[str, Floats]
    prefix: int
    class_token: bool
    depths: dict[str, float]
    settings: dict[str, Any]

    def relative(self, layer: str) -> Floats:
        """Divide by the median patch of each image: (images, tokens)."""
        return relative(self.each[layer], self.prefix)

    def outliers(self, times: float = TIMES) -> Floats:
        """Return the share of outliers among patches, (images, layers)."""
        positive(times)
        found = [
            (self.relative(layer)[:, self.prefix :] > times).mean(1)
            for layer in self.each
        ]
        return np.stack(found, 1)

    def outlier_table(self, times: Sequence[float] = SWEPT) -> pd.DataFrame:
        """Write one row per layer and threshold: the share of outliers.

        The columns are `layer`, `depth`, `times`, `share` and `se`, its
        standard error over images.
        """
        shares = [self.outliers(each) for each in times]
        return self._table(
            {"layer": layer, "depth": d, "times": threshold}
            | _average(share[:, i], "share")
            for threshold, share in zip(times, shares, strict=True)
            for i, (layer, d) in enumerate(self.depths.items())
        )

    def histogram(self, bins: int = 24) -> pd.DataFrame:
        """Count the tokens of each kind by their norm.

        Args:
            bins: of equal width in the logarithm, the same for all networks:
                they reach from a sixteenth of the median to sixteen times it.
                Shorter tokens fall into the first bin, longer ones into the
                last.

        Returns:
            One row per layer, kind of token and bin: `layer`, `depth`,
            `kind`, `norm` (the middle of the bin, in medians of the image's
            patches) and `share` of the tokens of that kind; the shares of a
            layer and kind sum to 1.
        """
        with np.errstate(divide="ignore"):
            every = {name: np.log2(self.relative(name)) for name in self.each}
        low, high = -4.0, 4.0
        edges = np.linspace(low, high, bins + 1)
        middles = 2 ** ((edges[1:] + edges[:-1]) / 2)
        rows = []
        for layer, x in every.items():
            for kind, part in self._kinds(x).items():
                counts, _ = np.histogram(part.clip(low, high), edges)
                place = {"layer": layer, "depth": self.depths[layer]}
                rows += [
                    place | {"kind": kind, "norm": norm, "share": share}
                    for norm, share in zip(
                        middles, counts / part.size, strict=True
                    )
                ]
        return self._table(rows)

    def magnitude_table(self) -> pd.DataFrame:
        """Write one row per layer and rank: the mean magnitude over images.

        The columns are `layer`, `depth`, `rank` (one of `MAGNITUDES`),
        `magnitude` and `se` (Sun et al. 2024, section 2, figure 4).
        """
        return self._table(
            {"layer": layer, "depth": self.depths[layer], "rank": rank}
            | _average(x[:, i], "magnitude")
            for layer, x in self.magnitudes.items()
            for i, rank in enumerate(MAGNITUDES)
        )

    def _kinds(self, x: Floats) -> dict[str, Floats]:
        """Split (images, tokens) by the kind of token."""
        first = int(self.class_token)
        parts = {
            CLASS: x[:, :first],
            REGISTERS: x[:, first : self.prefix],
            PATCHES: x[:, self.prefix :],
        }
        return {kind: part for kind, part in parts.items() if part.size}

    def _table(self, rows: Any) -> pd.DataFrame:
        table = pd.DataFrame(rows)
        table.attrs.update(self.settings)
        return table


@checked
def measure(
    model: VisionModel,
    images: Images,
    layers: str = "out",
    batch_size: int = 64,
) -> TokenNorms:
    """Measure the norms of all tokens, and the largest activations.

    Args:
        model: a model whose layers have token positions; those of a CNN are
            the pixels of the map.
        images: n images.
        layers: which layers, see `helpers.features.names`.
        batch_size: images of a forward pass.

    Raises:
        ValueError: unknown layers, or a layer without token positions.
    """
    kept = pooled(model, images, layers, ["each"], batch_size, _reduce)
    found = {name: x.double().numpy() for (name, _), x in kept.items()}
    return TokenNorms(
        each={name: x[:, 4:] for name, x in found.items()},
        magnitudes={name: x[:, :4] for name, x in found.items()},
        prefix=model.prefix_tokens if model.grid else 0,
        class_token=model.has_class_token,
        depths={name: depth(model, name) for name in found},
        settings={"model": model.spec, **settings_of(images)},
    )


def relative(norms: Floats, prefix: int) -> Floats:
    """Divide norms by the median over patches.

    Args:
        norms: (..., tokens).
        prefix: tokens before the patches.
    """
    median = np.median(norms[..., prefix:], -1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = norms / median
    return ratio


def long(norms: Floats, prefix: int, times: float) -> Bools:
    """Mark the outliers among tokens, of which prefix tokens are none.

    Args:
        norms: (..., tokens).
        prefix: tokens before the patches.
        times: medians above which a patch is an outlier.

    Raises:
        ValueError: a threshold that is not positive.
    """
    positive(times)
    found: Bools = relative(norms, prefix) > times
    found[..., :prefix] = False
    return found


def _reduce(x: Tensor) -> Tensor:
    """Return magnitudes and norms side by side: (n, 4 + tokens)."""
    x = x.float()
    size = x.abs().flatten(1)
    top = size.topk(3, 1).values
    middle = size.median(1, keepdim=True).values
    return torch.cat([top, middle, x.norm(dim=-1)], 1).cpu()


def _average(each: Floats, name: str) -> dict[str, float]:
    """Average over images, with the standard error."""
    spread = each.std(ddof=1) if len(each) > 1 else np.nan
    return {name: float(each.mean()), "se": float(spread / len(each) ** 0.5)}


def positive(times: float) -> None:
    """Raise a ValueError for a threshold that is not above 0."""
    if not times > 0:
        raise ValueError(
            f"a threshold in medians must be above 0, got {times:g}; valid: "
            f"{TIMES:g}, say"
        )
