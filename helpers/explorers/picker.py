"""A picture of which a patch can be clicked.

A button without a face lies over each patch: these are core widgets, which
every front end has, and each button can be reached by keyboard and has a
name. Not for grids of thousands: every patch is a widget.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from helpers.charts.theme import MARKED
from helpers.features.token_grid import Positions

SIDE = 256  # width of the picture in CSS pixels
MARK = f"2px solid {MARKED}"
CLASS_TOKEN = "class token"


class Picker:
    """The picture, and which of its patches is chosen.

    Attributes:
        box: the widgets.
        patch: number of the patch chosen among those that can be clicked,
            row by row; None for the class token.
        buttons: one a patch.
        class_token: the button that chooses the class token.
        name: what is chosen, in words.
    """

    def __init__(self, clicked: Callable[[], None]) -> None:
        """Make an empty picker.

        Args:
            clicked: called after each choice.
        """
        self.patch: int | None = None
        self.buttons: list[widgets.Button] = []
        self.class_token = widgets.Button(description=CLASS_TOKEN)
        self.class_token.on_click(self._pick)
        self._clicked = clicked
        self._at: Positions | None = None
        same = {"grid_area": "1 / 1 / 2 / 2", "margin": "0"}
        self._picture = widgets.Image(layout=widgets.Layout(**same))
        self._grid = widgets.GridBox(layout=widgets.Layout(**same))
        self.box = widgets.VBox(layout=widgets.Layout(margin="0 12px 8px 0"))

    @property
    def name(self) -> str:
        """What is chosen, in words."""
        if self.patch is None or self._at is None:
            return CLASS_TOKEN
        return self._at.names[self.patch]

    def show(
        self, picture: NDArray[np.uint8], at: Positions, cls: bool
    ) -> int | None:
        """Show a picture; on another grid the patch in the middle is chosen.

        Args:
            picture: (h, w, 3) pixels.
            at: the patches that can be clicked.
            cls: whether the class token can be chosen.

        Returns:
            `patch`.
        """
        high = round(SIDE * picture.shape[0] / picture.shape[1])
        file = BytesIO()
        sharp = Image.Resampling.NEAREST
        Image.fromarray(picture).resize((SIDE, high), sharp).save(file, "PNG")
        self._picture.value = file.getvalue()
        if at != self._at:
            self._at = at
            self.patch = at.grid[0] // 2 * at.grid[1] + at.grid[1] // 2
            self._lay(at, high)
        if not cls and self.patch is None:
            self.patch = 0
        self.class_token.layout.display = "" if cls else "none"
        self._mark()
        return self.patch

    def _lay(self, at: Positions, high: int) -> None:
        """Lay a button over each patch."""
        shared = {"width": "auto", "height": "auto", "margin": "0"}
        shared |= {"padding": "0", "min_width": "0"}
        self._plain = widgets.Layout(**shared)
        self._marked = widgets.Layout(**shared, border=MARK)
        style = widgets.ButtonStyle(button_color="transparent")
        self.buttons = [
            widgets.Button(tooltip=name, layout=self._plain, style=style)
            for name in at.names
        ]
        for button in self.buttons:
            button.on_click(self._pick)
        rows, columns = at.grid
        self._grid.layout.grid_template_rows = f"repeat({rows}, 1fr)"
        self._grid.layout.grid_template_columns = f"repeat({columns}, 1fr)"
        self._grid.children = self.buttons
        pair = [self._picture, self._grid]
        size = widgets.Layout(
            overflow="hidden",
            grid_template_rows=f"{high}px",
            grid_template_columns=f"{SIDE}px",
        )
        self.box.children = [
            widgets.GridBox(pair, layout=size),
            self.class_token,
        ]

    def _mark(self) -> None:
        for i, button in enumerate(self.buttons):
            wanted = self._marked if i == self.patch else self._plain
            if button.layout is not wanted:
                button.layout = wanted
        chosen = "primary" if self.patch is None else ""
        self.class_token.button_style = chosen

    def _pick(self, button: widgets.Button) -> None:
        own = button is self.class_token
        self.patch = None if own else self.buttons.index(button)
        self._clicked()
