"""The pictures of any set, corrupted as the lab corrupts its scenes."""

import re
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from helpers.images.found import Found, Index, Read, Source
from helpers.lab.scenes.corruptions import corrupt
from helpers.lab.scenes.hashing import keys
from helpers.lab.wardrobe import CORRUPTED
from helpers.runtime.errors import unknown

SIDE = 256
"""The shorter side is at most this long before noise is added: a model that
sees a picture made smaller would see the noise averaged away."""


def split(spec: str) -> tuple[str, str]:
    """Part an image spec into its set and the corruption, often empty.

    Raises:
        ValueError: an unknown corruption, or one of scenes, which are
            corrupted by their variants.
    """
    clean, plus, how = spec.rpartition("+")
    if not plus or not re.fullmatch(r"[a-z_]+-\d+", how):
        return spec, ""
    if how not in CORRUPTED:
        raise unknown("corruption", how, CORRUPTED)
    if clean.partition(":")[0] == "wardrobe":
        raise ValueError(f"{spec!r} is a variant of scenes: wardrobe:{how}")
    return clean, how


def source(clean: Source, how: str) -> Source:
    """Corrupt what a source finds.

    Args:
        clean: of the pictures.
        how: one of CORRUPTED.

    Returns:
        Each picture with a corruption of its own, the same at every read.
    """

    def find(split: str, limit: int | None, seed: int) -> Found:
        found = clean.find(split, limit, seed)
        return replace(found, read=lambda rows: _read(found.read, rows, how))

    return clean._replace(find=find)


def _read(read: Read, rows: Index, how: str) -> list[Image.Image]:
    name, _, severity = how.partition("-")
    made = []
    for picture, key in zip(read(rows), keys(torch.tensor(rows)), strict=True):
        scale = min(1, SIDE / min(picture.size))
        size = [round(scale * side) for side in picture.size]
        levels = torch.tensor(np.asarray(picture.resize(size)))
        scene = levels.permute(2, 0, 1)[None] / 255
        scene = corrupt(scene, key[None], name, int(severity))[0]
        levels = (scene * 255 + 0.5).clamp(0, 255).byte().permute(1, 2, 0)
        made.append(Image.fromarray(levels.numpy()))
    return made
