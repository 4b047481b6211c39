"""How sure a measured number is: estimates with 95 % intervals.

- `Estimate`: an effect with its confidence interval;
- `infer`: the interval that fits what an effect is computed from;
- `estimate`: a function of CKA maps;
- `jackknife`: a function of averages over minibatches or images;
- `mean`, `bootstrap`: independent values and images;
- `smallest`, `largest`: of several effects, for claims about every cell;
- `share`: answers that are right or wrong;
- `gap`, `trend`, `across`: what is measured on several data sets;
- `interval`, `curve`: functions of draws of the test images.

A room of its own, below the measures, which give their numbers with an
interval too. Pages reach all of it through `helpers.claims`.
"""

from helpers.intervals.estimates import Estimate, jackknife, mean, share
from helpers.intervals.extremes import largest, smallest
from helpers.intervals.inference import infer
from helpers.intervals.resampling import (
    across,
    bootstrap,
    curve,
    estimate,
    interval,
)
from helpers.intervals.trends import gap, trend

__all__ = [
    "Estimate",
    "across",
    "bootstrap",
    "curve",
    "estimate",
    "gap",
    "infer",
    "interval",
    "jackknife",
    "largest",
    "mean",
    "share",
    "smallest",
    "trend",
]
