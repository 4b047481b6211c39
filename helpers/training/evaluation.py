"""How much of what is in its images a model's layers show.

20-nearest-neighbour accuracy by the protocol of DINO and a ridge probe, after
every block. The layer is chosen on a part of the bank, never on the test
images.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from helpers.probes.selection import readouts
from helpers.training.data import shown
from helpers.training.objective import normalise
from helpers.training.settings import Recipe

BANK, TEST = 5_000, 2_000
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


def _shares(
    guesses: dict[str, Tensor], truth: dict[str, Tensor]
) -> dict[str, float]:
    """Return the accuracy of guesses (n,) by factor."""
    return {
        factor: round((guess == truth[factor]).float().mean().item(), 4)
        for factor, guess in guesses.items()
    }


def evaluate(module: nn.Module, recipe: Recipe) -> dict[str, Any]:
    """Measure how well factors are told on the test split.

    Args:
        module: a lab model; put into evaluation mode.
        recipe: what it was trained with; names the images (`data.shown`).

    Returns:
        `knn` and `linear`: accuracy by factor (garment, fabric and class of
        scenes, the class of photographs), `layer` and `pooling` of the layer
        that tells the first factor best; `knn_by_layer`, `linear_by_layer`:
        accuracy of that factor in every layer; `head` for a model with a head
        for these images: its own accuracies.
    """
    module = module.eval()
    device = next(module.parameters()).device
    seen, labels = {}, {}
    for split, n in (("train", BANK), ("test", TEST)):
        pixels, labels[split] = shown(recipe, split, n, device)
        seen[split] = features(module, pixels)
    bank, truth = labels["train"], labels["test"]
    main = next(iter(truth))
    logits = seen["test"].pop("head", None)
    result: dict[str, Any] = {}
    for name, probe in PROBES.items():
        best, by_layer = -1.0, {}
        for key, test in seen["test"].items():
            found = readouts(seen["train"][key], bank, test, probe)
            guesses = {f: found[f].scores.argmax(1) for f in truth}
            scores = _shares(guesses, truth)
            by_layer[key] = scores[main]
            chosen = found[main]
            valid = chosen.tried[chosen.setting]
            if valid > best:
                best, (layer, pooling) = valid, key.split()
                result[name] = scores | {"layer": layer, "pooling": pooling}
        result[f"{name}_by_layer"] = by_layer
    if logits is not None and recipe.data != "digits":
        top = logits.argmax(1)
        told = {"garment": top // 10, "fabric": top % 10, "class": top}
        result["head"] = _shares({f: told[f] for f in truth}, truth)
    return result
