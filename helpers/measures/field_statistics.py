"""What an effective receptive field says, as numbers.

`Fields` keeps the field of every image; each number is that of the field
averaged over the images, with a jackknife over images for its interval. Do
not use it for attention maps: a field has the size of the image.

Source: Raghu et al. 2021, section 5, figures 6 and C.1-C.4. The paper shows
pictures; turning them into these numbers is the book's doing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.runtime.arrays import Floats
from helpers.runtime.errors import unknown

MEASURES = {
    "radius": "mean distance from the centre, in image widths",
    "radius_px": "mean distance from the centre, in pixels",
    "centre_share": "share of the field in the centre's own patch",
    "share_within": "share of the field within a quarter of the width",
    "peak": "mean of the own patch over the mean of the eight around it",
}
"""The numbers that a field is summarised by; distances are Euclidean and
weighted by the field."""


@dataclass(frozen=True, eq=False)
class Summary:
    """A number of each layer's field, with what its interval needs.

    Attributes:
        values: (layers,) of the field averaged over all images; NaN where
            that field is zero everywhere, and an infinite `peak` where it
            is zero around the own patch.
        leave_one_out: (images, layers) with one image left out.
    """

    values: Floats
    leave_one_out: Floats

    @property
    def se(self) -> Floats:
        """(layers,) standard errors, by the jackknife over images."""
        count = len(self.leave_one_out)
        with np.errstate(invalid="ignore"):
            spread = (count - 1) * self.leave_one_out.var(0)
        return np.asarray(np.sqrt(spread))


@dataclass(frozen=True, eq=False)
class Fields:
    """The effective receptive fields of the layers of a model.

    Attributes:
        layers: canonical names.
        depths: (layers,) depth of each in its model, 0 to 1.
        maps: (layers, images, h, w) the field of each image, averaged over
            the channels.
        centres: (layers, 2) row and column of the pixel, or the point
            between pixels, that the position lies over.
        patch: height and width in pixels of the centre's own patch.
        settings: model, images, layers, channels, cost.
    """

    layers: tuple[str, ...]
    depths: Floats
    maps: NDArray[np.float32]
    centres: Floats
    patch: tuple[int, int]
    settings: dict[str, Any]

    def of(self, sublayers: str | Sequence[str]) -> Fields:
        """Keep the layers whose names end in one of the given words.

        Raises:
            ValueError: no layer does; names those there are.
        """
        words = [sublayers] if isinstance(sublayers, str) else sublayers
        ends = [name.rsplit(".", 1)[-1] for name in self.layers]
        for word in words:
            if word not in ends:
                raise unknown("measured sublayer", word, dict.fromkeys(ends))
        kept = np.isin(ends, list(words))
        return replace(
            self,
            layers=tuple(np.array(self.layers)[kept].tolist()),
            depths=self.depths[kept],
            maps=self.maps[kept],
            centres=self.centres[kept],
        )

    def mean(self) -> NDArray[np.float32]:
        """Average the fields over the images: (layers, h, w)."""
        return np.asarray(self.maps.mean(1))

    def summary(self, measure: str = "radius") -> Summary:
        """Reduce each field to a number.

        Every measure is a ratio of two weighted sums of the field. The sums
        are averaged over the images first, as the field is, and divided
        last.

        Args:
            measure: one of `MEASURES`.

        Raises:
            ValueError: an unknown measure, or a single image.
        """
        if measure not in MEASURES:
            raise unknown("measure of a field", measure, MEASURES)
        count = self.maps.shape[1]
        if count < 2:
            raise ValueError("an interval needs two or more images, got 1")
        size = self.maps.shape[2:]
        weights = [
            _weights(measure, point, size, self.patch)
            for point in self.centres
        ]
        pairs = zip(self.maps.astype(float), weights, strict=True)
        sums = np.array(
            [[np.tensordot(m, w, 2) for w in pair] for m, pair in pairs]
        ).transpose(1, 2, 0)  # (2, images, layers)
        total = sums.sum(1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            top, bottom = (total - sums) / (count - 1)
            return Summary(np.divide(*total[:, 0]), top / bottom)

    def table(self) -> pd.DataFrame:
        """Write one row per layer and measure; the settings are in `attrs`.

        The columns are `layer`, `depth`, `measure`, `value` and `se`.
        """
        parts = []
        for measure in MEASURES:
            found = self.summary(measure)
            columns = {"layer": self.layers, "depth": self.depths}
            columns |= {"measure": measure, "value": found.values}
            parts.append(pd.DataFrame({**columns, "se": found.se}))
        table = pd.concat(parts, ignore_index=True)
        table.attrs.update(self.settings)
        return table

    def frames(self, count: int = 12) -> pd.DataFrame:
        """Choose layers for a film through the depth, evenly spaced.

        Args:
            count: how many frames; layers repeat where there are fewer.

        Returns:
            One row per frame with `step` (0 to 1), `layer` and `field`, the
            (h, w) average over the images.
        """
        steps = np.linspace(0, 1, count)
        places = np.rint(steps * (len(self.layers) - 1)).astype(int)
        means = self.mean()
        rows = [(self.layers[i], means[i]) for i in places]
        table = pd.DataFrame(rows, columns=["layer", "field"])
        return table.assign(step=steps.round(2))


def lower(values: Floats) -> float:
    """Average a number of the blocks over their first third, at least one."""
    return float(values[: max(1, len(values) // 3)].mean())


def upper(values: Floats) -> float:
    """Average a number of the blocks over their last third, at least one."""
    return float(values[-max(1, len(values) // 3) :].mean())


def step_beyond(values: Floats, step: int, share: float = 1 / 3) -> float:
    """Compare the growth from one block to the next with a share of all.

    A difference and not a ratio, which stays defined where nothing grows.

    Args:
        values: (blocks,) of a measure.
        step: which step, from 0.
        share: of the growth from the first block to the last.

    Returns:
        Above 0 where the step is larger than its share, in units of the
        measure.
    """
    growth = values[-1] - values[0]
    return float(values[step + 1] - values[step] - share * growth)


def middle_beyond(values: Floats, share: float = 1 / 2) -> float:
    """Compare the growth in the middle third with a share of all.

    Values between blocks are interpolated; see `step_beyond`.
    """
    thirds = np.linspace(0, len(values) - 1, 4)
    first, low, high, last = np.interp(thirds, np.arange(len(values)), values)
    return float(high - low - share * (last - first))


def _weights(
    measure: str,
    centre: Floats,
    size: Sequence[int],
    patch: tuple[int, int],
) -> tuple[Floats, Floats]:
    """Give the weights (h, w) of the two sums of a measure."""
    pixels = np.mgrid[: size[0], : size[1]].astype(float)
    offset = pixels - centre[:, None, None]
    distance = np.hypot(*offset)
    # A quarter of a pixel settles to which side an even patch leans.
    reach = np.abs(offset + 0.25) / (np.reshape(patch, (2, 1, 1)) / 2)
    own, ring = reach.max(0) < 1, (reach.max(0) > 1) & (reach.max(0) < 3)
    one = np.ones(tuple(size))
    weights = {
        "radius": (distance / size[1], one),
        "radius_px": (distance, one),
        "centre_share": (own, one),
        "share_within": (distance <= size[1] / 4, one),
        "peak": (own / own.sum(), ring / max(ring.sum(), 1)),
    }
    top, bottom = weights[measure]
    return top.astype(float), bottom.astype(float)
