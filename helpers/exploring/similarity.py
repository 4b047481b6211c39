"""The form behind `explorers.similarity`.

Not for pages: `helpers.explorers` is the way in.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import ipywidgets as widgets
import pandas as pd

from helpers import charts, cka
from helpers.exploring.forms import WIDE, Form
from helpers.exploring.onemodel import Model, Models
from helpers.images import Images
from helpers.layers import Tokens
from helpers.maps import Comparison, thinned

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
