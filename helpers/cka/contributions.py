"""Which images a CKA map rests on.

HSIC_1 is a sum over pairs of images, of the product of their U-centred
similarities in either layer. Giving each image half of the pairs that it is
in, and so one row of the product, splits HSIC_1 exactly:

    c_i = 1 / (n (n - 3)) sum_j K_ij L_ij,    sum_i c_i = HSIC_1(K, L)

with K and L U-centred. A contribution is positive where both layers agree on
what an image is like, and negative where they disagree. It is what leaving
the image out would change: HSIC_1 of the others is

    (n (n - 3) HSIC_1 - 2 n (n - 2) c_i) / ((n - 1) (n - 4)).

That few images can rule a map was seen by Nguyen et al. 2022. Do not compare
contributions across minibatch sizes: each is relative to its minibatch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from helpers.cka.grams import Grams, check_pair
from helpers.cka.hsic import u_centred, u_products
from helpers.cka.minibatch import ratio
from helpers.runtime.arrays import Floats, Ints


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each image adds to each cell of a map.

    Attributes:
        hsic: (images, layers of x, layers of y); the sum over images is
            HSIC_1, averaged over minibatches.
        cka: the same in units of CKA; the sum over images is the map.
        images: (images,) their positions in the image set.
        layers_x: names of the layers of x.
        layers_y: names of the layers of y.
    """

    hsic: Floats
    cka: Floats
    images: Ints
    layers_x: list[str]
    layers_y: list[str]

    def share(self, part: float = 0.01) -> Floats:
        """Tell how much of a cell its strongest images hold.

        Args:
            part: which part of the images, by the size of their
                contribution; at least one image.

        Returns:
            (layers of x, layers of y) the sum of their contributions over
            that of all. It may exceed 1 where other images count against.
        """
        return share_of_the_top(self.hsic, part)

    def mean(self) -> Floats:
        """Average over the cells that have a CKA: (images,), in its units."""
        mean: Floats = np.nanmean(self.cka, axis=(1, 2))
        return mean

    def strongest_of_map(self, part: float = 0.01) -> Ints:
        """Find the images that contribute most to the map as a whole.

        Args:
            part: which part of the images; at least one image.

        Returns:
            Their positions, the strongest first.
        """
        count = _count(part, len(self.images))
        return self.images[np.argsort(-self.mean())[:count]]

    def concentration(self) -> pd.DataFrame:
        """Add the images up, the strongest first.

        Returns:
            `images`, a share of them, and `held`, the share of the mean CKA
            that they hold, in about 60 rows.
        """
        mean = np.sort(self.mean())[::-1]
        some = np.geomspace(1, len(mean), 60).round().astype(int)
        counts = np.unique(some)
        held = np.cumsum(mean)[counts - 1] / mean.sum()
        return pd.DataFrame({"images": counts / len(mean), "held": held})

    def strongest(self, count: int = 5) -> pd.DataFrame:
        """List the images that count most for and most against each cell.

        Args:
            count: how many of either.

        Returns:
            One row per cell, side (`for`, `against`) and rank (from 1), with
            `layer_x`, `layer_y`, `image` (a position) and `contribution`.
            Cells that are undefined are left out.

        Raises:
            ValueError: fewer than twice as many images.
        """
        if not 0 < 2 * count <= len(self.images):
            raise ValueError(
                f"expected 1 to {len(self.images) // 2} images a side, half "
                f"of those there are, got {count}"
            )
        order = np.argsort(self.hsic, axis=0)
        chosen = {"for": order[::-1][:count], "against": order[:count]}
        rows = [
            (x, y, side, rank + 1, self.images[i], self.cka[i, a, b])
            for a, x in enumerate(self.layers_x)
            for b, y in enumerate(self.layers_y)
            if np.isfinite(self.cka[0, a, b])
            for side, places in chosen.items()
            for rank, i in enumerate(places[:, a, b])
        ]
        columns = ["layer_x", "layer_y", "side", "rank", "image"]
        return pd.DataFrame(rows, columns=[*columns, "contribution"])


def share_of_the_top(values: Floats, part: float = 0.01) -> Floats:
    """Tell which share of a sum its largest terms hold.

    Args:
        values: (images, ...) terms of the sums.
        part: which part of the images; at least one.

    Returns:
        (...) shares.

    Raises:
        ValueError: a part that is none.
    """
    count = _count(part, len(values))
    share: Floats = np.sort(values, axis=0)[-count:].sum(0) / values.sum(0)
    return share


def contributions(x: Grams, y: Grams) -> Contributions:
    """Split the HSIC_1 of all pairs of layers among the images.

    Args:
        x: Gram matrices of the layers of x, see `helpers.cka.grams`.
        y: those of y, of the same images in the same minibatches.

    Returns:
        What each image adds; NaN in units of CKA where a layer does not vary
        over the images.

    Raises:
        ValueError: different images or minibatches.

    Source: the row sums of equation 4 of Shekhar et al. 2022, U-centred as
    in Szekely and Rizzo 2014, section 2.
    """
    check_pair(x, y)
    parts, own_x, own_y = [], [], []
    for a, b in zip(x.values, y.values, strict=True):
        n = a.shape[1]
        centred_x, centred_y = u_centred(a), u_centred(b)
        rows = torch.bmm(  # for each image: (layers of x, layers of y)
            centred_x.transpose(0, 1), centred_y.permute(1, 2, 0)
        )
        parts.append(rows / (n * (n - 3) * len(x.values)))
        _, self_x, self_y = u_products(a, b)
        own_x.append(self_x)
        own_y.append(self_y)
    hsic = torch.cat(parts).numpy()
    means = (torch.stack(own).mean(0).numpy() for own in (own_x, own_y))
    with np.errstate(invalid="ignore"):
        cka = ratio(hsic, *means)
    names = ([str(layer) for layer in side.layers] for side in (x, y))
    return Contributions(hsic, cka, torch.cat(list(x.images)).numpy(), *names)


def _count(part: float, images: int) -> int:
    if not 0 < part <= 1:
        raise ValueError(f"a part is above 0 and at most 1, got {part}")
    return max(1, round(part * images))
