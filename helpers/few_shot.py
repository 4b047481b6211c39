"""Few-shot probes: what a handful of labelled images reads out of a layer.

A probe that sees ten images a class measures how readily a layer gives a
class away, more than whether it holds it at all. One draw of ten images says
little, so there are several: draws and queries share no image, and the spread
over them is that of the whole measurement.

Do not compare accuracies across numbers of classes or shots. With hundreds of
labelled images a class `helpers.probes` alone is the better tool.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from helpers import features, probes
from helpers.choices import unknown
from helpers.images import Images
from helpers.layers import Tokens, depth
from helpers.models import VisionModel

SHOTS = 10


def labels(images: Images, target: str = "class") -> torch.Tensor:
    """Return the classes to be told apart, (n,).

    Args:
        images: an image set.
        target: which of its categorical targets.

    Raises:
        ValueError: the images have no such target, or it has no classes.
    """
    if target not in images.target_names:
        raise unknown(
            f"categorical target of {images.spec}", target, images.target_names
        )
    return torch.as_tensor(images.targets[target], dtype=torch.int64)


def draws(
    images: Images,
    shots: int = SHOTS,
    count: int = 1,
    target: str = "class",
    seed: int = 0,
) -> list[Images]:
    """Draw as many images of every class, several times over.

    Args:
        images: what to draw from, a training split.
        shots: images a class and draw.
        count: draws; no image is in two of them.
        target: which categorical target names the classes.
        seed: which draws.

    Returns:
        One image set a draw.

    Raises:
        ValueError: an unknown target, or a class of too few images.
    """
    y = labels(images, target).numpy()
    names = images.target_names[target]
    order = np.random.default_rng(seed).permutation(len(y))
    chosen = []
    for number, name in enumerate(names):
        mine = order[y[order] == number]
        if shots < 1 or count < 1 or len(mine) < shots * count:
            raise ValueError(
                f"{count} draws of {shots} images a class need "
                f"{shots * count} images of {name!r}; {images.spec} has "
                f"{len(mine)}"
            )
        chosen.append(mine[: shots * count].reshape(count, shots))
    return [_subset(images, rows) for rows in np.hstack(chosen)]


def cut(images: Images, count: int) -> list[Images]:
    """Cut an image set into parts of equal size; a rest is left out.

    Raises:
        ValueError: fewer images than parts.
    """
    size = len(images) // count
    if size < 1:
        raise ValueError(f"{len(images)} images do not make {count} parts")
    rows = np.arange(size * count).reshape(count, size)
    return [_subset(images, part) for part in rows]


def accuracy(
    model: VisionModel,
    banks: Sequence[Images],
    queries: Sequence[Images],
    target: str = "class",
    layers: str = "out",
    tokens: Tokens = "mean",
) -> pd.DataFrame:
    """Measure the accuracy of a few-shot ridge probe in every layer.

    The penalty is chosen on images held out of the draw, from 2^-10 to 2^19
    (Raghu et al. 2021, section 8).

    Args:
        model: the model, frozen.
        banks: the draws, see `draws`.
        queries: an image set to be classified for each draw, see `cut`.
        target: which categorical target names the classes.
        layers: which layers, see `helpers.layers.names`.
        tokens: how tokens become one vector, see `helpers.layers.record`.

    Returns:
        One row a layer and draw: `model`, `layer`, `depth`, `draw`,
        `accuracy` (a share).

    Raises:
        ValueError: an unknown target or layer, or features that are the same
            for all images.
    """
    rows = []
    pairs = zip(banks, queries, strict=True)
    for number, (bank, asked) in enumerate(pairs):
        known, truth = labels(bank, target), labels(asked, target)
        x, q = (
            features.extract(model, part, layers, tokens)
            for part in (bank, asked)
        )
        for layer in x:
            found = probes.readout(
                torch.from_numpy(x[layer]),
                known,
                torch.from_numpy(q[layer]),
                "ridge",
                seed=number,
            )
            right = found.scores.argmax(1) == truth
            rows.append(
                {
                    "model": model.name,
                    "layer": layer,
                    "depth": depth(model, layer),
                    "draw": number,
                    "accuracy": right.double().mean().item(),
                }
            )
    table = pd.DataFrame(rows)
    table.attrs.update(
        model=model.spec,
        bank=banks[0].spec,
        queries=queries[0].spec,
        target=target,
        shots=len(banks[0]) // len(banks[0].target_names[target]),
        tokens=tokens,
    )
    return table


def averaged(table: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Average accuracies over the draws, with standard errors.

    Args:
        table: as `accuracy` writes it, of any number of models.
        *by: further columns that tell measurements apart.

    Returns:
        One row a model and layer: those columns, `model`, `layer`, `depth`,
        `accuracy`, `se` (NaN of a single draw).
    """
    groups = table.groupby([*by, "model", "layer", "depth"], sort=False)
    found = groups["accuracy"].agg(accuracy="mean", se="sem")
    return found.reset_index()


def middle(table: pd.DataFrame) -> pd.Series:
    """Average the accuracy over the middle third of the layers, by draw.

    Args:
        table: as `accuracy` writes it, of one model.
    """
    layers = table["layer"].unique()
    chosen = np.array_split(layers, 3)[1]
    part = table[table["layer"].isin(chosen)]
    return part.groupby("draw")["accuracy"].mean()


def _subset(images: Images, rows: ArrayLike) -> Images:
    at = np.asarray(rows)
    return replace(
        images,
        labels=images.labels[at],
        targets={name: values[at] for name, values in images.targets.items()},
        index=images.index[at],
    )
