"""Models without their weights, and how fast this machine is.

The models are built without memory for their weights, on torch's `meta`
device, so that parameters, operations and the sizes of layers are exact. A
forward pass and the preparation of an image are timed on this machine.
"""

import io
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from helpers import features, models

REFERENCE = "vit_small_patch16_224?random"


@dataclass(frozen=True)
class Outline:
    """A model without its weights.

    Attributes:
        model: on the `meta` device.
        flops: of one forward pass of one image.
        shapes: layer to (positions, width).
    """

    model: models.VisionModel
    flops: float
    shapes: dict[str, tuple[int, int]]

    def chosen(self, selection: str) -> set[str]:
        """Find the layers of a selection, leaving out what does not fit."""
        found: set[str] = set()
        for part in selection.split(","):
            with suppress(ValueError):
                found.update(features.names(self.model, part))
        return found


@dataclass(frozen=True)
class Speed:
    """How fast this machine is: operations and images a second."""

    flops: float
    images: float


@cache
def outline(spec: str) -> Outline:
    """Build a model without its weights.

    Raises:
        ValueError: an unknown spec.
    """
    with torch.device("meta"):
        model = models.load(models.untrained(spec), "meta")
    x = torch.empty(1, *model.preprocessing["input_size"], device="meta")
    with (
        FlopCounterMode(display=False) as counter,
        features.record(model, "all", "each", lambda z: z[0]) as tape,
    ):
        model(x)
    shapes = {name: (z.shape[0], z.shape[-1]) for name, z in tape.items()}
    return Outline(model, float(counter.get_total_flops()), shapes)


@cache
def speed() -> Speed:
    """Time a forward pass and the preparation of a photograph, here."""
    model = models.load(REFERENCE)
    batch = 8 if model.device.type == "cpu" else 128
    x = torch.zeros(batch, *model.preprocessing["input_size"])
    x = x.to(model.device)
    model(x).cpu()
    start = time.perf_counter()
    model(x).cpu()
    rate = batch * outline(REFERENCE).flops / (time.perf_counter() - start)
    noise = np.random.default_rng(0).integers(0, 255, (375, 500, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((500, 375)).save(file, "jpeg", quality=50)
    start = time.perf_counter()
    for _ in range(4):
        model.transform(Image.open(file).convert("RGB"))
    workers = max(1, min(8, (os.cpu_count() or 2) - 1))
    return Speed(rate, workers * 4 / (time.perf_counter() - start))
