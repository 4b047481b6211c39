"""Time receptive fields against one backward pass a channel and image.

`make bench` prints milliseconds for a gradient, that is, for one channel of
one image, halfway up a model, and how many times as long the contenders take.
Forward passes are not counted; their share is small. It also prints the same
number read off all channels and off a few drawn ones.

One thread, and CPU seconds rather than wall time on a CPU.
"""

import statistics
import time
from functools import partial

import torch

from helpers import features, images, models
from helpers.measures import layer_positions, receptive_fields

IMAGES, CHANNELS, ROUNDS = 16, 8, 3
LAYERS = {
    "lab/vit_cls?random": "blocks.5.out",
    "lab/resnet?random": "stages.2.1.out",
    "lab/mixer?random": "blocks.5.out",
}


def outputs(model, layer, x):
    """The central position of a layer, (n, d), on the graph."""
    pick = partial(
        layer_positions.take_position, model, x.shape[2:], (0.5, 0.5)
    )
    with features.record(model, layer, "each", pick) as tape:
        model.module(x)
    return tape[layer]


def naively(z, x):
    """Channels and images one at a time, all gradients of the graph."""
    for channel in range(CHANNELS):
        x.grad = None
        z[0, channel].backward(retain_graph=True)
        x.grad.abs().sum(1)
    return CHANNELS


def one_by_one(z, x):
    """Channels and images one at a time, gradients of the input alone."""
    for channel in range(CHANNELS):
        (g,) = torch.autograd.grad(z[0, channel], x, retain_graph=True)
        g.abs().sum(1)
    return CHANNELS


def vmapped(z, x):
    """All images, and channels under `vmap`."""
    seeds = torch.eye(z.shape[1], device=z.device)[:CHANNELS, None]
    (g,) = torch.autograd.grad(
        z,
        x,
        seeds.expand(-1, len(x), -1),
        retain_graph=True,
        is_grads_batched=True,
    )
    g.abs().sum(2).sum(0)
    return CHANNELS * len(x)


def ours(z, x):
    """All images and, where there is room, several channels."""
    drawn = torch.arange(CHANNELS, device=z.device).expand(len(x), -1)
    receptive_fields._absolute_gradients(z, x, drawn, 1)
    return CHANNELS * len(x)


CONTENDERS = {
    "ours": (ours, IMAGES),
    "vmap": (vmapped, IMAGES),
    "one by one, input only": (one_by_one, 1),
    "one by one": (naively, 1),
}


def seconds(model, layer, x, work) -> float:
    """Seconds of a gradient."""
    x = x.clone().requires_grad_()
    cuda = x.is_cuda
    clock = time.perf_counter if cuda else time.process_time
    with torch.enable_grad():
        z = outputs(model, layer, x)
        work(z, x)
        if cuda:
            torch.cuda.synchronize()
        start = clock()
        count = work(z, x)
        if cuda:
            torch.cuda.synchronize()
    return (clock() - start) / count


def timings(device: str) -> None:
    """Print milliseconds and ratios, contenders taking turns."""
    names = "".join(f"{name:>24}" for name in CONTENDERS)
    print(f"\n{device}: ms a gradient, times ours\n{'':36}{names}")
    scenes = images.load("wardrobe", limit=IMAGES)
    for spec, layer in LAYERS.items():
        model = models.load(spec, device)
        _, (x,) = next(scenes.batches(model, batch_size=IMAGES))
        found = {name: [] for name in CONTENDERS}
        for _ in range(ROUNDS):
            for name, (work, count) in CONTENDERS.items():
                found[name].append(seconds(model, layer, x[:count], work))
        least = {k: 1e3 * statistics.median(v) for k, v in found.items()}
        row = "".join(
            f"{ms:>15.2f} ({ms / least['ours']:5.2f})" for ms in least.values()
        )
        print(f"{spec + ' ' + layer:36}{row}")


def precision() -> None:
    """Print a radius by all channels and by a few."""
    model = models.load("lab/vit_cls?random", "cpu")
    scenes = images.load("wardrobe", limit=32)
    print("\nlab/vit_cls?random blocks.3.out: radius in image widths")
    for channels in (None, 24, 6):
        found = receptive_fields.fields(
            model, scenes, "blocks.3.out", channels=channels
        )
        radius = found.summary()
        print(
            f"{found.settings['channels']!s:>5} channels "
            f"{radius.values[0]:.4f} +- {radius.se[0]:.4f}, "
            f"{found.settings['seconds']:.1f} s"
        )


def main() -> None:
    """Print all tables."""
    for device in ["cpu"] + ["cuda"] * torch.cuda.is_available():
        timings(device)
    precision()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
