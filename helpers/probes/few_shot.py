"""Ridge probes on a few images a class, and the images each one takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.probes.checks import ConstantFeaturesError
from helpers.probes.ridge import PENALTIES, RidgeStatistics


@dataclass(frozen=True)
class Shots:
    """Which images each repetition of a probe takes.

    Attributes:
        banks: (repetitions, classes * shots) images to fit to, none twice.
        held: the training images in no bank, to choose the penalty by.
        queries: a part of the test images each.
    """

    banks: Tensor
    held: Tensor
    queries: list[Tensor]


def draw(
    labels: Tensor,
    classes: int,
    queries: int,
    shots: int,
    repetitions: int,
    seed: int = 0,
) -> Shots:
    """Deal training and test images out to repetitions that share none.

    Args:
        labels: (m,) class of each training image.
        classes: number of classes.
        queries: number of test images.
        shots: training images a class and repetition.
        repetitions: how many.
        seed: of the deal.

    Raises:
        ValueError: too few training images of a class, or test images.
    """
    needed = shots * repetitions
    counts = torch.bincount(labels, minlength=classes)
    if shots < 1 or int(counts.min()) <= needed:
        raise ValueError(
            f"{repetitions} repetitions of {shots} shots need more than "
            f"{needed} training images a class, but one has "
            f"{int(counts.min())}; give more images or fewer repetitions"
        )
    if not 2 <= repetitions <= queries:
        raise ValueError(
            f"repetitions must lie between 2 and the {queries} test images, "
            f"got {repetitions}"
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    of_class = [order[labels[order] == y] for y in range(len(counts))]
    dealt = torch.stack([mine[:needed] for mine in of_class])
    banks = dealt.reshape(len(counts), repetitions, shots).transpose(0, 1)
    return Shots(
        banks.reshape(repetitions, -1),
        torch.cat([mine[needed:] for mine in of_class]),
        list(
            torch.randperm(queries, generator=generator).tensor_split(
                repetitions
            )
        ),
    )


def few_shot(
    features: Sequence[Tensor], labels: Sequence[Tensor], deal: Shots
) -> list[dict[str, float]]:
    """Fit a ridge probe to a few images, once a repetition.

    Args:
        features: (m, d) of the training and (n, d) of the test images.
        labels: (m,) and (n,) their classes.
        deal: the images of each repetition.

    Returns:
        For each repetition `accuracy` on its test images and the `penalty`
        that does best on the held images, the largest of equals.
    """
    (x, asked), (y, answers) = features, labels
    largest_first = sorted(PENALTIES, reverse=True)
    found = []
    for bank, part in zip(deal.banks, deal.queries, strict=True):
        fit = RidgeStatistics([int(y.max()) + 1]).update(x[bank], y[bank])
        try:
            solved = fit.solve()
        except ConstantFeaturesError:
            found.append({"accuracy": math.nan, "penalty": math.nan})
            continue
        held, known = x[deal.held], y[deal.held]
        tried = (solved.scores(held, [p])[0].argmax(1) for p in largest_first)
        right = [int((guess == known).sum()) for guess in tried]
        penalty = largest_first[right.index(max(right))]
        chosen = solved.scores(asked[part], [penalty])[0].argmax(1)
        accuracy = float((chosen == answers[part]).double().mean())
        found.append({"accuracy": accuracy, "penalty": penalty})
    return found
