"""What a layer holds of each factor that an image was composed from.

Every factor of an image (its garment, its fabric, where the garment stands)
is read out of every layer by the same reader, ridge regression, and judged
on the same scale, its skill (see `helpers.probes.regression`). A layer is
read in two ways: the `mean` of its patch tokens, which says what is in the
image, and the means over four `quadrants`, which also say roughly where.

Only the lab's images come with factors; of all others only the class is
known. Do not use it to say what a network computes with: a factor that can
be read out may be of no use to it.
"""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from helpers import features
from helpers.features.arguments import checked
from helpers.features.layer_selection import depth
from helpers.probes.checks import ConstantFeaturesError
from helpers.probes.regression import errors, regressions
from helpers.probes.skill import READINGS, Encoded, Errors, with_intervals
from helpers.probes.targets import check_sets

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel

SITES = ("out", "attn")
PIXELS = 8  # a side, of the images that the reader sees without a network
PENALTIES = tuple(4.0**k for k in range(-5, 10))


def known(images: Images) -> dict[str, Tensor]:
    """List what is known of each image, as targets of `regressions`.

    Returns:
        For the lab's scenes `garment` and `fabric` (n,), `position` (n, 2),
        `size` (n, 1), `tilt` (n, 1), `coarseness` (n, 1) and `hue` (n, 2):
        the sine and cosine of the background's hue, which is an angle. For
        other images `class` (n,).
    """
    given = {n: torch.as_tensor(v) for n, v in images.targets.items()}
    if not {"garment", "fabric", "hue"} <= given.keys():
        return {"class": given["class"]}
    hue = 2 * math.pi * given["hue"].double()
    return {
        "garment": given["garment"],
        "fabric": given["fabric"],
        "position": torch.stack([given["x"], given["y"]], 1),
        "size": given["size"][:, None],
        "tilt": given["tilt"][:, None],
        "hue": torch.stack([hue.sin(), hue.cos()], 1),
        "coarseness": given["coarseness"][:, None],
    }


@checked
def encoded(
    model: VisionModel,
    train: Images,
    test: Images,
    batch_size: int = 250,
    seed: int = 0,
) -> Encoded:
    """Read every factor out of every block of a model, in one pass.

    Args:
        model: the model; ViTs are read after each block and at its attention
            branch (what attention adds to the residual stream), all others
            after each block.
        train: the bank that the reader is fitted to.
        test: the images that it is tested on; nothing is chosen by these.
        batch_size: images of a forward pass.
        seed: which images are held out, and how the test images are drawn.

    Raises:
        ValueError: images in both sets, tokens that form no grid, classes
            without an image in the bank, factors without spread.

    Warns:
        UserWarning: layers with constant features, whose rows are NaN.
    """
    check_sets(train, test)
    truth = known(train), known(test)
    words = {name.rsplit(".", 1)[-1] for name in model.taps}
    sites = [site for site in SITES if site in words]
    way = partial(_summaries, grid=model.grid, prefix=model.prefix_tokens)
    both = [
        features.pooled(
            model, part, ",".join(sites), ["each"], batch_size, way
        )
        for part in (train, test)
    ]
    rows, missed = [], []
    blocks = dict.fromkeys(sites, 0)
    for key in list(both[0]):
        bank, queries = (part.pop(key).to(model.device) for part in both)
        layer = key[0]
        site = layer.rsplit(".", 1)[-1]
        blocks[site] += 1
        where = {"layer": layer, "site": site, "block": blocks[site]}
        where["depth"] = depth(model, layer)
        for reading, part in (
            ("quadrants", slice(1, None)),
            ("mean", slice(0, 1)),
        ):
            place = {"model": model.name, **where, "reading": reading}
            got = _read(
                bank[:, part].flatten(1),
                queries[:, part].flatten(1),
                truth,
                seed,
                f"{layer} ({reading})",
            )
            rows += [place | row for row, _ in got]
            missed += [errors for _, errors in got]
    return with_intervals(rows, missed, seed, model=model.spec)


@checked
def pixels(
    model: VisionModel,
    train: Images,
    test: Images,
    batch_size: int = 250,
    seed: int = 0,
) -> Encoded:
    """Read every factor out of the images without a network, as a floor.

    The features are the 8 x 8 means of the pixels, 192 numbers, of the
    images as they are prepared for a model.

    Args:
        model: whose preparation to use.
        train: as in `encoded`.
        test: as in `encoded`.
        batch_size: images prepared at once.
        seed: as in `encoded`.
    """
    check_sets(train, test)
    bank, queries = (
        torch.cat(
            [
                F.adaptive_avg_pool2d(x, PIXELS).flatten(1)
                for _, (x,) in part.batches(model, batch_size=batch_size)
            ]
        )
        for part in (train, test)
    )
    name = f"{PIXELS} x {PIXELS} pixels"
    place = {"model": name, "layer": "pixels", "site": "pixels", "block": 0}
    place |= {"depth": 0.0, "reading": READINGS[0]}
    got = _read(bank, queries, (known(train), known(test)), seed, name)
    rows = [place | row for row, _ in got]
    return with_intervals(rows, [e for _, e in got], seed, model=name)


def _summaries(
    value: Tensor, grid: tuple[int, ...] | None, prefix: int
) -> Tensor:
    """Pool tokens (n, tokens, d) to their mean and four quadrants.

    Returns:
        (n, 5, d): the mean of all patches, then of each quadrant, row by row.
        Quadrants of a grid with an odd side share its middle row.
    """
    tokens = value[:, prefix:] if grid else value
    side = math.isqrt(tokens.shape[1])
    height, width = grid or (side, side)
    if height * width != tokens.shape[1]:
        raise ValueError(
            f"{tokens.shape[1]} tokens form no square grid, so they have no "
            "quadrants; choose a ViT, a Mixer or a CNN on square images"
        )
    patches = tokens.mT.reshape(len(tokens), -1, height, width)
    quarters = F.adaptive_avg_pool2d(patches, 2).flatten(2)
    return torch.cat([tokens.mean(1, keepdim=True), quarters.mT], 1)


def _read(
    bank: Tensor,
    queries: Tensor,
    truth: tuple[dict[str, Tensor], dict[str, Tensor]],
    seed: int,
    where: str,
) -> list[tuple[dict[str, Any], Errors]]:
    """Read all factors out of one layer: what its rows say, and the errors."""
    seen, asked = truth
    try:
        found = regressions(bank, seen, queries, PENALTIES, seed=seed)
    except ConstantFeaturesError:
        warnings.warn(
            f"{where} is the same for all images: its rows are NaN",
            stacklevel=3,
        )
        lost = torch.full((len(queries),), torch.nan)
        none = {"penalty": np.nan, "held_out": np.nan}
        return [({"factor": name} | none, (lost, lost)) for name in seen]
    rows = []
    for name, fit in found.items():
        said = {
            "factor": name,
            "penalty": fit.penalty,
            "held_out": fit.tried[fit.penalty],
        }
        wrong = errors(fit.scores, asked[name]).cpu()
        rows.append((said, (wrong, errors(fit.constant, asked[name]).cpu())))
    return rows
