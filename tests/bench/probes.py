"""Time the probes against the matrix products that they cannot do without.

`make bench` prints, measured in one process with the contenders taking turns:
nearest neighbours over the bare product of queries and bank, and over
scikit-learn; ridge regression over the bare X'X of its layers.

One thread, and CPU seconds rather than wall time, so that other work on the
machine disturbs little; of each contender the quietest round counts.
"""

import gc
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from helpers import probes

WIDTH, CLASSES, ROUNDS = 768, 100, 10
BANK, QUERIES = 10_000, 2_000
IMAGES, LAYERS = 20_000, 12
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)


def seconds(calls: dict[str, Callable[[], object]], rounds: int):
    """Least CPU seconds of each call; the first round warms up."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if turn:
                spent[name].append(time.process_time() - start)
            gc.collect()
    return {name: min(each) for name, each in spent.items()}


def neighbours() -> None:
    """Print what 20 nearest neighbours cost."""
    bank, queries = torch.randn(BANK, WIDTH), torch.randn(QUERIES, WIDTH)
    labels = torch.randint(CLASSES, (BANK,))
    theirs = KNeighborsClassifier(
        20,
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: np.exp((1 - distance) / 0.07),
    )
    theirs.fit(bank.numpy(), labels.numpy())
    spent = seconds(
        {
            "product": lambda: queries @ bank.T,
            "knn": lambda: probes.knn(bank, labels, queries),
            "scikit-learn": lambda: theirs.predict_proba(queries.numpy()),
        },
        ROUNDS,
    )
    ours = spent["knn"]
    print(
        f"20 nearest neighbours, bank {BANK} x {WIDTH}, {QUERIES} queries: "
        f"{ours:.3f} s; {ours / spent['product']:.2f} times the bare product "
        f"(goal 1.3); scikit-learn takes {spent['scikit-learn'] / ours:.1f} "
        "times as long (goal 2)"
    )


def ridge() -> None:
    """Print what ridge regression costs, all layers and penalties."""
    layers = [torch.randn(IMAGES, WIDTH) for _ in range(LAYERS)]
    queries = torch.randn(QUERIES, WIDTH)
    labels = torch.randint(CLASSES, (IMAGES,))
    spent = seconds(
        {
            "products": lambda: [x.T @ x for x in layers],
            "ridge": lambda: [
                probes.ridge(x, labels, queries, PENALTIES) for x in layers
            ],
        },
        2,
    )
    print(
        f"ridge, {IMAGES} x {WIDTH}, {CLASSES} classes, {len(PENALTIES)} "
        f"penalties, {QUERIES} queries, {LAYERS} layers: "
        f"{spent['ridge']:.2f} s; {spent['ridge'] / spent['products']:.2f} "
        "times the bare X'X (goal 4)"
    )


def main() -> None:
    """Print both."""
    torch.manual_seed(0)
    print("\ncpu: probes, float32, one thread")
    with threadpool_limits(1):
        neighbours()
        ridge()
