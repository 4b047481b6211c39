"""The form behind `explorers.similarity`.

Not for pages: `helpers.explorers` is the way in.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import ipywidgets as widgets
import pandas as pd

from helpers import charts, cka
from helpers.cka.comparison import Comparison, thinned
from helpers.explorers.forms import WIDE, Form, note
from helpers.explorers.one_model import Model, Models
from helpers.features.layer_selection import Tokens
from helpers.images.image_set import Images
from helpers.runtime.markup import Html

TOKENS = ("all", "cls", "mean", "patches")


class SimilarityForm(Form):
    """Two models, a selection of layers and a choice of tokens: CKA."""

    def __init__(
        self,
        models: Iterable[Model],
        images: Images,
        layers: str,
        tokens: Tokens,
        batch_size: int,
    ) -> None:
        self.models, self.images = Models(models), images
        self.batch_size = batch_size
        self.x = self.models.menu("first model")
        self.y = self.models.menu("second model", 1)
        self.layers = widgets.Text(
            layers, description="layers", continuous_update=False, style=WIDE
        )
        self.tokens = widgets.Dropdown(
            options=list(dict.fromkeys([tokens, *TOKENS])),
            description="tokens",
            style=WIDE,
        )
        super().__init__(self.x, self.y, self.layers, self.tokens)

    def key(self) -> Hashable:
        """Return the four choices."""
        chosen = self.x, self.y, self.layers, self.tokens
        return tuple(control.value for control in chosen)

    def cost(self) -> str:
        """Count the images."""
        return f"{len(self.images):,} images through both models"

    def measure(self) -> Comparison:
        """Compare the two models."""
        return cka.measure(
            self.models[self.x.value],
            self.models[self.y.value],
            self.images,
            self.layers.value,
            self.tokens.value,
            self.batch_size,
        )

    def draw(self, result: Comparison) -> tuple[pd.DataFrame, Any]:
        """Draw the map; every k-th layer where there are very many."""
        table = result.table()
        x, y = (self.models[menu.value].name for menu in (self.x, self.y))
        return table, charts.heatmap(
            thinned(table.assign(pair=0), "pair"),
            title=f"CKA of {x} and {y}, tokens: {self.tokens.value}",
            x_title=f"layer of {x}",
            y_title=f"layer of {y}",
            description=f"CKA heat map of the layers of {x} and {y}.",
        )


def similarity(
    models: Iterable[Model],
    images: Images,
    layers: str = "out",
    tokens: Tokens = "all",
    batch_size: int = 32,
) -> Form | Html:
    """Compare the layers of any two models by CKA.

    Args:
        models: what to choose from; specs are loaded when first needed.
        images: the images both are shown.
        layers: which layers at first, see `helpers.features.names`.
        tokens: which tokens at first, see `helpers.features.record`.
        batch_size: images of a forward pass and an HSIC minibatch.

    Returns:
        The form; on the site a sentence.
    """
    return note() or SimilarityForm(models, images, layers, tokens, batch_size)
