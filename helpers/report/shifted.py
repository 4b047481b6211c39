"""How far shifted images lie, and what probes keep under shift.

Unlike in Odonnat et al. 2026, probes are fitted to unchanged images: the
shift is one between training and test images. The pages on shift measure what
a probe can do that was fitted to the shifted ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from helpers.intervals.estimates import Estimate, share
from helpers.measures import shift
from helpers.probes import modules as module_probes
from helpers.probes.samples import Sample
from helpers.report.parts import Part, curve
from helpers.report.probed import TOKENS, best, outputs
from helpers.runtime.arrays import Floats

if TYPE_CHECKING:
    from helpers.images.image_set import Images

FEWEST = 40  # images that the interval of a distance needs


def distances(pooled: Sequence[Sample]) -> Part:
    """Measure how far images lie from the bank, after the last block.

    Returns:
        One row per set, `panel` its name: the squared distance of the means
        (linear MMD, without bias), in units of the variance of the features
        of the bank, with its interval.
    """
    if len(pooled) < 2:
        return Part(note="no shifted images were named")
    key = list(pooled[-1].test)[-1]
    home = pooled[0].bank[key].double()
    spread = float(home.var(0).sum())
    fewest = min(len(sample.labels) for sample in pooled)
    if fewest < FEWEST or spread == 0:
        few = f"needs {FEWEST} images, got {fewest}"
        why = few if spread else "needs features that vary"
        return Part(note=f"the distance of shifted images {why}")
    unit = spread**0.5
    far = [
        shift.distance(sample.test[key] / unit, home / unit, "mmd")
        for sample in pooled
    ]
    layer = [key[0]] * len(far)
    curves = curve(layer, pooled[0].depths[key[0]], *_columns(far))
    number = "distance of shifted images, in variances"
    numbers = {number: float(curves.value[1:].mean())}
    return Part(numbers, curves.assign(panel=_names(pooled)))


def under_shift(
    pooled: Sequence[Sample], sets: Sequence[Images], seed: int = 0
) -> Part:
    """Ask probes of every block about images unlike those of the fit.

    Args:
        pooled: what `pool` returned.
        sets: its sets; those with other values of the target are left out.
        seed: which images of the bank are held out.

    Returns:
        A curve per set, `panel` its name, with 95 % intervals of accuracy. The
        numbers are of the block that is best on held-out images, in the mean
        over the shifted sets: the share of its accuracy that is kept, NaN
        where it is no better than chance, and its lead over the last block.
    """
    first, target = pooled[0], pooled[0].target
    known = sets[0].target_names[target]
    alike = [
        sample
        for sample, images in zip(pooled, sets, strict=True)
        if images.target_names.get(target) == known
    ]
    other = [sample.spec for sample in pooled if sample not in alike]
    note = f"no such {target} in {', '.join(other)}" if other else ""
    if len(alike) < 2:
        return Part(note=note or "no shifted images were named")
    asked = {
        key: torch.cat([sample.test[key] for sample in alike])
        for key in pooled[-1].test
    }
    truth = torch.cat([sample.labels for sample in alike])
    every = replace(outputs(first), test=asked, labels=truth)
    found = module_probes.probe(every, TOKENS, "ridge", seed=seed)
    row = best(found)
    block = list(found.table.layer).index(row["layer"])
    cuts = np.cumsum([len(sample.labels) for sample in alike])[:-1]
    right = np.split(found.right, cuts)
    place = found.table.layer, found.table.depth
    curves = [
        curve(*place, *_columns(map(share, part.T))).assign(panel=name)
        for name, part in zip(_names(alike), right, strict=True)
    ]
    start, *rest = (part[:, block].mean() for part in right)
    last = np.mean([part[:, -1].mean() for part in right[1:]])
    kept = f"accuracy kept under shift, {target}"
    share_kept = float(np.mean(rest) / start) if start else np.nan
    lead = float(np.mean(rest) - last)
    if share(right[0][:, block]).low <= 1 / len(known):
        share_kept = np.nan
        level = f"no probe for {target} above chance, of which to keep a share"
        note = "; ".join(filter(None, [note, level]))
    numbers = {kept: share_kept, "lead over the last block under shift": lead}
    return Part(numbers, pd.concat(curves, ignore_index=True), note)


def _names(pooled: Sequence[Sample]) -> list[str]:
    """Name sets for a chart: variants without what they are variants of."""
    first, *rest = (sample.spec for sample in pooled)
    return ["unchanged", *(s.removeprefix(first).lstrip(":+") for s in rest)]


def _columns(estimates: Iterable[Estimate]) -> Floats:
    """Write estimates as three rows: values, lower and upper bounds."""
    return np.array([(e.value, e.low, e.high) for e in estimates]).T
