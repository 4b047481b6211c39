"""Menus of models, and forms that ask about one of them.

Not for pages: `helpers.explorers` is the way in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ipywidgets as widgets

from helpers import models
from helpers.explorers.forms import WIDE, Form
from helpers.features.layer_selection import names
from helpers.models.vision_model import VisionModel

Model = VisionModel | str


class Models:
    """The models that a form offers, loaded when they are first needed.

    Args:
        given: models, or specs of models.
    """

    def __init__(self, given: Iterable[Model]) -> None:
        self._models: dict[str, Model] = {}
        for model in given:
            spec = model if isinstance(model, str) else model.spec
            self._models.setdefault(spec, model)
        if not self._models:
            raise ValueError("an explorer needs at least one model")

    def __getitem__(self, spec: str) -> VisionModel:
        """Return a model, loaded."""
        model = self._models[spec]
        if isinstance(model, str):
            model = self._models[spec] = models.load(model)
        return model

    def menu(self, label: str, place: int = 0) -> Any:
        """Make a menu of them.

        Args:
            label: what is chosen.
            place: which one is chosen at first, or the last before it.
        """
        specs = list(self._models)
        return widgets.Dropdown(
            options=specs,
            value=specs[min(place, len(specs) - 1)],
            description=label,
            style=WIDE,
        )


class OneModel(Form):
    """A form about one model, one of its layers and one image.

    Attributes:
        models: what to choose from.
        model: menu of models.
        selection: which layers.
        layer: slider over the layers of the one chosen.
        image: slider over the images, counted from 1.
    """

    def __init__(
        self,
        given: Iterable[Model],
        layers: str,
        images: int,
        *controls: Any,
        below: Iterable[Any] = (),
    ) -> None:
        """Make the three choices.

        Args:
            given: models or specs.
            layers: which layers, see `helpers.features.names`.
            images: how many images there are.
            controls: further choices.
            below: as `given` of a `Form`.
        """
        self.models = Models(given)
        self.model = self.models.menu("model")
        self.selection = layers
        own = self.own_layers()
        late = {"continuous_update": False, "style": WIDE}
        self.layer = widgets.SelectionSlider(
            options=own, value=own[-1], description="layer", **late
        )
        self.image = widgets.IntSlider(
            1, min=1, max=images, description="image", **late
        )
        self.model.observe(self._relayer, "value")
        super().__init__(
            self.model, self.layer, self.image, *controls, given=below
        )

    @property
    def chosen(self) -> VisionModel:
        """The model chosen."""
        return self.models[self.model.value]

    def own_layers(self) -> list[str]:
        """List the layers of the model chosen."""
        return names(self.chosen, self.selection)

    def _relayer(self, *_: Any) -> None:
        """Offer the layers of the model chosen."""
        with self._in_words():
            self.working(f"Loading {self.model.value}")
            own = self.own_layers()
            if list(self.layer.options) != own:
                kept = self.layer.value
                self.layer.options = own
                self.layer.value = kept if kept in own else own[-1]
