"""Fine-tune a model of the lab in memory, and look at it at any step.

For pages that watch a fine-tuning happen. It is the training of the recipe,
cut to a few hundred small steps, in float32, so that a page gives the same
numbers on every processor up to rounding; nothing is written to disk. Use
`helpers.training.train` for models to keep.
"""

import math
from dataclasses import replace

import numpy as np
import torch

import helpers.training.data as data
from helpers.lab.architectures import NATURAL
from helpers.models import VisionModel, wrap
from helpers.models.vision_model import LAB
from helpers.runtime import devices
from helpers.runtime.errors import unknown
from helpers.training.loop import Training
from helpers.training.mixed_precision import FLOAT32, Way
from helpers.training.objective import average_of
from helpers.training.recipes import RECIPES, recipe
from helpers.training.steps import on_device

TUNED, TWIN = "_ft", "_twin"
WARMUP = 0.1
"""Share of the steps over which the rate rises, at most."""


class Finetuning:
    """A fine-tuning of which any step can be looked at.

    Step s depends on the recipe, its seed and s alone, so a step that is
    asked for later, out of order, is the same.

    Args:
        spec: a model that has a recipe for fine-tuning, such as `lab/mae` or
            `natural/mae`, the twin of one, or other weights of it, as in
            `lab/mae@weights.safetensors`.
        steps: at which the rate has fallen to zero.
        batch: images of a step.
        seed: of the images and the new head; the recipe's by default.
        device: where; the GPU when there is one, by default.

    Raises:
        ValueError: another model, or fewer steps or images than one.
        FileNotFoundError: the model has not been trained yet, or there is no
            such file.
    """

    def __init__(
        self,
        spec: str,
        steps: int = 200,
        batch: int = 32,
        seed: int | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        if steps < 1 or batch < 1:
            raise ValueError(
                "fine-tuning takes at least one step of one image, got "
                f"{steps} steps of {batch}"
            )
        self.spec, self.steps = spec, steps
        self._name, start = _tuned(spec)
        found = data.bound(recipe(self._name))
        self._recipe = replace(
            found,
            init_from=start,
            scenes=steps * batch,
            batch=batch,
            warmup=min(found.warmup, round(WARMUP * steps)),
            seed=found.seed if seed is None else seed,
        )
        self._device = on_device(device)
        self._seen: dict[int, VisionModel] = {}
        self._begin()

    @property
    def losses(self) -> list[float]:
        """The loss of each step done so far."""
        return self._training.losses

    def at(self, step: int) -> VisionModel:
        """Return the model after so many steps; it trains on where it must.

        Args:
            step: 0 (as it was pre-trained, with a new head) to `steps`.

        Raises:
            ValueError: a step that is not among them.
        """
        if not 0 <= step <= self.steps:
            raise ValueError(
                f"the fine-tuning of {self.spec} has steps 0 to {self.steps}; "
                f"there is no step {step}"
            )
        if step not in self._seen:
            if step < len(self.losses):
                self._begin()
            with devices.own_draws(self._device):
                self._training.go_on(step, self.steps, None, math.inf)
            module = average_of(self._training.objective.encoder).eval()
            self._seen[step] = wrap(module, f"{self.spec}, step {step}")
        return self._seen[step]

    def _begin(self) -> None:
        with devices.own_draws(self._device):
            self._training = Training(
                self._name, self._recipe, self._device, Way(FLOAT32)
            )


def spaced(steps: int, looks: int) -> list[int]:
    """Choose steps to look at: 0, and others evenly spaced in the logarithm.

    Args:
        steps: the last one.
        looks: how many; fewer where neighbours round to the same step.

    Raises:
        ValueError: fewer than two looks, or no step.
    """
    if looks < 2 or steps < 1:
        raise ValueError(
            f"looking at a start and an end takes two looks and a step, got "
            f"{looks} looks at {steps} steps"
        )
    places = np.geomspace(1, steps, looks - 1) if looks > 2 else [steps]
    return [0, *sorted({round(float(place)) for place in places})]


def _tuned(spec: str) -> tuple[str, str]:
    """Name the recipe that fine-tunes a model, and what it starts from."""
    tuned = [n.removesuffix(TUNED) for n in RECIPES if n.endswith(TUNED)]
    twins = [n + TWIN for n in tuned if n + TWIN in RECIPES]
    valid = [LAB + n for n in (*tuned, *twins)] + [NATURAL + n for n in tuned]
    name = spec.partition("@")[0]
    if name not in valid or (name.startswith(NATURAL) and name != spec):
        raise unknown("model to fine-tune", spec, valid)
    plain = name.removeprefix(LAB).removesuffix(TWIN)
    return plain + TUNED, spec.removeprefix(LAB)
