"""Every setting of every training, in one table.

A recipe says what is trained, on which scenes, how long and how.

Do not edit a recipe to shorten a run: `train(name, scenes=...)` fits the same
schedule into fewer scenes and marks the result as a draft.
"""

from collections.abc import Sequence
from dataclasses import replace

from helpers.lab.architectures import NATURAL, plain
from helpers.lab.photographs import SPEC
from helpers.training.settings import Augmentation, Goal, Recipe

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

_FEW = 2 / 1_600
"""Two photographs of each garment, where all others see 1,600."""

_STAGES = (
    (100_000, ("background", "place")),
    (200_000, ("background", "place", "cloth")),
)
"""Two crops of one picture can be matched by the background and by where the
cloth's pattern falls. Once pairs of the same picture have been learned, these
are drawn again for the second view, so that what is left in common is the
garment and its weave."""

_SUPERVISED = Recipe(objective="supervised", views=(LIGHT,))
_FINETUNE = replace(
    _SUPERVISED,
    objective="finetune",
    scenes=256_000,
    milestones=(1.0,),
    lr=2e-4,
)
_MOCO_V3 = Recipe(
    objective="moco_v3",
    scenes=1_536_000,
    lr=3.5e-4,
    weight_decay=0.1,
    views=(_STRONG, replace(_STRONG, blur=0.1, solarise=0.2)),
    redrawn=_STAGES,
)

RECIPES: dict[str, Recipe] = {
    "vit_cls": replace(_SUPERVISED, seed=0),
    "vit_cls_twin": replace(_SUPERVISED, seed=1),
    "vit_gap": replace(_SUPERVISED, seed=2),
    "vit_reg": replace(_SUPERVISED, seed=3),
    "resnet": replace(_SUPERVISED, lr=1e-3, seed=4),
    "mixer": replace(_SUPERVISED, seed=5),
    "mixer_narrow": replace(_SUPERVISED, seed=6),
    "moco_v3": replace(_MOCO_V3, seed=7),
    "moco_v3_twin": replace(_MOCO_V3, seed=8),
    "dino": Recipe(
        objective="dino",
        seed=9,
        views=(_STRONG, replace(_STRONG, blur=0.1, solarise=0.2), _LOCAL),
        redrawn=_STAGES,
        temperature=0.1,
        outputs=2048,
    ),
    "mae": Recipe(
        objective="mae",
        scenes=3_072_000,
        lr=5.3e-4,
        seed=10,
        views=(LIGHT,),
        keep=1.0,
    ),
    "moco_v3_ft": replace(_FINETUNE, init_from="moco_v3", seed=11),
    "mae_ft": replace(_FINETUNE, init_from="mae", seed=12),
    "vit_noskip_early": replace(_SUPERVISED, seed=13),
    "vit_noskip_middle": replace(_SUPERVISED, seed=14),
    "vit_few": replace(_SUPERVISED, fraction=_FEW, seed=15),
    "vit_narrow": replace(_SUPERVISED, seed=16),
    "vit_narrow_few": replace(_SUPERVISED, fraction=_FEW, seed=17),
    "vit_narrow_deep": replace(_SUPERVISED, seed=18),
    "vit_narrow_shallow": replace(_SUPERVISED, seed=19),
    "vit_cls_ft_digits": replace(
        _FINETUNE,
        scenes=128_000,
        init_from="vit_cls",
        data="digits",
        views=(Augmentation(scale=(0.7, 1.0)),),
        seed=20,
    ),
    "vit_cls_ft_sketch": replace(
        _FINETUNE,
        scenes=128_000,
        init_from="vit_cls",
        variant="sketch",
        seed=21,
    ),
}

_CLASSES = {"garment": 0.90, "fabric": 0.97}
GOALS: dict[str, Goal] = {
    **dict.fromkeys(
        ("vit_cls", "vit_cls_twin", "vit_gap", "vit_reg"),
        Goal("head", _CLASSES),
    ),
    "resnet": Goal("head", {"garment": 0.92}),
    "mixer": Goal("head", {"garment": 0.85}),
    "moco_v3": Goal("linear", {"garment": 0.65}),
    "moco_v3_twin": Goal("linear", {"garment": 0.65}),
    "dino": Goal("linear", {"garment": 0.55}),
    "mae": Goal("linear", {"garment": 0.55}),
}
"""Models without a goal are compared with others at equal numbers of scenes:
they are drafts until doubling their scenes gains less than two points."""


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
