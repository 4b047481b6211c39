"""The authors' own checkpoints: where they are and how they are laid out.

One table, `RELEASES`. An entry says which files make the model, which timm
architecture they fit, what their keys are called, what is left out of them
and how images must be prepared. Sizes are not published: they are estimates
for the layout in fp32, with what the training code stores beside the weights.

Models that timm has with all that the authors released are not here:
`vit_base_patch16_224.dino` (without head), `deit_base_patch16_224.fb_in1k`.
Of MAE both are here, for a true pair of before and after fine-tuning. The
linear head of MAE and the fine-tuned MoCo-v3 were never released; OpenMMLab's
own MoCo-v3 has a fine-tuned model, so those two belong together.
"""

from dataclasses import dataclass, field
from typing import Any

from helpers.choices import unknown

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


def _moco(
    run: str, title: str, architecture: str, megabytes: int, **arguments: Any
) -> Release:
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


def _moco_linear(
    path: str,
    title: str,
    architecture: str,
    megabytes: int,
    top1: float,
    **arguments: Any,
) -> Release:
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


def _dino(run: str, part: str, megabytes: int, **layout: Any) -> File:
    url = f"{FACEBOOK}/dino/dino_{run}_pretrain/dino_{run}_{part}.pth"
    return File(url, megabytes, **layout)


def _linear(run: str, megabytes: int, head: str) -> File:
    return _dino(
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

RELEASES: dict[str, Release] = {
    "moco_v3_vit_b": _moco("vit-b-300ep", "ViT-B/16", VIT_B, 1710),
    "moco_v3_vit_b_linear": _moco_linear(
        "vit-b-300ep/linear-vit-b-300ep", "ViT-B/16", VIT_B, 350, 76.7
    ),
    # 12 heads where timm has 6: the shapes agree, the outputs do not
    "moco_v3_vit_s": _moco(
        "vit-s-300ep", "ViT-S/16", VIT_S, 680, num_heads=12
    ),
    "moco_v3_vit_s_linear": _moco_linear(
        "vit-s-300ep/linear-vit-s-300ep",
        "ViT-S/16",
        VIT_S,
        91,
        73.2,
        num_heads=12,
    ),
    **{
        f"moco_v3_r50_{epochs}": _moco(
            f"r-50-{epochs}ep", f"ResNet-50, {epochs} epochs", R50, 410
        )
        for epochs in (100, 300, 1000)
    },
    **{
        f"moco_v3_r50_{epochs}_linear": _moco_linear(
            f"r-50-{epochs}ep/linear-{epochs}ep",
            f"ResNet-50, {epochs} epochs",
            R50,
            110,
            top1,
        )
        for epochs, top1 in ((100, 68.9), (300, 72.8), (1000, 74.6))
    },
    "dino_vit_b_linear": Release(
        "DINO ViT-B/16, linear head",
        (
            _dino("vitbase16", "pretrain", 343),
            _linear("vitbase16", 12, "head.linear"),
        ),
        VIT_B,
        "Apache-2.0",
        {"num_classes": 1000, "global_pool": ""},
        interleaved=True,
        top1=78.2,
    ),
    "dino_r50": Release(
        "DINO ResNet-50",
        (_dino("resnet50", "pretrain", 94),),
        R50,
        "Apache-2.0",
        {"num_classes": 0},
    ),
    "dino_r50_linear": Release(
        "DINO ResNet-50, linear head",
        (_dino("resnet50", "pretrain", 94), _linear("resnet50", 16, "fc")),
        R50,
        "Apache-2.0",
        {"num_classes": 1000},
        top1=75.3,
    ),
    "mae_vit_b": Release(
        "MAE ViT-B/16, 1600 epochs, normalised pixels",
        (
            File(
                f"{FACEBOOK}/mae/pretrain/mae_pretrain_vit_base.pth",
                343,
                top="model",
                published="md5:8cad7c",
            ),
        ),
        VIT_B,
        NON_COMMERCIAL,
        {"num_classes": 0},
    ),
    # mean of the patches, then fc_norm: timm builds that for "avg"
    "mae_vit_b_ft": Release(
        "MAE ViT-B/16, fine-tuned",
        (
            File(
                f"{FACEBOOK}/mae/finetune/mae_finetuned_vit_base.pth",
                346,
                top="model",
                published="md5:1b25e9",
            ),
        ),
        VIT_B,
        NON_COMMERCIAL,
        {"num_classes": 1000, "global_pool": "avg"},
        top1=83.7,
    ),
    "mmpretrain_moco_v3_vit_b": Release(
        "OpenMMLab's MoCo-v3 ViT-B/16",
        (
            File(
                f"{OPENMMLAB}/mocov3_vit-base-p16_16xb256-amp-coslr-300e_"
                "in1k-224_20220826-25213343.pth",
                860,
                top="state_dict",
                drop=("neck.", "head.", "momentum_encoder."),
                renames=MMPRETRAIN_NAMES,
                published="sha256:25213343",
            ),
        ),
        VIT_B,
        "Apache-2.0",
        {"num_classes": 0},
    ),
    "mmpretrain_moco_v3_vit_b_ft": Release(
        "OpenMMLab's MoCo-v3 ViT-B/16, fine-tuned",
        (
            File(
                f"{OPENMMLAB}/{FINE_TUNED}/{FINE_TUNED}_20220826-f1e6c442.pth",
                346,
                top="state_dict",
                renames=MMPRETRAIN_NAMES,
                published="sha256:f1e6c442",
            ),
        ),
        VIT_B,
        "Apache-2.0",
        {"num_classes": 1000},
        top1=83.0,
    ),
}


def get(name: str) -> Release:
    """Return the entry of a release.

    Raises:
        ValueError: no such name; names the nearest.
    """
    if name not in RELEASES:
        raise unknown("release", name, RELEASES)
    return RELEASES[name]
