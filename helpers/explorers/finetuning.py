"""The form behind `explorers.finetuning`.

Not for pages: `helpers.explorers` is the way in.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

import ipywidgets as widgets
import pandas as pd

from helpers import charts, cka
from helpers.cka.comparison import Comparison
from helpers.explorers.forms import WIDE, Form, note
from helpers.features.layer_selection import Tokens
from helpers.images.image_set import Images
from helpers.models.vision_model import VisionModel
from helpers.runtime.markup import Html

PACE = 900  # milliseconds a step is shown while it plays

Maps = Mapping[tuple[str, int, str], Comparison]


class Course(Protocol):
    """A training of which any step can be looked at."""

    @property
    def steps(self) -> int:
        """The last one."""

    def at(self, step: int) -> VisionModel:
        """Return the model after so many steps."""


class FinetuningForm(Form):
    """A model in training, a step, another network, a type of layer."""

    def __init__(
        self,
        courses: Mapping[str, Course],
        others: Mapping[str, VisionModel],
        images: Images,
        steps: Sequence[int],
        layers: str,
        tokens: Tokens,
        batch_size: int,
        measured: Maps,
    ) -> None:
        last = min(course.steps for course in courses.values())
        if any(not 0 <= step <= last for step in steps):
            raise ValueError(
                f"the trainings have steps 0 to {last}, got {list(steps)}"
            )
        self.courses, self.others, self.images = courses, others, images
        self.layers, self.tokens = layers, tokens
        self.batch_size = batch_size
        known = [step for _, step, _ in measured]
        self.step = widgets.SelectionSlider(
            options=sorted({*steps, *known}), description="step", style=WIDE
        )
        self.model = widgets.Dropdown(
            options=list(courses), description="model", style=WIDE
        )
        self.other = widgets.Dropdown(
            options=list(others), description="compared with", style=WIDE
        )
        words = dict.fromkeys(word.strip() for word in layers.split(","))
        self.type = widgets.Dropdown(
            options=list(words), description="layers", style=WIDE
        )
        self.play = widgets.Play(
            max=len(self.step.options) - 1, interval=PACE, repeat=False
        )
        widgets.link((self.play, "value"), (self.step, "index"))
        super().__init__(self.model, self.step, self.other, self.type)
        self.box.children = (self.play, *self.box.children)
        for (name, step, other), found in measured.items():
            self.results.setdefault((name, step), {})[other] = found

    def key(self) -> Hashable:
        """Return the model and the step."""
        return self.model.value, self.step.value

    def cost(self) -> str:
        """Count steps and images."""
        return (
            f"{self.model.value} trains to step {self.step.value} and is "
            f"shown {len(self.images):,} images"
        )

    def measure(self) -> Mapping[str, Comparison]:
        """Train up to the step, and compare the model with all others."""
        model = self.courses[self.model.value].at(self.step.value)
        pairs = {name: (model, other) for name, other in self.others.items()}
        return cka.measure_pairs(
            pairs, self.images, self.layers, self.tokens, self.batch_size
        )

    def draw(self, result: Any) -> tuple[pd.DataFrame, Any]:
        """Draw the map of one type of layer."""
        kind, other = self.type.value, self.other.value
        table = result[other].table_by_type()
        table = table[table.type == kind]
        return table, charts.heatmap(
            table,
            x="block_x",
            y="block_y",
            title=f"{kind}: {self.model.value} at step {self.step.value}, "
            f"and {other}",
            x_title=f"block of {self.model.value}",
            y_title=f"block of {other}",
            description=f"CKA heat map of layers of type {kind} of a model "
            f"at a step of its training and of {other}.",
        )


def finetuning(
    courses: Mapping[str, Course],
    others: Mapping[str, VisionModel],
    images: Images,
    steps: Sequence[int],
    layers: str = "out",
    tokens: Tokens = "all",
    batch_size: int = 32,
    measured: Maps | None = None,
) -> Form | Html:
    """Play a training, stop it at any step, and compare the model there.

    A step that was not measured is trained up to when the reader asks.

    Args:
        courses: name -> the training.
        others: name -> a network that the model is compared with.
        images: the images all are shown.
        steps: which ones the slider offers, beside those measured.
        layers: types of layer, such as `out,qkv`.
        tokens: which tokens, see `helpers.features.record`.
        batch_size: images of a forward pass and an HSIC minibatch.
        measured: name of a course, step and name of another network -> map;
            of a step that is there, with all others.

    Returns:
        The form; on the site a sentence.

    Raises:
        ValueError: a step that the trainings do not have.
    """
    return note() or FinetuningForm(
        courses,
        others,
        images,
        steps,
        layers,
        tokens,
        batch_size,
        measured or {},
    )
