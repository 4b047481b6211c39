"""The settings that a training can have.

Nothing is set anywhere else: the training modules read these fields and no
others. `helpers.training.recipes` has the values.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
class Goal:
    """What a model must reach before it is more than a draft.

    Attributes:
        measure: an entry of the accuracies on the card: head, linear or knn.
        accuracy: by factor, in [0, 1].
    """

    measure: str
    accuracy: dict[str, float]


@dataclass(frozen=True)
class Recipe:
    """What one model of the zoo is trained with.

    Attributes:
        objective: supervised, finetune, moco_v3, dino or mae.
        scenes: how many are seen in the full training.
        milestones: shares of `scenes` after which the rate is brought to zero
            on a branch of the training, so that annealed models of several
            lengths can be compared.
        batch: scenes in a step.
        lr: highest learning rate of AdamW, which trains embeddings, norms,
            biases and heads.
        block_lr: highest learning rate of Muon, which trains the matrices
            and kernels inside the blocks.
        weight_decay: of both, on matrices and kernels only.
        warmup: steps in which the rate rises linearly; it is constant
            afterwards.
        decay: share of all steps, at their end, in which the rate falls to
            zero linearly.
        seed: of weights, order of scenes, augmentations.
        views: augmentations; one for supervised and mae, two (one for each
            view) for moco_v3, three (two global, one local) for dino.
        redrawn: for two views, pairs (scenes seen, groups of factors): from
            then on the second view shows the same garment and fabric with
            these groups (`wardrobe.NUISANCES`) drawn again.
        data: wardrobe, digits, or natural (the file of photographs, with
            its hash behind an @ once training has begun).
        variant: of the wardrobe.
        fraction: share of the training garments that may be used.
        init_from: model of the zoo whose encoder is the start (finetune);
            `<model>@<file>` for other weights of it.
        smoothing: of the labels.
        keep: share of the patches of an image that a ViT sees in a step, drawn
            at random (PatchDropout, Liu et al. 2023; mae has its mask). In
            the last tenth of the steps it sees all, as momentum encoders
            always do.
        momentum: of the moving average of the weights; it rises to 1 on a
            half cosine while the rate falls.
        temperature: of the logits (moco_v3), of the student (dino).
        teacher_temperature: of the teacher (dino).
        centre_momentum: of the moving average of the teacher's logits.
        outputs: width of the embedding (moco_v3), prototypes (dino).
        hidden: width of the projection heads.
        local_crops: small views of a scene (dino).
        mask_ratio: share of patches that is hidden (mae).
        decoder: width and blocks of the decoder (mae).
    """

    objective: str
    scenes: int = 1_024_000
    milestones: tuple[float, ...] = (1 / 8, 1 / 4, 1 / 2, 1.0)
    batch: int = 64
    lr: float = 4e-4
    block_lr: float = 3e-3
    weight_decay: float = 0.05
    warmup: int = 400
    decay: float = 0.2
    seed: int = 0
    views: tuple[Augmentation, ...] = (Augmentation(),)
    redrawn: tuple[tuple[int, tuple[str, ...]], ...] = ()
    data: str = "wardrobe"
    variant: str = "none"
    fraction: float = 1.0
    init_from: str = ""
    smoothing: float = 0.05
    keep: float = 0.5
    momentum: float = 0.99
    temperature: float = 0.2
    teacher_temperature: float = 0.04
    centre_momentum: float = 0.9
    outputs: int = 128
    hidden: int = 512
    local_crops: int = 4
    mask_ratio: float = 0.75
    decoder: tuple[int, int] = (64, 2)

    def steps(self, share: float = 1.0) -> int:
        """Count the optimiser steps of a share of the full training."""
        return max(1, round(share * self.scenes / self.batch))


def alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two recipes, as dictionaries, differ in length at most."""
    facts = [
        {k: v for k, v in how.items() if k not in ("scenes", "milestones")}
        for how in (one, other)
    ]
    first, second = (json.dumps(how, sort_keys=True) for how in facts)
    return first == second
