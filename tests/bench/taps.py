"""Time a forward pass that is listened to against a bare one, by family.

`make bench` prints for one model of each family what it costs to take the
mean of every layer that has a name, and to read its attention, as ratios to a
bare pass of the same images.

One thread, CPU seconds; bare and tapped passes take turns, and of each the
quietest round counts.
"""

import torch

from helpers import models
from helpers.features import record
from helpers.measures import attention_weights
from helpers.measures.attention_weights import attention_layers, on_patches
from tests.bench.probes import seconds

BATCH, ROUNDS = 4, 4
TAPS, ATTENTION = 1.1, 1.3  # times a bare pass, at most
MODELS = (
    *("vit_small_patch16_224", "vit_small_patch16_dinov3"),
    *("eva02_tiny_patch14_224", "vit_pe_core_tiny_patch16_384"),
    *("beit_base_patch16_224", "naflexvit_base_patch16_gap"),
    *("cait_xxs24_224", "xcit_nano_12_p16_224"),
    *("swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"),
    *("hiera_tiny_224", "convnext_atto", "resnet18", "regnetx_002"),
    *("efficientnet_lite0", "mixer_s32_224"),
)


def cost(name: str) -> None:
    """Print both ratios; a family without readable attention has one."""
    model = models.load(f"{name}?random")
    pixels = torch.randn(BATCH, *model.preprocessing["input_size"])

    def tapped() -> None:
        with record(model, "all", "mean"):
            model(pixels)

    def attended() -> None:
        layers = list(attention_layers(model).values())
        with attention_weights.listen(
            model, layers, lambda layer, w: on_patches(layer, w).sum((-2, -1))
        ):
            model(pixels)

    calls = {"bare": lambda: model(pixels), "taps": tapped}
    if not attention_weights.obstacle(model):
        calls["attention"] = attended
    spent = seconds(calls, ROUNDS)
    print(
        f"{name} ({model.family.name}), {len(model.taps)} taps, "
        f"batch {BATCH}: {spent['bare'] / BATCH:.3f} s an image; all taps "
        f"{spent['taps'] / spent['bare']:.2f} (at most {TAPS})"
        + (
            f", attention {spent['attention'] / spent['bare']:.2f} (at most "
            f"{ATTENTION})"
            if "attention" in spent
            else ""
        ),
        flush=True,
    )


def main(names: tuple[str, ...] = MODELS) -> None:
    """Print the ratios of all families."""
    torch.manual_seed(0)
    print("\ncpu: taps against a bare pass, float32, one thread")
    for name in names:
        cost(name)
