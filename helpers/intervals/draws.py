"""Intervals of what was computed on draws of the test images.

`helpers.probes.skill` draws the test images once for all models, layers and
factors; any function of its draws gets its interval here.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from helpers.intervals.estimates import Estimate, percentiles
from helpers.runtime.arrays import Floats


def interval(draws: Floats) -> Estimate:
    """Estimate a function of skills with its 95 % percentile interval.

    Args:
        draws: (1 + repeats,) its value on the test images, then on each draw
            of them.
    """
    return percentiles(draws[0], draws[1:])


def curve(draws: Floats) -> pd.DataFrame:
    """Estimate a function of skills block by block.

    Args:
        draws: (1 + repeats, blocks), as `interval` takes them.

    Returns:
        One row a block: `block` from 1, `value`, `low`, `high`.
    """
    each = [vars(interval(column)) for column in draws.T]
    table = pd.DataFrame(each)
    table.insert(0, "block", np.arange(1, len(table) + 1))
    return table
