"""Probes: what can be read out of frozen features.

- `knn`: the votes of the nearest neighbours, which ask nothing of a layer
  but that like images lie together;
- `ridge`: least squares on class indicators, in closed form;
- `logistic`: multinomial logistic regression;
- `readout`: any of them, with k or the penalty chosen on held-out images;
- `layerwise`: all layers of a model, in one pass over the images.

This module is the way in; the probes themselves, in `helpers.probing`, need
nothing but torch.
"""

from helpers.layerwise import Layerwise, layerwise
from helpers.probing.inputs import ConstantFeaturesError
from helpers.probing.knn import knn
from helpers.probing.least_squares import RidgeFit
from helpers.probing.logistic import Logistic, NotConverged, logistic
from helpers.probing.readout import Readout, readout, readouts
from helpers.probing.ridge import PENALTIES, RidgeStatistics, ridge
from helpers.targets import targets_of

__all__ = [
    "PENALTIES",
    "ConstantFeaturesError",
    "Layerwise",
    "Logistic",
    "NotConverged",
    "Readout",
    "RidgeFit",
    "RidgeStatistics",
    "knn",
    "layerwise",
    "logistic",
    "readout",
    "readouts",
    "ridge",
    "targets_of",
]
