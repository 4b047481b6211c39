"""The architectures of the lab: small peers, all of timm's classes.

ViTs of 12 blocks on 64 patches, and a ResNet and a Mixer of like size. `build`
gives them untrained; `helpers.models.zoo` keeps the trained ones.

Do not use it for models from elsewhere: `helpers.models` loads those.
"""

import itertools
from typing import Any

from timm.models.mlp_mixer import MlpMixer
from timm.models.resnet import Bottleneck, ResNet
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from helpers.lab.skipless_blocks import SkiplessBlock
from helpers.runtime.errors import unknown

SIZE = 64
PATCH = 8
HEAD_WIDTH = 16
CLASSES = 100

NAMES: tuple[str, ...] = (
    "vit_cls",
    "vit_cls_twin",
    "vit_gap",
    "vit_reg",
    "resnet",
    "mixer",
    "mixer_narrow",
    "moco_v3",
    "moco_v3_twin",
    "dino",
    "mae",
    "moco_v3_ft",
    "mae_ft",
    "vit_noskip_early",
    "vit_noskip_middle",
    "vit_few",
    "vit_narrow",
    "vit_narrow_few",
    "vit_narrow_deep",
    "vit_narrow_shallow",
    "vit_cls_ft_digits",
    "vit_cls_ft_sketch",
)

NATURAL = "natural/"
"""What the names of the same models, trained on photographs, begin with."""

NATURAL_CLASSES = 10

WITHOUT_SKIP = {"vit_noskip_early": 2, "vit_noskip_middle": 6}
"""The block whose two residual additions are removed (first block: 0)."""

DEPTHS = {"vit_narrow_deep": 24, "vit_narrow_shallow": 6}
"""Blocks of the ViTs that do not have twelve."""

REGISTERS = {"vit_reg": 4}
"""Tokens beside the class token that belong to no patch (Darcet 2024)."""

PREPROCESSING: dict[str, Any] = {
    "input_size": (3, SIZE, SIZE),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "interpolation": "bicubic",
    "crop_pct": 1.0,
    "crop_mode": "center",
}
"""How every lab model wants its images, in the words of timm."""


def _vit(
    classes: int,
    width: int = 96,
    depth: int = 12,
    registers: int = 0,
    gap: bool = False,
    skipless: int = -1,
) -> nn.Module:
    layer = itertools.count()

    def block(**settings: Any) -> nn.Module:
        kind = SkiplessBlock if next(layer) == skipless else Block
        return kind(**settings)

    vit: nn.Module = VisionTransformer(
        img_size=SIZE,
        patch_size=PATCH,
        embed_dim=width,
        depth=depth,
        reg_tokens=registers,
        num_heads=width // HEAD_WIDTH,
        num_classes=classes,
        class_token=not gap,
        global_pool="avg" if gap else "token",
        block_fn=block,
    )
    return vit


def _resnet(classes: int) -> nn.Module:
    """A ResNet whose stages see 32, 16, 8 and 4 positions a side."""
    model: nn.Module = ResNet(
        Bottleneck,
        layers=(3, 4, 6, 3),
        channels=(16, 32, 56, 112),
        num_classes=classes,
    )
    model.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
    nn.init.kaiming_normal_(
        model.conv1.weight, mode="fan_out", nonlinearity="relu"
    )
    model.maxpool = nn.Identity()
    return model


def plain(name: str) -> str:
    """Return the name in `NAMES` that a model of a family has.

    Raises:
        ValueError: for an unknown name.
    """
    bare = name.removeprefix(NATURAL)
    if bare not in NAMES:
        family = name.removesuffix(bare)
        raise unknown("lab model", name, [family + known for known in NAMES])
    return bare


def _classes(name: str, natural: bool) -> int:
    if name in ("moco_v3", "moco_v3_twin", "dino", "mae"):
        return 0
    if name.endswith("digits"):
        return 10
    sketches = name.endswith("sketch")
    return NATURAL_CLASSES if natural and not sketches else CLASSES


def build(name: str) -> nn.Module:
    """Make the untrained architecture of a lab model.

    The encoders of `moco_v3`, its twin, `dino` and `mae` have no head. The
    weights are drawn from torch's global generator.

    Args:
        name: one of `NAMES`, or one with `natural/` before it: the same with
            a head for ten classes, where the head was for the scenes'.

    Returns:
        A timm module for images (n, 3, 64, 64), normalised as its
        `pretrained_cfg` (= `PREPROCESSING`) says, in training mode.

    Raises:
        ValueError: for an unknown name.
    """
    natural = name.startswith(NATURAL)
    name = plain(name)
    classes = _classes(name, natural)
    model: nn.Module
    if name == "resnet":
        model = _resnet(classes)
    elif name.startswith("mixer"):
        model = MlpMixer(
            classes,
            SIZE,
            3,
            PATCH,
            num_blocks=12,
            embed_dim=56 if "narrow" in name else 112,
        )
    else:
        model = _vit(
            classes,
            width=48 if "narrow" in name else 96,
            depth=DEPTHS.get(name, 12),
            registers=REGISTERS.get(name, 0),
            gap=name == "vit_gap",
            skipless=WITHOUT_SKIP.get(name, -1),
        )
    model.pretrained_cfg = PREPROCESSING  # type: ignore[assignment]
    return model
