"""Every setting of every training, in one table.

A recipe says what is trained, on which scenes, how long and how. Nothing is
set anywhere else: the training modules read these fields and no others.

Do not edit a recipe to shorten a run: `train(name, steps=...)` fits the same
schedule into fewer steps and marks the result as a draft.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from helpers.lab.architectures import NATURAL, plain
from helpers.lab.photographs import SPEC


@dataclass(frozen=True)
class Augmentation:
    """How a view is drawn from a scene; the default changes nothing.

    Attributes:
        scale: smallest and largest share of the area that a crop keeps.
        flip: chance of a mirror image.
        colour: chance that the four colour changes below are applied.
        brightness: factor is drawn from 1 +- this.
        contrast: factor is drawn from 1 +- this.
        saturation: factor is drawn from 1 +- this.
        hue: largest turn of the colour circle (0.5: half of it, so any hue).
        grey: chance of a greyscale image.
        blur: chance of a Gaussian blur.
        sigma: smallest and largest width of the blur, pixels.
        solarise: chance that bright values are inverted.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    flip: float = 0.0
    colour: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    sigma: tuple[float, float] = (0.1, 1.5)
    solarise: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """What one model of the zoo is trained with.

    Attributes:
        objective: supervised, finetune, moco_v3, dino or mae.
        steps: optimiser steps of the full training.
        batch: scenes a step.
        lr: highest learning rate of AdamW, which trains embeddings, norms,
            biases and heads.
        block_lr: highest learning rate of Muon, which trains the matrices
            and kernels inside the blocks.
        weight_decay: of both, on matrices and kernels only.
        warmup: share of the steps in which the rate rises linearly.
        seed: of weights, order of scenes, augmentations.
        views: augmentations; one for supervised and mae, two (one a view)
            for moco_v3, three (two global, one local) for dino.
        data: wardrobe, digits, or natural (the file of photographs, with
            its hash behind an @ once training has begun).
        variant: of the wardrobe.
        fraction: share of the training garments that may be used.
        init_from: model of the zoo whose encoder is the start (finetune).
        smoothing: of the labels.
        keep: share of the patches of an image that a ViT sees in a step, drawn
            at random (PatchDropout, Liu et al. 2023; mae has its mask).
        momentum: first rate of the moving average of the weights; it rises
            to 1 on a cosine.
        temperature: of the logits (moco_v3), of the student (dino).
        teacher_temperature: of the teacher (dino).
        centre_momentum: of the moving average of the teacher's logits.
        outputs: width of the embedding (moco_v3), prototypes (dino).
        hidden: width of the projection heads.
        local_crops: small views a scene (dino).
        mask_ratio: share of patches that is hidden (mae).
        decoder: width and blocks of the decoder (mae).
    """

    objective: str
    steps: int = 20_000
    batch: int = 256
    lr: float = 8e-4
    block_lr: float = 3e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    seed: int = 0
    views: tuple[Augmentation, ...] = (Augmentation(),)
    data: str = "wardrobe"
    variant: str = "none"
    fraction: float = 1.0
    init_from: str = ""
    smoothing: float = 0.05
    keep: float = 1.0
    momentum: float = 0.99
    temperature: float = 0.2
    teacher_temperature: float = 0.04
    centre_momentum: float = 0.9
    outputs: int = 128
    hidden: int = 512
    local_crops: int = 4
    mask_ratio: float = 0.75
    decoder: tuple[int, int] = (64, 2)


LIGHT = Augmentation(scale=(0.7, 1.0), flip=0.5)
"""For labels: garments stay whole, colours stay as they are."""

_STRONG = Augmentation(
    scale=(0.4, 1.0),
    flip=0.5,
    colour=0.9,
    brightness=0.4,
    contrast=0.4,
    saturation=0.6,
    hue=0.5,
    grey=0.2,
    blur=0.3,
)
"""Two views must not be matched by their colours alone: every hue is drawn,
so what is left to recognise is shape and pattern. Both views keep at least
0.4 of the scene, where most of the garment stands."""

_LOCAL = replace(_STRONG, scale=(0.12, 0.4), blur=0.2)

_SUPERVISED = Recipe(objective="supervised", views=(LIGHT,))
_FINETUNE = replace(_SUPERVISED, objective="finetune", steps=8_000, lr=4e-4)

RECIPES: dict[str, Recipe] = {
    "vit_cls": _SUPERVISED,
    "vit_cls_twin": replace(_SUPERVISED, seed=1),
    "vit_gap": _SUPERVISED,
    "resnet": replace(_SUPERVISED, lr=2e-3),
    "mixer": _SUPERVISED,
    "moco_v3": Recipe(
        objective="moco_v3",
        steps=40_000,
        batch=512,
        lr=1e-3,
        weight_decay=0.1,
        views=(_STRONG, replace(_STRONG, blur=0.1, solarise=0.2)),
    ),
    "dino": Recipe(
        objective="dino",
        steps=40_000,
        batch=256,
        views=(_STRONG, replace(_STRONG, blur=0.1, solarise=0.2), _LOCAL),
        temperature=0.1,
        outputs=2048,
    ),
    "mae": Recipe(
        objective="mae",
        steps=60_000,
        batch=512,
        lr=1.5e-3,
        views=(LIGHT,),
    ),
    "moco_v3_ft": replace(_FINETUNE, init_from="moco_v3"),
    "mae_ft": replace(_FINETUNE, init_from="mae"),
    "vit_noskip_early": _SUPERVISED,
    "vit_noskip_middle": _SUPERVISED,
    "vit_data_03": replace(_SUPERVISED, fraction=0.03),
    "vit_data_10": replace(_SUPERVISED, fraction=0.1),
    "vit_narrow": _SUPERVISED,
    "vit_narrow_data_10": replace(_SUPERVISED, fraction=0.1),
    "vit_cls_ft_digits": replace(
        _FINETUNE,
        steps=2_000,
        batch=64,
        init_from="vit_cls",
        data="digits",
        views=(Augmentation(scale=(0.7, 1.0)),),
    ),
    "vit_cls_ft_sketch": replace(
        _FINETUNE, init_from="vit_cls", variant="sketch"
    ),
}


def recipe(name: str) -> Recipe:
    """Return the recipe of a lab model.

    That of `natural/<name>` is that of `<name>`, number by number: scenes as
    they are in training become photographs, and fine-tuning starts from the
    natural model. Digits and sketches stay what they are.

    Raises:
        ValueError: for an unknown name.
    """
    found = RECIPES[plain(name)]
    if not name.startswith(NATURAL):
        return found
    scenes = (found.data, found.variant) == ("wardrobe", "none")
    origin = found.init_from and NATURAL + found.init_from
    data = SPEC if scenes else found.data
    return replace(found, data=data, init_from=origin)


def members(names: Sequence[str]) -> list[str]:
    """Write `natural` out as the names of all models of that family."""
    family = [NATURAL + name for name in RECIPES]
    parts = [family if name == SPEC else [name] for name in names]
    return [name for part in parts for name in part]


def for_cpu(full: Recipe) -> Recipe:
    """Fit a recipe to a processor: many small steps instead of few large.

    Batches shrink to at most 64 scenes and AdamW's learning rate with the
    square root of the batch. A ViT sees half of the patches, which halves its
    cost and leaves what a scene teaches nearly as it was.
    """
    batch = min(full.batch, 64)
    rate = full.lr * (batch / full.batch) ** 0.5
    return replace(full, batch=batch, lr=rate, keep=0.5)
