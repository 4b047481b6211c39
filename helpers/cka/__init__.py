"""Centred kernel alignment (CKA): the ruler of the book.

- `measure`: the CKA of all pairs of layers of two models, as a map;
- `measure_pairs`: the maps of several pairs of models, in one pass;
- `compare`: the same as `measure`, as a table;
- `Comparison`: a map, and how it was measured;
- `thinned`: so few layers of a map that it can be drawn;
- `MinibatchCKA`: the estimator, for features of your own;
- `Similarity`: what the estimator has measured;
- `gram`, `hsic1`: the Gram matrix and the unbiased HSIC below it.

What a map says, as numbers, is in `helpers.cka.statistics`.
"""

from helpers.cka.comparison import Comparison, Similarity, thinned
from helpers.cka.hsic import gram, hsic1
from helpers.cka.measure import compare, measure, measure_pairs
from helpers.cka.minibatch import MinibatchCKA

__all__ = [
    "Comparison",
    "MinibatchCKA",
    "Similarity",
    "compare",
    "gram",
    "hsic1",
    "measure",
    "measure_pairs",
    "thinned",
]
