"""The photographs of the natural edition: one file for training and pages.

`prepare` decodes an image set once, by its spec, into small squares of bytes.
Training and the image spec `natural` read that file, memory-mapped, so models
and measurements see the same photographs, and a machine that trains needs
neither a decoder nor the hub: carry `runs/natural/images.safetensors` there.

Do not use it to measure on other images: any image spec does that.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from helpers import paths
from helpers.architectures import NATURAL, NATURAL_CLASSES, SIZE

if TYPE_CHECKING:
    from helpers.files import Found

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
            f"({digest}...): bring those back, or start anew with --no-resume"
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
    if (sha256 := _digest(parts)) != facts["sha256"]:
        raise ValueError(
            f"{file} is damaged: sha256 {sha256}, expected {facts['sha256']}"
        )
    pixels, labels = (
        {split: parts[f"{split}.{kind}"] for split in SPLITS}
        for kind in ("pixels", "labels")
    )
    return Photographs(facts, pixels, labels)


def _digest(parts: dict[str, Tensor]) -> str:
    whole = hashlib.sha256()
    for key in sorted(parts):
        whole.update(key.encode())
        whole.update(parts[key].numpy().tobytes())
    return whole.hexdigest()


def prepare(spec: str = "") -> Path:
    """Make the file of photographs, unless it is there.

    Each picture is cropped to its middle square and brought to the side of
    the first one, at most 64 pixels. They are stored in random order, so the
    first rows are a sample.

    Args:
        spec: of the image set (`helpers.images`); CIFAR-10 by default.

    Raises:
        ValueError: a set without exactly ten classes, or a file that is there
            and was made of another set.
        FileNotFoundError, ConnectionError: as `images.load`.
    """
    file = path()
    if file.is_file():
        made_of = load().facts["spec"]
        if spec not in ("", made_of):
            raise ValueError(
                f"{file} was made of {made_of!r}, and the models beside it "
                f"learn from that; to train on {spec!r}, move {file.parent} "
                "away first"
            )
        return file
    from PIL import Image, ImageOps
    from tqdm import tqdm

    from helpers import images

    spec = spec or DEFAULT
    sets = {split: images.load(spec, split) for split in SPLITS}
    names = sets["train"].class_names
    if len(names) != NATURAL_CLASSES:
        raise ValueError(
            f"{spec} has {len(names)} classes; the natural models "
            f"are made for {NATURAL_CLASSES}, as cifar10 and imagenette have"
        )
    side = min(SIZE, *sets["train"][0].size)
    parts = {}
    for split, found in sets.items():
        pixels = np.empty((len(found), 3, side, side), np.uint8)
        labels = np.empty(len(found), np.int64)
        places = np.random.default_rng(0).permutation(len(found))
        for i, place in enumerate(tqdm(places, split, disable=None)):
            square = ImageOps.fit(
                found[i], (side, side), Image.Resampling.BICUBIC
            )
            pixels[place] = np.asarray(square).transpose(2, 0, 1)
            labels[place] = found.labels[i]
        parts[f"{split}.pixels"] = torch.from_numpy(pixels)
        parts[f"{split}.labels"] = torch.from_numpy(labels)
    facts = {
        "spec": spec,
        "classes": names,
        "licence": found.licence,
        "source": found.source,
        "sha256": _digest(parts),
    }
    with paths.whole(file) as part:
        save_file(parts, part, {"facts": json.dumps(facts)})
    return file


def find(split: str) -> "Found":
    """Find the photographs of a split, as other image sets are found.

    Raises:
        FileNotFoundError, ValueError: as `load`.
    """
    from PIL import Image

    from helpers.files import Found

    known = load()
    pixels = known.pixels[split].permute(0, 2, 3, 1)
    return Found(
        np.arange(len(pixels)),
        known.labels[split].numpy(),
        tuple(known.facts["classes"]),
        lambda rows: [Image.fromarray(pixels[i].numpy()) for i in rows],
        known.facts["licence"],
        known.facts["source"],
    )
