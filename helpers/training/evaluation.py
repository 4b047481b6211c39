"""How much of the garment and the fabric a model's layers show.

20-nearest-neighbour accuracy by the protocol of DINO and a ridge probe, after
every block. The layer is chosen on a part of the bank, never on the test
scenes.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from helpers.probing.readout import readouts
from helpers.training.objective import normalise
from helpers.wardrobe import GARMENTS, compose

BANK, TEST = 5_000, 2_000
FACTORS = ("garment", "fabric", "class")
PROBES = {"knn": "knn", "linear": "ridge"}  # name on the card -> probe
CHUNK = 250


def blocks(module: nn.Module) -> dict[str, nn.Module]:
    """Return the blocks of a lab model by canonical name, in order."""
    stages = [getattr(module, f"layer{i}", ()) for i in range(1, 5)]
    found = {
        f"stages.{s}.{b}.out": block
        for s, stage in enumerate(stages)
        for b, block in enumerate(stage)
    }
    trunk = getattr(module, "blocks", ())
    return found or {f"blocks.{b}.out": m for b, m in enumerate(trunk)}


def _pooled(x: Tensor, prefix: int) -> Iterator[tuple[str, Tensor]]:
    """Pool the output of a block: maps by mean, tokens by CLS and mean."""
    if x.ndim == 4:
        yield "mean", x.mean((2, 3))
    else:
        if prefix:
            yield "cls", x[:, 0]
        yield "mean", x[:, prefix:].mean(1)


@torch.no_grad()
def features(module: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return pooled features after every block.

    Args:
        module: a lab model, in evaluation mode.
        images: (n, 3, 64, 64) uint8, on the model's device.

    Returns:
        (n, d) features by "<layer> <pooling>"; "head" has the logits when
        there is a head.
    """
    prefix = int(getattr(module, "num_prefix_tokens", 0))
    out: dict[str, list[Tensor]] = {}

    def keep(layer: str, x: Tensor) -> None:
        for pooling, value in _pooled(x, prefix):
            out.setdefault(f"{layer} {pooling}", []).append(value.clone())

    hooks = [
        block.register_forward_hook(
            lambda _m, _i, y, layer=layer: keep(layer, y)
        )
        for layer, block in blocks(module).items()
    ]
    try:
        for part in torch.split(images, CHUNK):
            logits = module(normalise(part.float() / 255))
            if module.num_classes:
                out.setdefault("head", []).append(logits)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(parts).float() for name, parts in out.items()}


def _shares(right: Tensor) -> dict[str, float]:
    """Return the accuracy of every factor, of (n, factors) right or wrong."""
    shares = right.double().mean(0).tolist()
    named = zip(FACTORS, shares, strict=True)
    return {factor: round(share, 4) for factor, share in named}


def evaluate(module: nn.Module, variant: str = "none") -> dict[str, Any]:
    """Measure garment, fabric and class accuracy on the test split.

    Args:
        module: a lab model; put into evaluation mode.
        variant: of the wardrobe, for bank and test.

    Returns:
        `knn` and `linear`: accuracies, `layer` and `pooling` of the best
        layer; `knn_by_layer` and `linear_by_layer`: garment accuracy of
        every layer; `head` for a model with 100 classes: its own accuracies.
    """
    module = module.eval()
    device = next(module.parameters()).device
    seen, labels = {}, {}
    for split, n in (("train", BANK), ("test", TEST)):
        scenes = compose(split, range(n), variant=variant, device=device)
        seen[split] = features(module, scenes.pixels)
        columns = [scenes.factors[factor] for factor in FACTORS]
        labels[split] = torch.stack(columns, 1)
    bank = dict(zip(FACTORS, labels["train"].unbind(1), strict=True))
    truth = labels["test"]
    logits = seen["test"].pop("head", None)
    result: dict[str, Any] = {}
    for name, probe in PROBES.items():
        best, by_layer = -1.0, {}
        for key, test in seen["test"].items():
            found = readouts(seen["train"][key], bank, test, probe)
            guesses = [found[factor].scores.argmax(1) for factor in FACTORS]
            scores = _shares(torch.stack(guesses, 1) == truth)
            by_layer[key] = scores["garment"]
            chosen = found["garment"]
            valid = chosen.tried[chosen.setting]
            if valid > best:
                best, (layer, pooling) = valid, key.split()
                result[name] = scores | {"layer": layer, "pooling": pooling}
        result[f"{name}_by_layer"] = by_layer
    if logits is not None and logits.shape[1] == len(GARMENTS) ** 2:
        top = logits.argmax(1)
        guess = torch.stack((top // 10, top % 10, top), 1)
        result["head"] = _shares(guess == truth)
    return result
