"""The images that a recipe trains on, drawn at every step.

Step s of seed r always sees the same images in the same order, whatever came
before: that is what makes a resumed run equal to an unbroken one.
"""

from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from helpers.lab import photographs
from helpers.lab.architectures import SIZE
from helpers.lab.wardrobe import compose
from helpers.training.settings import Recipe

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
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    size = (SIZE, SIZE)
    big = [
        np.asarray(
            Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
        )
        for picture in (digits.images * (255 / 16)).round().astype(np.uint8)
    ]
    images = torch.from_numpy(np.stack(big)).float()[:, None] / 255
    seen = torch.arange(len(images)) % 5 != 4
    labels = torch.tensor(digits.target)
    return images.expand(-1, 3, -1, -1)[seen], labels[seen]


@dataclass(frozen=True)
class Batch:
    """The images of one training step.

    Attributes:
        images: (n, 3, 64, 64) in [0, 1].
        partners: what second views are made of, as `images`: the same, or the
            same garments and fabrics with other nuisances.
        labels: (n,), int64.
    """

    images: Tensor
    partners: Tensor
    labels: Tensor


def redrawn(recipe: Recipe, step: int) -> tuple[str, ...]:
    """Name the groups of factors that partners draw again at a step."""
    groups: tuple[str, ...] = ()
    for scenes, later in recipe.redrawn:
        if step * recipe.batch >= scenes:
            groups = later
    return groups


def batch(recipe: Recipe, step: int, device: torch.device) -> Batch:
    """Return the images and labels of one training step.

    Args:
        recipe: names data, variant, share of garments, batch and seed.
        step: number of the step.
        device: where they shall be.
    """
    draw = torch.Generator().manual_seed(key(recipe.seed, step))
    kind, _, digest = recipe.data.partition("@")
    if kind == photographs.SPEC:
        known = photographs.load(digest)
        some = max(1, round(recipe.fraction * len(known.labels["train"])))
        rows = torch.randint(some, (recipe.batch,), generator=draw)
        images, labels = known.draw("train", rows, device)
        return Batch(images, images, labels)
    if recipe.data == "digits":
        images, labels = _digits()
        rows = torch.randint(len(images), (recipe.batch,), generator=draw)
        images = images[rows].to(device)
        return Batch(images, images, labels[rows].to(device))
    scene = partial(
        compose,
        "train",
        torch.randint(SCENES, (recipe.batch,), generator=draw),
        variant=recipe.variant,
        device=device,
        garments=recipe.fraction,
    )
    scenes, groups = scene(), redrawn(recipe, step)
    images = partners = scenes.pixels.float() / 255
    if groups:
        partners = scene(redrawn=groups).pixels.float() / 255
    return Batch(images, partners, scenes.factors["class"])


def sample(recipe: Recipe) -> Tensor:
    """Return the first images that a recipe trains on, (8, 3, 64, 64) uint8.

    A checkpoint keeps them, so that it is not continued on other images.
    """
    eight = replace(recipe, batch=8)
    images = batch(eight, 0, torch.device("cpu")).images
    return (images * 255).round().to(torch.uint8)


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
