"""How sure a measured number is: estimates with 95 % intervals.

- `Estimate`: an effect with its confidence interval;
- `estimate`: a function of CKA maps;
- `jackknife`: a function of minibatch statistics;
- `mean`, `bootstrap`: independent values and images;
- `share`: answers that are right or wrong;
- `gap`, `trend`, `across`: what is measured on several data sets;
- `interval`, `curve`: functions of draws of the test images.

Pages reach them through `helpers.claims`.
"""

from helpers.intervals.draws import curve, interval
from helpers.intervals.estimates import (
    Estimate,
    bootstrap,
    estimate,
    jackknife,
    mean,
    share,
)
from helpers.intervals.trends import across, gap, trend

__all__ = [
    "Estimate",
    "across",
    "bootstrap",
    "curve",
    "estimate",
    "gap",
    "interval",
    "jackknife",
    "mean",
    "share",
    "trend",
]
