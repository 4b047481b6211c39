"""The form behind `explorers.patches`.

Not for pages: `helpers.explorers` is the way in.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from helpers import charts
from helpers.charts.overlays import lit
from helpers.explorers.forms import Form, note
from helpers.explorers.one_model import Model, OneModel
from helpers.explorers.picker import Picker
from helpers.features.token_grid import choose
from helpers.images.image_set import Images
from helpers.measures import attention, attention_weights, localization
from helpers.measures.localization import TokenMaps
from helpers.runtime.arrays import Floats
from helpers.runtime.markup import Html


class PatchesForm(OneModel):
    """A patch of an image: what it attends to, what it stands for."""

    def __init__(
        self,
        models: Iterable[Model],
        images: Images,
        layers: str,
        batch_size: int,
        positions: int,
        measured: Mapping[str, Mapping[str, TokenMaps]] | None,
    ) -> None:
        self.images, self.batch_size = images, batch_size
        self.positions = positions
        self._given = dict(measured or {})
        self.picker = Picker(self.refresh)
        super().__init__(models, layers, len(images), below=[self.picker.box])
        self.results.update(self._given)
        self._weights: dict[Hashable, Floats] = {}

    def own_layers(self) -> list[str]:
        """List the layers that were measured, or else would be."""
        given = self._given.get(self.chosen.spec)
        return list(given) if given else super().own_layers()

    def key(self) -> Hashable:
        """Return the spec of the model."""
        return self.chosen.spec

    def cost(self) -> str:
        """Count the images."""
        count, name = f"{len(self.images):,}", self.chosen.name
        return f"{count} images through {name}, for localisation"

    def measure(self) -> dict[str, TokenMaps]:
        """Measure the maps of all tokens of all layers."""
        return localization.heatmaps(
            self.chosen,
            self.images,
            self.selection,
            self.batch_size,
            self.positions,
        )

    def draw(self, result: Any) -> tuple[pd.DataFrame, Any]:
        """Draw the maps of the patch chosen."""
        model, maps = self.chosen, result[self.layer.value]
        i = self.image.value - 1
        one = self.images.part(slice(i, i + 1))
        (picture,) = one.seen_by(model)
        at = choose(maps.settings["whole_grid"], maps.cka.shape[1])
        patch = self.picker.show(picture, at, model.has_class_token)
        row, own, query = 0, None, "cls"
        if patch is not None:
            row = len(maps.cka) - maps.cka.shape[1] + patch
            own, query = divmod(patch, maps.grid[1]), str(at.tokens[patch])
        panels = [("localisation", maps.cka[row].reshape(maps.grid), own)]
        for head, weights in enumerate(self._attention(one, query)):
            where = attention.place(model, query)
            panels.append((f"head {head}", weights, where))
        return _table(panels), charts.pictures(
            [lit(picture, np.nan_to_num(m).clip(0), p) for _, m, p in panels],
            [f"{name}, {_highest(m)}" for name, m, _ in panels],
            title=f"{self.picker.name}, {self.layer.value}",
            description="The image under veils: the patches that a token "
            "resembles, and those that each head of its block attends to.",
        )

    def _attention(self, one: Images, query: str) -> Floats:
        """Read the heads of the block: (heads, rows, columns), or none."""
        block = re.match(r"blocks\.(\d+)\.", self.layer.value)
        if attention_weights.obstacle(self.chosen) or not block:
            return np.empty((0, 1, 1))
        asked = self.chosen.spec, self.image.value, query
        if asked not in self._weights:
            found = attention.maps(self.chosen, one, None, query)
            self._weights[asked] = found[:, 0]
        heads: Floats = self._weights[asked][int(block[1])]
        return heads


def _highest(values: Floats) -> str:
    """Say where the scale of a map ends."""
    if np.isnan(values).all():
        return "undefined"
    return f"up to {np.nanmax(values):.2f}"


def _table(panels: Sequence[tuple[str, Floats, Any]]) -> pd.DataFrame:
    """Write one row per map and patch."""
    parts = []
    for name, values, _ in panels:
        rows, columns = np.indices(values.shape).reshape(2, -1)
        part = {"map": name, "row": rows, "column": columns}
        parts.append(pd.DataFrame(part | {"value": values.ravel()}))
    return pd.concat(parts, ignore_index=True)


def patches(
    models: Iterable[Model],
    images: Images,
    layers: str = "out",
    batch_size: int = 64,
    positions: int = 256,
    measured: Mapping[str, Mapping[str, TokenMaps]] | None = None,
) -> Form | Html:
    """Click a patch: where it looks, and which place it stands for.

    The attention is that of the picture shown, from the block that the layer
    lies in; the localisation map is measured over all images. Each map is
    drawn on its own scale, dark where it is 0 or less.

    Args:
        models: what to choose from; specs are loaded when first needed.
        images: the images that localisation is measured on.
        layers: which layers, see `helpers.features.names`.
        batch_size: images of a minibatch, for localisation.
        positions: measured at most, see `localization.heatmaps`.
        measured: spec of a model -> what `localization.heatmaps` returned
            for it; models that are not there are measured when asked for.

    Returns:
        The form; on the site a sentence.
    """
    return note() or PatchesForm(
        models, images, layers, batch_size, positions, measured
    )
