"""Probes: what can be read out of frozen features.

- `knn`: the votes of the nearest neighbours, which ask nothing of a layer
  but that like images lie together;
- `ridge`: least squares on class indicators, in closed form, at some of the
  `PENALTIES`; `RidgeStatistics` keeps the sums of a stream and `RidgeFit` the
  solution;
- `logistic`: multinomial logistic regression; it returns `Logistic`, and
  warns of `NotConverged`;
- `attentive`: a classifier that learns which tokens to read; it returns
  `Attentive`;
- `readout`, `readouts`: any of them, with k or the penalty chosen on held-out
  images; they return `Readout`;
- `layerwise`: all layers of a model, in one pass over the images; it returns
  `Layerwise`;
- `targets_of`: what can be read out of an image set;
- `ConstantFeaturesError`: nothing can be read out of such features.
"""

from helpers.probes.attentive import Attentive, attentive
from helpers.probes.checks import ConstantFeaturesError
from helpers.probes.knn import knn
from helpers.probes.layerwise import Layerwise, layerwise
from helpers.probes.least_squares import RidgeFit
from helpers.probes.logistic import Logistic, NotConverged, logistic
from helpers.probes.ridge import PENALTIES, RidgeStatistics, ridge
from helpers.probes.selection import Readout, readout, readouts
from helpers.probes.targets import targets_of

__all__ = [
    "PENALTIES",
    "Attentive",
    "ConstantFeaturesError",
    "Layerwise",
    "Logistic",
    "NotConverged",
    "Readout",
    "RidgeFit",
    "RidgeStatistics",
    "attentive",
    "knn",
    "layerwise",
    "logistic",
    "readout",
    "readouts",
    "ridge",
    "targets_of",
]
