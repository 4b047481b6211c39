"""Checkpoints: whole or not there, and never code.

A checkpoint holds tensors and plain values only, so that reading one that
came from elsewhere cannot run anything.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from helpers.runtime import paths


@dataclass
class Checkpoint:
    """A training, as far as it is.

    Attributes:
        recipe: the settings, as a dictionary.
        steps: at which the rate reaches zero; 0 in the constant part, which
            belongs to trainings of any length.
        losses: of the steps done, so their number is the next step.
        seconds: of wall time spent.
        hardware: what it ran on, in words; several if it moved.
        start: sha256 of the weights that fine-tuning began with, or "".
        sample: the first images it trains on, (8, 3, 64, 64) uint8.
        objective: state of the objective, moving averages included.
        optimiser: state of the optimisers.
    """

    recipe: dict[str, Any]
    steps: int
    losses: list[float]
    seconds: float
    hardware: list[str]
    start: str
    sample: Tensor
    objective: dict[str, Any]
    optimiser: dict[str, Any]

    @property
    def complete(self) -> bool:
        """Whether the rate has reached zero."""
        return 0 < self.steps <= len(self.losses)

    def save(self, path: Path) -> None:
        """Write to a file, whole or not at all."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        with paths.whole(path) as part:
            torch.save(content, part)


def place(name: str, steps: int = 0, runs: Path | None = None) -> Path:
    """Return the path of a checkpoint.

    Args:
        name: of the model.
        steps: at which the rate reaches zero; 0: the constant part.
        runs: folder of the trainings, `paths.runs()` by default.
    """
    part = f"annealed-{steps}" if steps else "constant"
    return (runs or paths.runs()) / name / f"{part}.pt"


def load(path: Path) -> Checkpoint:
    """Read a checkpoint, onto the CPU.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: it is damaged or holds other things.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no training has left a checkpoint at {path}")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return Checkpoint(
            **{f.name: saved[f.name] for f in fields(Checkpoint)}
        )
    except Exception as error:
        raise ValueError(
            f"{path} is damaged or not a checkpoint: {error}; remove it to "
            "start again"
        ) from error
