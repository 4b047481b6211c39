"""What can be read from a model and where, as parts of a report.

Ridge probes of Odonnat et al. 2026 on the mean patch or position, of which
there is one in every family; a block is chosen on training images that were
held out of the fit.

Do not compare accuracies of different banks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from helpers import features
from helpers.probes import modules as module_probes
from helpers.probes import samples
from helpers.probes.modules import MODULES, Probed
from helpers.probes.samples import Sample
from helpers.probes.targets import labels
from helpers.report.parts import Part

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel

TOKENS = "patches"
COLUMNS = ["layer", "depth", "value", "low", "high"]


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
    modules = ",".join(module_probes.modules(model))
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
        A curve per target, with 95 % intervals.

    Raises:
        ValueError: no block varies over the images.
    """
    numbers, curves = {}, []
    for target in targets:
        known, truth = labels(bank, asked, target)
        asking = replace(
            outputs(sample), target=target, bank_labels=known, labels=truth
        )
        found = module_probes.probe(asking, TOKENS, "ridge", seed=seed)
        row = best(found)
        numbers[f"accuracy on {target}, best block"] = float(row["accuracy"])
        numbers[f"depth of that block, {target}"] = float(row["depth"])
        table = found.table.rename(columns={"accuracy": "value"})
        curves.append(table[COLUMNS].assign(panel=target))
    return Part(numbers, pd.concat(curves, ignore_index=True))


def by_module(found: Probed) -> Part:
    """Reduce probes of all modules to the best block of each.

    Args:
        found: what `modules.probe` says of a sample.

    Returns:
        One row per module, `panel` its name.
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


def outputs(sample: Sample) -> Sample:
    """Leave the outputs of blocks, of all modules."""
    bank, test = (
        {key: x for key, x in part.items() if key[0].endswith(".out")}
        for part in (sample.bank, sample.test)
    )
    return replace(sample, bank=bank, test=test)
