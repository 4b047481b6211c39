"""What can be read from a model, as parts of a report: by layer, under shift.

Ridge probes on the mean patch or position of each block, of which there is
one in every family. Do not compare accuracies of different banks; the pages
on probes compare token choices and sublayers as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from helpers import claims, features, probes
from helpers.battery import Part, curve
from helpers.minibatch import Floats

if TYPE_CHECKING:
    from helpers.claims import Estimate
    from helpers.images import Images
    from helpers.models import VisionModel

TOKENS = "patches"


def by_layer(
    model: VisionModel,
    bank: Images,
    queries: Images,
    targets: Sequence[str],
    batch_size: int = 32,
    seed: int = 0,
) -> Part:
    """Probe every block by ridge regression on its mean patch.

    Returns:
        A curve a target, with 95 % intervals, and the column `held_out`, the
        accuracy to choose a layer by.
    """
    found = probes.layerwise(
        model,
        bank,
        queries,
        tokens=[TOKENS],
        probes=["ridge"],
        targets=targets,
        batch_size=batch_size,
        seed=seed,
    ).table.rename(columns={"accuracy": "value", "target": "panel"})
    columns = ["layer", "depth", "value", "low", "high", "panel", "held_out"]
    numbers = {}
    for target in targets:
        row = best(found, target)
        numbers[f"accuracy on {target}, best layer"] = float(row["value"])
        numbers[f"depth of that layer, {target}"] = float(row["depth"])
    return Part(numbers, found[columns])


def best(curves: pd.DataFrame, target: str) -> pd.Series:
    """Choose a layer by the held-out images of the bank.

    Args:
        curves: those of `by_layer`.
        target: one of its panels.

    Raises:
        ValueError: no layer varies over the images.
    """
    rows = curves[(curves.panel == target) & curves.value.notna()]
    if rows.empty:
        raise ValueError(f"no layer varies, so none tells {target!r}")
    return rows.iloc[int(np.argmax(rows.held_out))]


def under_shift(
    model: VisionModel,
    bank: Images,
    sets: Sequence[Images],
    layer: str,
    target: str,
    batch_size: int = 32,
    seed: int = 0,
) -> Part:
    """Ask a probe about images unlike those that it was fitted to.

    Args:
        model: the model.
        bank: the images that the probe is fitted to.
        sets: unchanged images first, then shifted ones.
        layer: the layer that is probed.
        target: what is asked; sets with other values of it are left out.
        batch_size: images of a forward pass.
        seed: which images of the bank choose the penalty.

    Returns:
        One row a set, `panel` its name, with 95 % intervals of accuracy. The
        number is the share of the accuracy that is kept, in the mean over
        the shifted sets; NaN where the probe is no better than chance.
    """

    def seen(images: Images) -> Tensor:
        (found,) = features.pooled(
            model, images, layer, [TOKENS], batch_size
        ).values()
        return found.to(model.device)

    known = bank.target_names[target]
    alike = [s for s in sets if s.target_names.get(target) == known]
    other = [s.spec for s in sets if s not in alike]
    note = f"no such {target} in {', '.join(other)}" if other else ""
    if len(alike) < 2:
        return Part(note=note or "no shifted images were named")
    labels = torch.as_tensor(bank.targets[target])
    queries = [seen(images) for images in alike]
    fit = probes.readout(
        seen(bank), labels, torch.cat(queries), "ridge", seed=seed
    )
    guess = np.split(
        fit.scores.argmax(1).cpu().numpy(),
        np.cumsum([len(images) for images in alike])[:-1],
    )
    right = [
        claims.mean(g == images.targets[target])
        for g, images in zip(guess, alike, strict=True)
    ]
    shared = f"{bank.spec}:"
    names = ["unchanged"] + [s.spec.removeprefix(shared) for s in alike[1:]]
    curves = curve([layer] * len(names), 0.0, *_columns(right))
    number = "accuracy kept under shift, " + target
    if right[0].low <= 1 / len(known):
        level = f"no probe for {target} above chance, of which to keep a share"
        note = "; ".join(filter(None, [note, level]))
        return Part({number: np.nan}, curves.assign(panel=names), note)
    start, *rest = curves.value
    kept = {number: float(np.mean(rest) / start)}
    return Part(kept, curves.assign(panel=names), note)


def _columns(estimates: Sequence[Estimate]) -> Floats:
    """Write estimates as three rows: values, lower and upper bounds."""
    return np.array([list(vars(e).values()) for e in estimates]).T
