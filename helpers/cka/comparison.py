"""The CKA map of two models: a table, its types of layer, its change.

What `helpers.cka` measures and `helpers.cka.statistics` reads numbers off. Do
not make one by hand: without its leave-one-out values it has no intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from helpers.runtime.arrays import Floats


@dataclass(frozen=True, eq=False)
class Similarity:
    """What a `MinibatchCKA` has measured.

    Attributes:
        cka: (layers of x, layers of y) estimates; NaN where undefined.
        leave_one_out: (batches, layers of x, layers of y) estimates without
            one of the minibatches; NaN when there is only one.
        batch_size: images of a minibatch.
        layers_x: names of the layers of x, or their numbers from 1.
        layers_y: the same of y.
    """

    cka: Floats
    leave_one_out: Floats
    batch_size: int
    layers_x: Sequence[str | int]
    layers_y: Sequence[str | int]

    @property
    def batches(self) -> int:
        """Number of minibatches."""
        return len(self.leave_one_out)

    @property
    def se(self) -> Floats:
        """Standard errors by the delete-one jackknife over minibatches.

        (layers of x, layers of y); NaN with fewer than two minibatches.
        """
        variance: Floats = np.var(self.leave_one_out, axis=0)
        return np.sqrt((self.batches - 1) * variance)

    def table(self) -> pd.DataFrame:
        """Write a row per pair of layers: layer_x, layer_y, cka, se."""
        return pd.DataFrame(
            {
                "layer_x": np.repeat(self.layers_x, len(self.layers_y)),
                "layer_y": np.tile(self.layers_y, len(self.layers_x)),
                "cka": self.cka.ravel(),
                "se": self.se.ravel(),
            }
        )


@dataclass(frozen=True, eq=False)
class Comparison(Similarity):
    """The CKA of the layers of two models, and how it was measured.

    Attributes:
        depths_x: (layers of x,) depth of each in its model, 0 to 1.
        depths_y: the same of y.
        settings: models, images, layers, tokens, batch sizes, cost.
        grams: for x and for y, the Gram matrices of each minibatch, (layers,
            n, n); None where `measure` was not asked to keep them, and in
            parts and differences of maps.
    """

    depths_x: Floats
    depths_y: Floats
    settings: dict[str, Any]
    grams: tuple[list[Tensor], list[Tensor]] | None = None

    def table(self) -> pd.DataFrame:
        """Write one row per pair of layers; the settings are in `attrs`.

        The columns are `layer_x`, `layer_y`, `cka`, `se`, `depth_x` and
        `depth_y`.
        """
        table = super().table()
        table["depth_x"] = np.repeat(self.depths_x, len(self.layers_y))
        table["depth_y"] = np.tile(self.depths_y, len(self.layers_x))
        table.attrs.update(self.settings)
        return table

    def __sub__(self, before: Comparison) -> Comparison:
        """Take the change from a map of the same minibatches.

        Returns:
            The differences as a map, with standard errors of their own: what
            both maps owe to the choice of images cancels. The settings are
            those of the later map, and `before` in them those of the other.

        Raises:
            ValueError: other layers, images or minibatches.
        """
        for what, mine, other in (
            ("layers", self.layers_x, before.layers_x),
            ("layers", self.layers_y, before.layers_y),
            *(
                (key, self.settings.get(key), before.settings.get(key))
                for key in ("images", "num_images", "hsic_batch_size")
            ),
        ):
            if mine != other:
                raise ValueError(
                    f"maps of different {what} have no difference: "
                    f"{mine} and {other}"
                )
        return replace(
            self,
            cka=self.cka - before.cka,
            leave_one_out=self.leave_one_out - before.leave_one_out,
            settings=self.settings | {"before": before.settings},
            grams=None,
        )

    def by_type(self) -> dict[str, Comparison]:
        """Split the map by the type of layer: `ln1` with `ln1`, and so on.

        Returns:
            The last word of a layer's name -> the map of the layers that
            have it in both models; in forward order.

        Raises:
            ValueError: no layer has its like in the other model.
        """
        types_x, types_y = (
            np.array([str(name).rsplit(".", 1)[-1] for name in side])
            for side in (self.layers_x, self.layers_y)
        )
        common = [t for t in dict.fromkeys(types_x.tolist()) if t in types_y]
        if not common:
            raise ValueError(
                "the two sides of the map have no type of layer in common: "
                f"{', '.join(np.unique(types_x))} and "
                f"{', '.join(np.unique(types_y))}"
            )
        return {t: self._part(types_x == t, types_y == t) for t in common}

    def table_by_type(self) -> pd.DataFrame:
        """Write one row per pair of layers of one type.

        The columns are those of `table`, `type`, and `block_x` and `block_y`:
        the name of a layer without its first word and its type, such as `3`
        for `blocks.3.qkv`.
        """
        table = pd.concat(
            part.table().assign(type=kind)
            for kind, part in self.by_type().items()
        )
        for side in ("x", "y"):
            names = table[f"layer_{side}"].astype(str)
            table[f"block_{side}"] = names.str.replace(
                r"^\w+\.(.+)\.\w+$", r"\1", regex=True
            )
        table.attrs.update(self.settings)
        return table.reset_index(drop=True)

    def _part(self, x: NDArray[np.bool_], y: NDArray[np.bool_]) -> Comparison:
        return replace(
            self,
            cka=self.cka[np.ix_(x, y)],
            leave_one_out=self.leave_one_out[:, x][:, :, y],
            layers_x=np.array(self.layers_x)[x].tolist(),
            layers_y=np.array(self.layers_y)[y].tolist(),
            depths_x=self.depths_x[x],
            depths_y=self.depths_y[y],
            grams=None,
        )


def thinned(table: pd.DataFrame, by: str, most: int = 100) -> pd.DataFrame:
    """Keep so few layers of each map that it can be drawn.

    Args:
        table: rows of several maps, as `Comparison.table` writes them.
        by: the column that tells the maps apart.
        most: the number of layers a side that are kept at most.

    Returns:
        The rows of every k-th layer of a side, the first among them.
    """
    kept = []
    for _, part in table.groupby(by, sort=False):
        for side in ("layer_x", "layer_y"):
            layers = part[side].unique()
            chosen = layers[:: -(-len(layers) // most)]
            part = part[part[side].isin(chosen)]
        kept.append(part)
    return pd.concat(kept)
