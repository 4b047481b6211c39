"""What a release consists of, and how each group lays out its files.

`helpers.models.releases` lists the releases themselves.
"""

from dataclasses import dataclass, field
from typing import Any

FACEBOOK = "https://dl.fbaipublicfiles.com"
OPENMMLAB = (
    "https://download.openmmlab.com/mmselfsup/1.x/mocov3/"
    "mocov3_vit-base-p16_16xb256-amp-coslr-300e_in1k"
)
NON_COMMERCIAL = "CC-BY-NC-4.0"
VIT_B, VIT_S, R50 = (
    "vit_base_patch16_224",
    "vit_small_patch16_224",
    "resnet50",
)
BILINEAR, BICUBIC = (
    {
        "input_size": (3, 224, 224),
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "interpolation": interpolation,
        "crop_pct": 224 / 256,
        "crop_mode": "center",
    }
    for interpolation in ("bilinear", "bicubic")
)


@dataclass(frozen=True)
class File:
    """One file of weights, in its authors' layout.

    Attributes:
        url: its address.
        megabytes: about how large it is.
        top: key of the state dict in it; empty where the file is one.
        drop: prefixes of the keys to leave out.
        keep: prefix of the keys to keep, taken off them.
        renames: (regular expression, replacement) pairs, applied in order to
            what is kept, that give timm's names.
        published: algorithm and first digits of the hash its authors give.
    """

    url: str
    megabytes: int
    top: str = ""
    drop: tuple[str, ...] = ()
    keep: str = ""
    renames: tuple[tuple[str, str], ...] = ()
    published: str = ""


@dataclass(frozen=True)
class Release:
    """A released model.

    Attributes:
        title: what it is.
        files: what it is made of.
        architecture: timm's name.
        licence: of the weights.
        arguments: for the architecture, besides the preprocessing.
        interleaved: whether the head reads class token and mean patch token,
            channel by channel in turn.
        preprocessing: as in the authors' evaluation.
        top1: ImageNet accuracy in percent that the authors report.
    """

    title: str
    files: tuple[File, ...]
    architecture: str
    licence: str
    arguments: dict[str, Any] = field(default_factory=dict)
    interleaved: bool = False
    preprocessing: dict[str, Any] = field(default_factory=lambda: BICUBIC)
    top1: float | None = None

    @property
    def terms(self) -> str:
        """The licence, and whether it forbids commercial use."""
        forbids = self.licence == NON_COMMERCIAL
        return self.licence + (" (non-commercial)" if forbids else "")

    @property
    def megabytes(self) -> int:
        """About how much is fetched."""
        return sum(file.megabytes for file in self.files)


def moco(
    run: str, title: str, architecture: str, megabytes: int, **arguments: Any
) -> Release:
    """Describe a MoCo-v3 encoder, without its head."""
    head = "fc" if architecture == R50 else "head"
    base = "module.base_encoder."
    others = ("module.momentum_encoder.", "module.predictor.")
    file = File(
        f"{FACEBOOK}/moco-v3/{run}/{run}.pth.tar",
        megabytes,
        top="state_dict",
        drop=(f"{base}{head}.", *others),
        keep=base,
    )
    return Release(
        f"MoCo-v3 {title}",
        (file,),
        architecture,
        NON_COMMERCIAL,
        {"num_classes": 0, **arguments},
        preprocessing=BILINEAR,
    )


def moco_linear(
    path: str,
    title: str,
    architecture: str,
    megabytes: int,
    top1: float,
    **arguments: Any,
) -> Release:
    """Describe a MoCo-v3 encoder with the linear head of its evaluation."""
    url = f"{FACEBOOK}/moco-v3/{path}.pth.tar"
    file = File(url, megabytes, top="state_dict", keep="module.")
    return Release(
        f"MoCo-v3 {title}, linear head",
        (file,),
        architecture,
        NON_COMMERCIAL,
        {"num_classes": 1000, **arguments},
        preprocessing=BILINEAR,
        top1=top1,
    )


def dino(run: str, part: str, megabytes: int, **layout: Any) -> File:
    """Describe a file of DINO."""
    url = f"{FACEBOOK}/dino/dino_{run}_pretrain/dino_{run}_{part}.pth"
    return File(url, megabytes, **layout)


def linear(run: str, megabytes: int, head: str) -> File:
    """Describe the linear head of a DINO encoder."""
    return dino(
        run,
        "linearweights",
        megabytes,
        top="state_dict",
        keep="module.",
        renames=((r"^linear\.", f"{head}."),),
    )


MMPRETRAIN_NAMES = (
    (r"^backbone\.", ""),
    (r"^layers\.", "blocks."),
    (r"^ln1\.", "norm."),
    (r"\.ln([12])\.", r".norm\1."),
    (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^head\.layers\.head\.", "head."),
)
FINE_TUNED = "vit-base-p16_ft-8xb64-coslr-150e_in1k"
