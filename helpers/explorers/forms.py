"""A form for a live kernel: choices, a button, a line of words, a view.

Nothing is measured before the reader asks for it, so that running a page
costs nothing; what has been measured is kept, so that coming back to a
choice costs nothing either. What goes wrong is said in the form, where the
reader looks, and not in a log. `helpers.explorers` holds the forms.

Plain ipywidgets only, and nothing that release 7 lacks: that is what Colab
brings. Not for the site, where no kernel answers: `note` stands there.
"""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import ipywidgets as widgets
import pandas as pd
from IPython.display import clear_output, display

from helpers.charts.theme import in_book
from helpers.runtime.markup import Html

WIDE = {"description_width": "initial"}
RED = "var(--jp-error-color1, #b3261e)"


def note() -> Html | None:
    """Return what the site shows in the place of a form; None elsewhere."""
    text = (
        "An explorer: it answers in a running notebook. Open this page in "
        "Colab (the rocket at the top), or in your own Jupyter."
    )
    markup = f'<p class="explorer"><em>{text}</em></p>'
    return Html(markup, text) if in_book() else None


class Form(ABC):
    """Choices, and what they give.

    Attributes:
        box: all widgets, to be displayed.
        button: measures what is chosen; disabled where that is done.
        status: HTML that says how it stands.
        view: where the result is drawn.
        shown: the numbers that are drawn; None while there are none.
        results: what was measured, by `key`.
    """

    def __init__(self, *controls: Any, given: Iterable[Any] = ()) -> None:
        """Lay out the form.

        Args:
            controls: widgets with a value, each a choice.
            given: further widgets, beside the view and seen with it.
        """
        self.button = widgets.Button(
            description="Measure", button_style="primary"
        )
        self.status = widgets.HTML()
        self.view = widgets.Output(layout={"flex": "1 1 20rem"})
        self._beside = list(given)
        self.shown: pd.DataFrame | None = None
        self.results: dict[Hashable, Any] = {}
        wrap = {"flex_flow": "row wrap", "align_items": "flex-start"}
        self.box = widgets.VBox(
            [
                widgets.Box(controls, layout=wrap),
                widgets.Box([self.button, self.status], layout=wrap),
                widgets.Box([*self._beside, self.view], layout=wrap),
            ]
        )
        self.button.on_click(self.measure_chosen)
        for control in controls:
            control.observe(self.refresh, "value")

    def _ipython_display_(self) -> None:
        self.refresh()
        display(self.box)  # type: ignore[no-untyped-call]

    @abstractmethod
    def key(self) -> Hashable:
        """Name what must be measured for the present choice."""

    @abstractmethod
    def cost(self) -> str:
        """Say what measuring it takes."""

    @abstractmethod
    def measure(self) -> Any:
        """Measure it."""

    @abstractmethod
    def draw(self, result: Any) -> tuple[pd.DataFrame, Any]:
        """Make the numbers and the picture of the present choice."""

    def refresh(self, *_: Any) -> None:
        """Draw the present choice if it is measured, else ask for it."""
        with self._in_words():
            if self.key() in self.results:
                self._draw("")
            else:
                self._clear()
                self.status.value = f"Not measured yet: {escape(self.cost())}."
                self.button.disabled = False

    def measure_chosen(self, *_: Any) -> None:
        """Measure the present choice unless that has been done, and draw."""
        with self._in_words():
            key, took = self.key(), ""
            if key not in self.results:
                self._clear()
                self.working(f"Measuring: {self.cost()}")
                start = time.perf_counter()
                self.results[key] = self.measure()
                took = f"Measured in {time.perf_counter() - start:.1f} s."
            self._draw(took)

    def working(self, what: str) -> None:
        """Show that something is being done, until the next word."""
        self.button.disabled = True
        self.status.value = f"<progress></progress> {escape(what)}."

    def _draw(self, words: str) -> None:
        table, picture = self.draw(self.results[self.key()])
        with self.view:
            clear_output(wait=True)  # type: ignore[no-untyped-call]
            display(picture)  # type: ignore[no-untyped-call]
        self._show_beside("")
        self.button.disabled = True
        self.shown = table
        self.status.value = words

    def _clear(self) -> None:
        self.shown = None
        self._show_beside("none")
        self.view.clear_output()

    def _show_beside(self, how: str) -> None:
        for widget in self._beside:
            widget.layout.display = how

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Say errors and warnings in the form."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            try:
                yield
            except Exception as error:
                self._clear()
                said = escape(str(error) or type(error).__name__)
                self.status.value = f'<b style="color:{RED}">{said}</b>'
                self.button.disabled = False
        kinds = UserWarning, RuntimeWarning
        told = [
            str(w.message) for w in caught if issubclass(w.category, kinds)
        ]
        for words in dict.fromkeys(told):
            self.status.value += f" {escape(words)}"
