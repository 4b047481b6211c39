"""Do two models give the same answers? Rank correlation and F1.

`kendall` compares how two models order the classes of an image, `f1` which
class they put first. Both compare answers, not representations: two models
that see an image differently may still answer alike. Do not read much into
either for models of low accuracy: there is little order in poor guesses.

Source: Shekhar et al. 2022, section 2.4 (figure 4 and the F1 in the text).
The paper says neither which tau nor which F1 it computes.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from helpers import intervals
from helpers.measures.f1 import READINGS, f1, whole_numbers
from helpers.measures.kendall import DEFINITIONS
from helpers.runtime.arrays import Bools, Floats, Ints
from helpers.runtime.errors import unknown

SUBSETS = ("all", "both right", "both wrong")


def taus(
    logits: Mapping[str, ArrayLike],
    ks: Sequence[int] = (5, 10),
    definition: str = "top",
) -> Floats:
    """Measure how alike each pair of models orders the top classes.

    Args:
        logits: model name to (n, classes), of the same images and classes.
        ks: how many classes are the top.
        definition: one of `kendall.DEFINITIONS`.

    Returns:
        (n, pairs, ks) tau of each image; pairs in the order of
        `itertools.combinations` of the names. NaN where one of the models
        gives all compared classes the same logit.

    Raises:
        ValueError: fewer than two models, logits of different shapes or not
            finite, k below 2 or above the number of classes, an unknown
            definition.
    """
    if definition not in DEFINITIONS:
        raise unknown("definition of tau", definition, DEFINITIONS)
    scores = _checked(logits)
    classes = next(iter(scores.values())).shape[1]
    if not len(ks):
        raise ValueError("there is no k to take the top classes of")
    for k in ks:
        if not 2 <= k <= classes:
            raise ValueError(
                f"the top-k of {classes} classes needs k from 2 to {classes}, "
                f"got {k}"
            )
    measure = DEFINITIONS[definition]
    return np.stack(
        [
            np.stack([measure(a, b, k) for k in ks], 1)
            for a, b in combinations(scores.values(), 2)
        ],
        1,
    )


def subsets(
    logits: Mapping[str, ArrayLike], labels: ArrayLike, common: bool = False
) -> Bools:
    """Tell which images both models of a pair classify right, or wrong.

    Args:
        logits: model name to (n, classes).
        labels: (n,) true classes.
        common: ask this of all models, so that all pairs have the same
            images, and not only of the two of a pair.

    Returns:
        (n, pairs, 3) membership in each of SUBSETS.
    """
    scores = _checked(logits)
    truth = _labels(labels, next(iter(scores.values())))
    right = np.stack([s.argmax(1) == truth for s in scores.values()], 1)
    everyone = range(right.shape[1])
    members = [
        right[:, everyone if common else pair]
        for pair in combinations(everyone, 2)
    ]
    return np.stack(
        [
            np.stack([np.ones(len(m), bool), m.all(1), ~m.any(1)], 1)
            for m in members
        ],
        1,
    )


def leads(taus: Floats, members: Bools) -> Floats:
    """Subtract the highest other pair from the first one.

    Args:
        taus: (n, pairs, ks) what `taus` returned.
        members: (n, pairs, subsets) what `subsets` returned.

    Returns:
        (ks, subsets) mean tau of the first pair minus the highest of the
        others; NaN where a pair has no image.

    Raises:
        ValueError: there is no other pair.
    """
    if taus.shape[1] < 2:
        raise ValueError("a lead over other pairs needs three models or more")
    defined = ~np.isnan(taus)
    counts = np.einsum("npk,nps->pks", defined, members, dtype=float)
    sums = np.einsum("npk,nps->pks", np.where(defined, taus, 0.0), members)
    with np.errstate(invalid="ignore"):
        means = sums / counts
    found: Floats = means[0] - means[1:].max(0)
    return found


def kendall(
    logits: Mapping[str, ArrayLike],
    labels: ArrayLike,
    ks: Sequence[int] = (5, 10),
    definition: str = "top",
) -> pd.DataFrame:
    """Average Kendall's tau over images, for all pairs of models.

    Args:
        logits: model name to (n, classes), of the same images and classes.
        labels: (n,) true classes.
        ks: how many classes are the top.
        definition: one of `kendall.DEFINITIONS`.

    Returns:
        One row per pair, k and subset: `tau`, the mean over the images with a
        defined tau, `se`, `low`, `high` (95 %, t over images), `images`.
        NaN where there are fewer than two images.

    Raises:
        ValueError: as `taus`, or labels that do not fit.
    """
    each = taus(logits, ks, definition)
    members = subsets(logits, labels)
    rows = [
        {"pair": f"{x}, {y}", "k": k, "subset": subset}
        | _mean(each[members[:, p, s], p, i])
        for p, (x, y) in enumerate(combinations(logits, 2))
        for i, k in enumerate(ks)
        for s, subset in enumerate(SUBSETS)
    ]
    table = pd.DataFrame(rows)
    table.attrs = {"definition": definition, "images": len(each)}
    return table


def _mean(values: Floats) -> dict[str, float]:
    values = values[~np.isnan(values)]
    if len(values) < 2:
        none = dict.fromkeys(("tau", "se", "low", "high"), np.nan)
        return none | {"images": len(values)}
    found = intervals.mean(values)
    return {
        "tau": found.value,
        "se": float(values.std(ddof=1) / np.sqrt(len(values))),
        "low": found.low,
        "high": found.high,
        "images": len(values),
    }


def f1_table(
    logits: Mapping[str, ArrayLike], labels: ArrayLike, repeats: int = 1000
) -> pd.DataFrame:
    """Compute F1 between the first choices of all pairs, in all readings.

    Args:
        logits: model name to (n, classes), of the same images and classes.
        labels: (n,) true classes.
        repeats: bootstrap samples of the images.

    Returns:
        One row per pair and reading: `f1`, `low`, `high` (95 %).

    Raises:
        ValueError: logits or labels that do not fit.
    """
    scores = _checked(logits)
    truth = _labels(labels, next(iter(scores.values())))
    rows = []
    for x, y in combinations(scores, 2):
        answers = scores[x].argmax(1), scores[y].argmax(1)
        for reading in READINGS:
            effect = partial(f1, reading=reading)
            found = intervals.bootstrap(
                effect, *answers, truth, repeats=repeats
            )
            rows.append(
                {"pair": f"{x}, {y}", "reading": reading, "f1": found.value}
                | {"low": found.low, "high": found.high}
            )
    table = pd.DataFrame(rows)
    table.attrs = {"images": len(truth), "repeats": repeats}
    return table


def _checked(logits: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    scores = {name: np.asarray(x, float) for name, x in logits.items()}
    shapes = {name: x.shape for name, x in scores.items()}
    if len(scores) < 2:
        raise ValueError(f"agreement takes two or more models: {shapes}")
    if len(set(shapes.values())) > 1 or any(
        len(s) != 2 for s in shapes.values()
    ):
        raise ValueError(
            "all logits must be (n, classes) of the same images and classes, "
            f"got {shapes}"
        )
    for name, x in scores.items():
        if not np.isfinite(x).all():
            raise ValueError(f"the logits of {name} are not all finite")
    return scores


def _labels(labels: ArrayLike, scores: Floats) -> Ints:
    truth = whole_numbers(labels)
    images, classes = scores.shape
    if len(truth) != images:
        raise ValueError(f"{len(truth)} labels for logits of {images} images")
    if images and truth.max() >= classes:
        raise ValueError(
            f"label {truth.max()} is not among the {classes} classes of the "
            f"logits, 0 to {classes - 1}"
        )
    return truth
