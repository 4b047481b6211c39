"""Checkpoints: whole or not there, and never code.

A checkpoint holds tensors and plain values only, so that reading one that
came from elsewhere cannot run anything.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from helpers.runtime import paths


@dataclass
class Checkpoint:
    """A training, as far as it is.

    Attributes:
        recipe: the settings, as a dictionary.
        steps: that the schedule was made for.
        losses: of the steps done, so their number is the next step.
        seconds: of wall time spent.
        device: in words.
        objective: state of the objective, moving averages included.
        optimiser: state of the optimiser.
    """

    recipe: dict[str, Any]
    steps: int
    losses: list[float]
    seconds: float
    device: str
    objective: dict[str, Any]
    optimiser: dict[str, Any]

    @property
    def complete(self) -> bool:
        """Whether the last step has been done."""
        return len(self.losses) >= self.steps

    def save(self, path: Path) -> None:
        """Write to a file, whole or not at all."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        with paths.whole(path) as part:
            torch.save(content, part)


def place(name: str, runs: Path | None = None) -> Path:
    """Return the path of a model's checkpoint, in `paths.runs()` if asked."""
    return (runs or paths.runs()) / name / "checkpoint.pt"


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
