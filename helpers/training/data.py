"""The images that a recipe trains on, drawn anew at every step.

Step s of seed r always sees the same images in the same order, whatever came
before: that is what makes a resumed run equal to an unbroken one.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.lab import photographs
from helpers.lab.architectures import SIZE
from helpers.lab.wardrobe import compose
from helpers.training.recipes import Recipe

FACTORS = ("garment", "fabric", "class")
SCENES = 10_000_000
"""Training scenes are drawn from the first ten million of the split."""


def key(seed: int, step: int) -> int:
    """Mix seed and step into a seed of their own, below 2**63."""
    entropy = np.random.SeedSequence([seed, step])
    return int(entropy.generate_state(1, np.uint64)[0] >> 1)


@cache
def _digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's digits but every fifth, which is for tests."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None]
    big = F.interpolate(images, SIZE, mode="bicubic").clamp(0, 1)
    seen = torch.arange(len(big)) % 5 != 4
    labels = torch.tensor(digits.target)
    return big.expand(-1, 3, -1, -1)[seen], labels[seen]


def batch(
    recipe: Recipe, step: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the images and labels of one training step.

    Args:
        recipe: names data, variant, share of garments, batch and seed.
        step: number of the step.
        device: where they shall be.

    Returns:
        Images (batch, 3, 64, 64) in [0, 1] and labels (batch,), int64.
    """
    draw = torch.Generator().manual_seed(key(recipe.seed, step))
    kind, _, digest = recipe.data.partition("@")
    if kind == photographs.SPEC:
        known = photographs.load(digest)
        some = max(1, round(recipe.fraction * len(known.labels["train"])))
        rows = torch.randint(some, (recipe.batch,), generator=draw)
        return known.draw("train", rows, device)
    if recipe.data == "digits":
        images, labels = _digits()
        rows = torch.randint(len(images), (recipe.batch,), generator=draw)
        return images[rows].to(device), labels[rows].to(device)
    scenes = compose(
        "train",
        torch.randint(SCENES, (recipe.batch,), generator=draw),
        variant=recipe.variant,
        device=device,
        garments=recipe.fraction,
    )
    return scenes.pixels.float() / 255, scenes.factors["class"]


def bound(recipe: Recipe) -> Recipe:
    """Tie a recipe to the photographs that are here, by their hash."""
    if recipe.data != photographs.SPEC:
        return recipe
    sha256 = photographs.load().facts["sha256"]
    return replace(recipe, data=f"{photographs.SPEC}@{sha256[:12]}")


def shown(
    recipe: Recipe, split: str, n: int, device: torch.device
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return images to evaluate on, and what there is to tell about them.

    Args:
        recipe: names data and variant. Models of digits are shown what the
            model they began from had learned.
        split: `train` or `test`.
        n: how many, at most.
        device: where they shall be.

    Returns:
        Pixels (n, 3, 64, 64), uint8, and labels (n,) by factor: garment,
        fabric and class of scenes, the class of photographs.
    """
    origin = recipe.init_from if recipe.data == "digits" else recipe.data
    if origin.startswith(photographs.SPEC):
        known = photographs.load()
        rows = torch.arange(min(n, len(known.labels[split])))
        images, labels = known.draw(split, rows, device)
        return (images * 255).round().byte(), {"class": labels}
    scenes = compose(split, range(n), variant=recipe.variant, device=device)
    return scenes.pixels, {name: scenes.factors[name] for name in FACTORS}
