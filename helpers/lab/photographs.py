"""The photographs of the natural edition: one file for training and pages.

`helpers.training.natural_images` makes it. Training and the image spec
`natural` read it, memory-mapped, so models and measurements see the same
photographs, and a machine that trains needs neither a decoder nor the hub:
carry `runs/natural/images.safetensors` there.

Do not use it to measure on other images: any image spec does that.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from helpers.lab.architectures import NATURAL, SIZE
from helpers.runtime import paths

SPEC = NATURAL.removesuffix("/")
DEFAULT = "cifar10"
SPLITS = ("train", "test")


@dataclass(frozen=True, eq=False)
class Photographs:
    """What the file holds.

    Attributes:
        facts: `spec` they were made from, `classes`, `licence`, `source`, and
            `sha256` of pixels and labels.
        pixels: split -> (n, 3, side, side), uint8.
        labels: split -> (n,), int64.
    """

    facts: dict[str, Any]
    pixels: dict[str, Tensor]
    labels: dict[str, Tensor]
    _on: dict[torch.device, dict[str, Tensor]] = field(default_factory=dict)

    def draw(
        self, split: str, rows: Tensor, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Return photographs as the lab models take them.

        Args:
            split: `train` or `test`.
            rows: which (n,), on the CPU.
            device: where to put them; all of a GPU's stay there.

        Returns:
            Images (n, 3, 64, 64) in [0, 1], enlarged by the bicubic filter
            that the models' preprocessing uses, and labels (n,).
        """
        pixels = self.pixels
        if device.type != "cpu":
            kept = self._on.setdefault(device, {})
            if split not in kept:
                kept[split] = pixels[split].to(device)
            pixels = kept
        some = pixels[split][rows.to(pixels[split].device)].float() / 255
        if some.shape[-1] != SIZE:
            some = F.interpolate(
                some, (SIZE, SIZE), mode="bicubic", antialias=True
            ).clamp(0, 1)
        return some, self.labels[split][rows].to(device)


def path() -> Path:
    """Return where the photographs are, or would be."""
    return paths.runs() / "natural" / "images.safetensors"


def check() -> None:
    """Refuse when there are none.

    Raises:
        FileNotFoundError: says how to make them.
    """
    if not path().is_file():
        raise FileNotFoundError(
            f"no photographs at {path()}: `vitscope train {SPEC}` makes "
            f"them of {DEFAULT}, or of another set with --images SPEC"
        )


def load(digest: str = "") -> Photographs:
    """Read the file; its hash is verified once a process.

    Args:
        digest: first digits of the sha256 that it must have.

    Raises:
        FileNotFoundError: it has not been made.
        ValueError: it is damaged, or holds other photographs.
    """
    check()
    status = path().stat()
    found = _load(path(), status.st_size, status.st_mtime_ns)
    if not found.facts["sha256"].startswith(digest):
        raise ValueError(
            f"{path()} holds other photographs (sha256 "
            f"{found.facts['sha256']}) than this training began with "
            f"({digest}...): bring those back, or start again with --no-resume"
        )
    return found


@cache
def _load(file: Path, size: int, modified: int) -> Photographs:
    try:
        with safe_open(file, "pt") as content:
            facts = json.loads(content.metadata()["facts"])
            parts = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
    except Exception as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    if (sha256 := content_digest(parts)) != facts["sha256"]:
        raise ValueError(
            f"{file} is damaged: sha256 {sha256}, expected {facts['sha256']}"
        )
    pixels, labels = (
        {split: parts[f"{split}.{kind}"] for split in SPLITS}
        for kind in ("pixels", "labels")
    )
    return Photographs(facts, pixels, labels)


def content_digest(parts: dict[str, Tensor]) -> str:
    """Return the sha256 of tensors and their names."""
    whole = hashlib.sha256()
    for key in sorted(parts):
        whole.update(key.encode())
        whole.update(parts[key].numpy().tobytes())
    return whole.hexdigest()
