"""The form behind `explorers.neighbours`.

Not for pages: `helpers.explorers` is the way in.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import ipywidgets as widgets
import pandas as pd

from helpers import charts
from helpers.explorers.forms import WIDE, Form, note
from helpers.explorers.one_model import Model, OneModel
from helpers.features.layer_selection import Tokens
from helpers.features.pooled import pooled
from helpers.images.image_set import Images
from helpers.probes import checks
from helpers.probes.knn import neighbours as nearest
from helpers.runtime.markup import Html

TOKENS = ("cls", "mean", "patches")
THUMBNAIL = 160  # of an image, in pixels


class NeighboursForm(OneModel):
    """An image, and the images whose features are most like its own."""

    def __init__(
        self,
        models: Iterable[Model],
        images: Images,
        bank: Images,
        layers: str,
        tokens: Tokens,
        k: int,
    ) -> None:
        self.images, self.bank, self.k = images, bank, k
        self.tokens = widgets.Dropdown(
            options=list(dict.fromkeys([tokens, *TOKENS])),
            description="tokens",
            style=WIDE,
        )
        super().__init__(models, layers, len(images), self.tokens)

    def key(self) -> Hashable:
        """Return the spec of the model and the choice of tokens."""
        return self.chosen.spec, self.tokens.value

    def cost(self) -> str:
        """Count the images."""
        count = len(self.images) + len(self.bank)
        return f"{count:,} images through {self.chosen.name}"

    def measure(self) -> list[Any]:
        """Extract the features of queries and bank, of all layers."""
        tokens = self.tokens.value
        return [
            {
                layer: checks.features(x, "image")
                for (layer, _), x in pooled(
                    self.chosen, images, self.selection, [tokens]
                ).items()
            }
            for images in (self.images, self.bank)
        ]

    def draw(self, result: Any) -> tuple[pd.DataFrame, Any]:
        """Draw the image and its neighbours."""
        i, layer = self.image.value - 1, self.layer.value
        queries, bank = (side[layer] for side in result)
        alike, at = nearest([bank], queries[i : i + 1], self.k)
        labels = self.bank.labels[at[0].numpy()]
        table = pd.DataFrame(
            {
                "place": at[0].numpy(),
                "similarity": alike[0].double().numpy(),
                "label": [self.bank.class_names[y] for y in labels],
                "same": labels == self.images.labels[i],
            }
        )
        own = self.images.class_names[self.images.labels[i]]
        signs = table.same.map({True: "✓ ", False: ""})
        values = table.similarity.map("{:.3f} ".format)
        pictures = [self.images[i], *(self.bank[j] for j in table.place)]
        for picture in pictures:
            picture.thumbnail((THUMBNAIL, THUMBNAIL))
        return table, charts.pictures(
            pictures,
            [f"image {i + 1}: {own}", *(signs + values + table.label)],
            title=f"{table.same.sum()} of {self.k} neighbours of image "
            f"{i + 1} share its class ({layer})",
            description="An image and the images of the bank whose features "
            "are most similar to its own, with their classes.",
        )


def neighbours(
    models: Iterable[Model],
    images: Images,
    bank: Images,
    layers: str = "out",
    tokens: Tokens = "mean",
    k: int = 8,
) -> Form | Html:
    """Show the images that a layer finds most alike, with their classes.

    Args:
        models: what to choose from; specs are loaded when first needed.
        images: the images asked about.
        bank: the images to find, of another split.
        layers: which layers, see `helpers.features.names`.
        tokens: which tokens at first: `cls`, `mean` or `patches`.
        k: how many neighbours.

    Returns:
        The form; on the site a sentence.
    """
    return note() or NeighboursForm(models, images, bank, layers, tokens, k)
