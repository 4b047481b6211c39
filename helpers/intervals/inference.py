"""The interval that fits what an effect is computed from.

`infer` is behind `claims.test`: it chooses among `estimate` (CKA maps),
`jackknife` (averages over images, such as attention distances and receptive
fields), `bootstrap` (answers to each image) and `mean` (independent values).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from numpy.typing import ArrayLike

from helpers.intervals.estimates import Estimate, jackknife, mean
from helpers.intervals.resampling import Map, bootstrap, estimate
from helpers.runtime.arrays import Floats

Effect = Callable[..., float] | Estimate | ArrayLike
"""A function of samples, an estimate, or independent values of the effect."""


@runtime_checkable
class Averages(Protocol):
    """Averages over images, with the ones that leave an image out."""

    @property
    def values(self) -> Floats:
        """Over all images."""

    @property
    def leave_one_out(self) -> Floats:
        """(images, ...) with one image left out."""


Sample = Map | Averages | ArrayLike


def infer(effect: Effect, *samples: Sample) -> Estimate:
    """Estimate an effect by the interval that fits its samples.

    Args:
        effect: a function of the samples; without samples an `Estimate`,
            which is returned as it is, or (n,) independent values of the
            effect, of which the mean is taken.
        *samples: all of one kind: CKA maps, averages over images, or arrays
            (n, ...) with one row per image.

    Raises:
        ValueError: samples for an effect that is not a function.
    """
    if not callable(effect):
        if samples:
            raise ValueError(
                f"{len(samples)} samples for an effect that is not a function"
            )
        return effect if isinstance(effect, Estimate) else mean(effect)
    maps = [sample for sample in samples if isinstance(sample, Map)]
    if samples and len(maps) == len(samples):
        return estimate(effect, *maps)
    averages = [sample for sample in samples if isinstance(sample, Averages)]
    if samples and len(averages) == len(samples):
        values = [sample.values for sample in averages]
        return jackknife(effect, values, [s.leave_one_out for s in averages])
    arrays: Any = samples
    return bootstrap(effect, *arrays)
