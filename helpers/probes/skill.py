"""Skills of the layers of a model, with intervals for any function of them.

Test images are drawn again a thousand times, the same draws for all models,
layers and factors: so what a page makes of skills (a difference of models, a
mean over blocks, a share) has an interval as well, at no cost. Percentile
bootstrap (Efron 1979).

The intervals cover the test images alone. Do not read them as saying what
another bank, or another training of the model, would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from helpers.intervals.estimates import TAILS
from helpers.runtime.arrays import Floats
from helpers.runtime.errors import unknown

READINGS = ("quadrants", "mean")
REPEATS = 1000  # draws of the test images
KEYS = ("site", "reading", "factor")
Errors = tuple[Tensor, Tensor]  # (n,) of the reader and of a constant guess


@dataclass(frozen=True, eq=False)
class Encoded:
    """How well factors can be read out of the layers of a model.

    Attributes:
        table: one row per layer, reading and factor: `skill` on the test
            images between `low` and `high` (95 %, bootstrap over test
            images), and `held_out`, the skill on images of the bank by which
            to choose among layers. `site` is `out` (a block's output), `attn`
            (its attention branch) or `pixels`; `block` counts from 1.
        draws: (1 + repeats, rows) skill of each row, on the test images and
            on each draw of them.
    """

    table: pd.DataFrame
    draws: Floats

    def skill(
        self, factor: str, site: str = "out", reading: str = READINGS[0]
    ) -> Floats:
        """Give out the skills of one factor, block by block.

        Returns:
            (1 + repeats, blocks): on the test images, then on each draw of
            them. The draws are those of every other model that was measured
            on as many test images.

        Raises:
            ValueError: no such factor, site or reading; names the nearest.
        """
        chosen = np.ones(len(self.table), bool)
        for key, value in zip(KEYS, (site, reading, factor), strict=True):
            valid = dict.fromkeys(self.table[key])
            if value not in valid:
                raise unknown(key, value, valid)
            chosen &= (self.table[key] == value).to_numpy()
        return self.draws[:, chosen]


def with_intervals(
    rows: Sequence[dict[str, Any]],
    missed: Sequence[Errors],
    seed: int,
    **attrs: Any,
) -> Encoded:
    """Turn errors into skills, on the test images and on draws of them.

    Args:
        rows: what is to be said of each row of the table.
        missed: for each row the errors on the test images.
        seed: which draws.
        **attrs: how it was measured.
    """
    count = len(missed[0][0])
    times = np.random.default_rng(seed).multinomial(
        count, np.full(count, 1 / count), size=REPEATS
    )
    times = np.vstack([np.ones((1, count)), times])
    wrong, constant = (
        times @ torch.stack(part, 1).double().numpy()
        for part in zip(*missed, strict=True)
    )
    draws = 1 - wrong / np.where(constant > 0, constant, np.nan)
    table = pd.DataFrame(rows).assign(skill=draws[0])
    table["low"], table["high"] = np.quantile(draws[1:], TAILS, axis=0)
    table.attrs.update(attrs, test=count, repeats=REPEATS)
    return Encoded(table, draws)
