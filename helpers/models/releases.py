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

from helpers.models.release_files import (
    FACEBOOK,
    FINE_TUNED,
    MMPRETRAIN_NAMES,
    NON_COMMERCIAL,
    OPENMMLAB,
    R50,
    VIT_B,
    VIT_S,
    File,
    Release,
    dino,
    linear,
    moco,
    moco_linear,
)
from helpers.runtime.errors import unknown

RELEASES: dict[str, Release] = {
    "moco_v3_vit_b": moco("vit-b-300ep", "ViT-B/16", VIT_B, 1710),
    "moco_v3_vit_b_linear": moco_linear(
        "vit-b-300ep/linear-vit-b-300ep", "ViT-B/16", VIT_B, 350, 76.7
    ),
    # 12 heads where timm has 6: the shapes agree, the outputs do not
    "moco_v3_vit_s": moco("vit-s-300ep", "ViT-S/16", VIT_S, 680, num_heads=12),
    "moco_v3_vit_s_linear": moco_linear(
        "vit-s-300ep/linear-vit-s-300ep",
        "ViT-S/16",
        VIT_S,
        91,
        73.2,
        num_heads=12,
    ),
    **{
        f"moco_v3_r50_{epochs}": moco(
            f"r-50-{epochs}ep", f"ResNet-50, {epochs} epochs", R50, 410
        )
        for epochs in (100, 300, 1000)
    },
    **{
        f"moco_v3_r50_{epochs}_linear": moco_linear(
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
            dino("vitbase16", "pretrain", 343),
            linear("vitbase16", 12, "head.linear"),
        ),
        VIT_B,
        "Apache-2.0",
        {"num_classes": 1000, "global_pool": ""},
        interleaved=True,
        top1=78.2,
    ),
    "dino_r50": Release(
        "DINO ResNet-50",
        (dino("resnet50", "pretrain", 94),),
        R50,
        "Apache-2.0",
        {"num_classes": 0},
    ),
    "dino_r50_linear": Release(
        "DINO ResNet-50, linear head",
        (dino("resnet50", "pretrain", 94), linear("resnet50", 16, "fc")),
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
