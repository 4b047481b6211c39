"""Time the pooling of all modules against the bare pass that it rides on.

`make bench` prints what 96 pooled features (eight modules of twelve blocks)
cost in one pass, with one way of pooling and with three, and what is kept of
an image: a hundred times less than the tokens themselves.

One thread, and CPU seconds rather than wall time; of each contender the
quietest round counts.
"""

import numpy as np
import torch

from helpers import features, models
from helpers.probes import modules
from tests.bench.cka import SUBLAYERS, Batches
from tests.bench.probes import seconds

BATCH, BATCHES, ROUNDS = 16, 2, 3
WAYS = ("mean", "cls", "patches")


def cost(spec: str) -> None:
    """Print the ratio to a bare forward pass."""
    model = models.load(spec)
    side = model.preprocessing["input_size"][-1]
    pixels = torch.randn(BATCH * BATCHES, 3, side, side)
    images = Batches(pixels, 1)

    def pooled(*ways: str) -> None:
        features.pooled(model, images, SUBLAYERS, ways, BATCH)

    spent = seconds(
        {
            "bare": lambda: [model(x) for x in pixels.split(BATCH)],
            "one": lambda: pooled("mean"),
            "three": lambda: pooled(*WAYS),
        },
        ROUNDS,
    )
    bare = spent.pop("bare")
    print(
        f"96 pooled features, {spec}, {side} px, batch {BATCH}: bare pass "
        f"{bare / len(pixels):.4f} s an image; one way of pooling "
        f"{spent['one'] / bare:.3f} times that (goal 1.25), three "
        f"{spent['three'] / bare:.3f}"
    )


def size(spec: str) -> None:
    """Print what is kept of an image, and what its tokens would take."""
    model = models.load(spec)
    images = Batches(torch.randn(1, *model.preprocessing["input_size"]), 1)
    kept = features.pooled(model, images, SUBLAYERS, ["mean"], 1)
    with features.record(
        model, SUBLAYERS, "each", lambda x: torch.tensor(x.nbytes)
    ) as tape:
        model(images.pixels)
    print(
        f"kept of an image, {spec}, {len(kept)} features: "
        f"{sum(x.nbytes for x in kept.values()) / 1e6:.2f} MB a way of "
        f"pooling (goal 0.6); its tokens: "
        f"{np.sum([int(n) for n in tape.values()]) / 1e6:.0f} MB"
    )


def main() -> None:
    """Print both."""
    assert set(SUBLAYERS.split(",")) <= set(modules.MODULES)
    torch.manual_seed(0)
    print("\ncpu: pooled features, float32, one thread")
    cost("lab/vit_cls?random")
    cost("vit_small_patch16_224?random")
    size("vit_base_patch16_224?random")
