"""Probes: what can be read out of frozen features.

- `knn`: the votes of the nearest neighbours, which ask nothing of a layer
  but that like images lie together;
- `ridge`: least squares on class indicators, in closed form;
- `logistic`: multinomial logistic regression;
- `readout`: any of them, with k or the penalty chosen on held-out images.
"""

from helpers.probing.knn import knn
from helpers.probing.logistic import Logistic, NotConverged, logistic
from helpers.probing.readout import Readout, readout, readouts
from helpers.probing.ridge import PENALTIES, RidgeFit, RidgeStatistics, ridge

__all__ = [
    "PENALTIES",
    "Logistic",
    "NotConverged",
    "Readout",
    "RidgeFit",
    "RidgeStatistics",
    "knn",
    "logistic",
    "readout",
    "readouts",
    "ridge",
]
