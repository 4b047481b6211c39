"""How much of the garment and the fabric a model's layers show.

20-nearest-neighbour accuracy by the protocol of DINO and a ridge probe, after
every block. The layer is chosen on a part of the bank, never on the test
scenes.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.training.objective import normalise
from helpers.wardrobe import GARMENTS, compose

BANK, VALIDATION, TEST = 5_000, 1_000, 2_000
FACTORS = ("garment", "fabric", "class")
PENALTIES = tuple(10.0**k for k in range(-3, 5))
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


def knn(
    bank: Tensor, labels: Tensor, queries: Tensor, k: int = 20, t: float = 0.07
) -> Tensor:
    """Classify by nearest neighbours (Caron et al. 2021, appendix F.1).

    Args:
        bank: features (m, d).
        labels: of the bank, (m, f) for f factors.
        queries: features (n, d).
        k: neighbours.
        t: temperature of their votes, exp(cosine / t).

    Returns:
        Predicted labels (n, f).
    """
    cosine = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T
    similarity, index = cosine.topk(k, dim=1)
    weight = ((similarity - 1) / t).exp()
    votes = []
    for column in labels[index].unbind(-1):
        score = weight.new_zeros(len(queries), int(labels.max()) + 1)
        votes.append(score.scatter_add_(1, column, weight).argmax(1))
    return torch.stack(votes, 1)


def ridge(
    x: Tensor, labels: Tensor, queries: Tensor, penalties: tuple[float, ...]
) -> Tensor:
    """Classify by linear regression on one-hot labels, in closed form.

    Features are standardised by the training rows; the intercept is free.

    Returns:
        Predicted labels (penalties, n, f).
    """
    mean, spread = x.mean(0), x.std(0) + 1e-5
    x, queries = ((a - mean) / spread for a in (x, queries))
    x, queries = x.double(), queries.double()
    hot = [F.one_hot(column).double() for column in labels.unbind(1)]
    y = torch.cat(hot, 1)
    offset = y.mean(0)
    values, vectors = torch.linalg.eigh(x.T @ x)
    target = vectors.T @ (x.T @ (y - offset))
    rotated = queries @ vectors
    out = []
    for penalty in penalties:
        shrunk = target / (values.clamp(min=0) + penalty)[:, None]
        scores = rotated @ shrunk + offset
        parts = torch.split(scores, [h.shape[1] for h in hot], dim=1)
        out.append(torch.stack([part.argmax(1) for part in parts], 1))
    return torch.stack(out)


def _by_neighbours(
    bank: Tensor, labels: Tensor, test: Tensor
) -> tuple[Tensor, Tensor]:
    """Guess the labels of the end of the bank, and of the test scenes."""
    seen = len(bank) - VALIDATION
    end = knn(bank[:seen], labels[:seen], bank[seen:])
    return end, knn(bank, labels, test)


def _by_ridge(
    bank: Tensor, labels: Tensor, test: Tensor
) -> tuple[Tensor, Tensor]:
    """Guess as above, each factor with the penalty best for the bank's end."""
    seen = len(bank) - VALIDATION
    tried = ridge(bank[:seen], labels[:seen], bank[seen:], PENALTIES)
    best = (tried == labels[seen:]).double().mean(1).argmax(0)
    factor = torch.arange(labels.shape[1], device=best.device)
    final = ridge(bank, labels, test, PENALTIES)
    return tried[best, :, factor].T, final[best, :, factor].T


def _scores(guess: Tensor, truth: Tensor) -> dict[str, float]:
    """Return the accuracy of every factor; both tensors are (n, f)."""
    shares = (guess == truth).double().mean(0).tolist()
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
    bank, truth = labels["train"], labels["test"]
    logits = seen["test"].pop("head", None)
    result: dict[str, Any] = {}
    for probe, guess in (("knn", _by_neighbours), ("linear", _by_ridge)):
        best, by_layer = -1.0, {}
        for key, test in seen["test"].items():
            end, final = guess(seen["train"][key], bank, test)
            scores = _scores(final, truth)
            by_layer[key] = scores["garment"]
            valid = _scores(end, bank[-VALIDATION:])["garment"]
            if valid > best:
                best, (layer, pooling) = valid, key.split()
                result[probe] = scores | {"layer": layer, "pooling": pooling}
        result[f"{probe}_by_layer"] = by_layer
    if logits is not None and logits.shape[1] == len(GARMENTS) ** 2:
        top = logits.argmax(1)
        guesses = torch.stack((top // 10, top % 10, top), 1)
        result["head"] = _scores(guesses, truth)
    return result
