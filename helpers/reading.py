"""What can be read from a model, as parts of a report: where, under shift.

Ridge probes of Odonnat et al. 2026 on the mean patch or position, of which
there is one in every family; a block is chosen on training images that were
held out of the fit. Unlike in that paper, probes under shift are fitted to
unchanged images: the shift is one between training and test images. The pages
on shift measure what a probe can do that was fitted to the shifted ones.

Do not compare accuracies of different banks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from helpers import features, modulewise, samples, shift
from helpers.battery import Part, curve
from helpers.intervals import Estimate, share
from helpers.minibatch import Floats
from helpers.modulewise import MODULES, Probed
from helpers.samples import Sample
from helpers.targets import labels

if TYPE_CHECKING:
    from helpers.images import Images
    from helpers.models import VisionModel

TOKENS = "patches"
COLUMNS = ["layer", "depth", "value", "low", "high"]
FEWEST = 40  # images that the interval of a distance needs


def pool(
    model: VisionModel,
    bank: Images,
    sets: Sequence[Images],
    target: str,
    batch_size: int = 32,
) -> list[Sample]:
    """Pool the images of a report, each in one pass.

    Args:
        model: the model.
        bank: the images that probes are fitted to.
        sets: unchanged test images first, then shifted ones.
        target: what is to be read out.
        batch_size: images of a forward pass.

    Returns:
        A sample for each set, all with one bank: for the first of all modules
        of its blocks, for the others of the outputs of blocks. A set that
        does not have the target has its classes for labels.
    """
    modules = ",".join(modulewise.modules(model))
    first = samples.pool(
        *(model, bank, sets[0], modules, [TOKENS], target, batch_size)
    )
    found = [first]
    for images in sets[1:]:
        seen = features.pooled(model, images, "out", [TOKENS], batch_size)
        truth = images.targets.get(target, images.labels)
        answers = torch.as_tensor(truth)
        found.append(
            replace(first, spec=images.spec, test=seen, labels=answers)
        )
    return found


def by_layer(
    sample: Sample,
    bank: Images,
    asked: Images,
    targets: Sequence[str],
    seed: int = 0,
) -> Part:
    """Probe the output of every block.

    Args:
        sample: these images, pooled.
        bank: its training images.
        asked: its test images.
        targets: what is read out.
        seed: which images of the bank are held out.

    Returns:
        A curve a target, with 95 % intervals.

    Raises:
        ValueError: no block varies over the images.
    """
    numbers, curves = {}, []
    for target in targets:
        known, truth = labels(bank, asked, target)
        asking = replace(
            _outputs(sample), target=target, bank_labels=known, labels=truth
        )
        found = modulewise.probe(asking, TOKENS, "ridge", seed=seed)
        row = best(found)
        numbers[f"accuracy on {target}, best block"] = float(row["accuracy"])
        numbers[f"depth of that block, {target}"] = float(row["depth"])
        table = found.table.rename(columns={"accuracy": "value"})
        curves.append(table[COLUMNS].assign(panel=target))
    return Part(numbers, pd.concat(curves, ignore_index=True))


def by_module(found: Probed) -> Part:
    """Reduce probes of all modules to the best block of each.

    Args:
        found: what `modulewise.probe` says of a sample.

    Returns:
        One row a module, `panel` its name.
    """
    if found.table.module.nunique() < 2:
        return Part(
            note="probes of modules: the blocks of this network have none of "
            "the modules of a transformer block"
        )
    table = found.best().rename(columns={"accuracy": "value"})
    first = best(found)["accuracy"]
    output = table.value[table.module == MODULES["out"]]
    lead = float(first) - float(output.mean())
    target = found.table.attrs["target"]
    numbers = {
        f"accuracy on {target}, best module": float(first),
        "lead of that module over block outputs": lead,
    }
    return Part(numbers, table[COLUMNS].assign(panel=table.module))


def best(found: Probed) -> dict[str, Any]:
    """Choose a layer by the held-out images of the bank.

    Raises:
        ValueError: no layer varies over the images.
    """
    rows = found.best()
    if rows.empty:
        target = found.table.attrs["target"]
        raise ValueError(f"no layer varies, so none tells {target!r}")
    return dict(rows.iloc[int(rows.held_out.argmax())])


def distances(pooled: Sequence[Sample]) -> Part:
    """Measure how far images lie from the bank, after the last block.

    Returns:
        One row a set, `panel` its name: the squared distance of the means
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
        A curve a set, `panel` its name, with 95 % intervals of accuracy. The
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
    every = replace(_outputs(first), test=asked, labels=truth)
    found = modulewise.probe(every, TOKENS, "ridge", seed=seed)
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


def _outputs(sample: Sample) -> Sample:
    """Leave the outputs of blocks, of all modules."""
    bank, test = (
        {key: x for key, x in part.items() if key[0].endswith(".out")}
        for part in (sample.bank, sample.test)
    )
    return replace(sample, bank=bank, test=test)


def _names(pooled: Sequence[Sample]) -> list[str]:
    """Name sets for a chart: variants without what they are variants of."""
    first, *rest = (sample.spec for sample in pooled)
    return ["unchanged", *(spec.removeprefix(f"{first}:") for spec in rest)]


def _columns(estimates: Iterable[Estimate]) -> Floats:
    """Write estimates as three rows: values, lower and upper bounds."""
    return np.array([list(vars(e).values()) for e in estimates]).T
