"""Minibatch CKA of given features: the estimator behind `helpers.cka`.

HSIC_1 of each minibatch is summed first and divided last; what is kept of a
minibatch are its HSIC values, so that the jackknife over minibatches costs
next to nothing and measurements made apart can be merged.

Do not use it on one batch of hundreds of thousands of rows: all Gram
matrices of a minibatch are in memory at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from helpers.cka.comparison import Similarity
from helpers.cka.hsic import check_grams, gram, u_products
from helpers.runtime import parallel
from helpers.runtime.arrays import Floats

Features = Iterable[Tensor | ArrayLike]
Form = tuple[int, int, int | None]


class MinibatchCKA:
    """CKA of all pairs of layers, one minibatch at a time.

    Keeps the HSIC values of each minibatch (8 bytes a pair of layers) and
    nothing else. Parts measured apart are joined by `merge`, or over the
    processes of a `torchrun` by `all_reduce`.

    Args:
        names_x: names of the layers of x, for messages; numbers by default.
        names_y: names of the layers of y; those of x by default.
    """

    def __init__(
        self,
        names_x: Sequence[str] | None = None,
        names_y: Sequence[str] | None = None,
    ) -> None:
        self._names = (names_x, names_x if names_y is None else names_y)
        self._form: Form | None = None
        self._cross: list[Floats] = []
        self._own: list[tuple[Floats, Floats]] = []

    def update(self, xs: Features, ys: Features | None = None) -> MinibatchCKA:
        """Add one minibatch of features.

        Args:
            xs: one (n, ...) tensor or array a layer.
            ys: the same images in the layers of y; without it the layers of
                x are compared with each other.

        Returns:
            This object.

        Raises:
            ValueError: fewer than 4 images; another number of images or of
                layers than before; NaN or infinite features (names the
                layer).
        """
        grams_x, grams_y = (
            None if side is None else [gram(torch.as_tensor(f)) for f in side]
            for side in (xs, ys)
        )
        return self.update_grams(grams_x or [], grams_y)

    def update_grams(
        self,
        grams_x: Sequence[Tensor],
        grams_y: Sequence[Tensor] | None = None,
    ) -> MinibatchCKA:
        """Add one minibatch of Gram matrices, best made by `gram`.

        Args:
            grams_x: one (n, n) Gram matrix a layer of x.
            grams_y: one a layer of y, see `update`.

        Returns:
            This object.

        Raises:
            ValueError: as `update`.
        """
        x = self._stack(grams_x, 0)
        y = x if grams_y is None else self._stack(grams_y, 1).to(x.device)
        if x.shape[1] != y.shape[1]:
            raise ValueError(
                f"x has {x.shape[1]} images in this minibatch, but y has "
                f"{y.shape[1]}"
            )
        self._fit((x.shape[1], len(x), None if grams_y is None else len(y)))
        cross, own_x, own_y = (h.cpu().numpy() for h in u_products(x, y))
        self._cross.append(cross)
        self._own.append((own_x, own_y))
        return self

    def merge(self, other: MinibatchCKA) -> MinibatchCKA:
        """Take in the minibatches of another measurement of the same layers.

        Returns:
            This object.

        Raises:
            ValueError: other layers or another minibatch size.
        """
        if other._form is not None:
            self._fit(other._form)
        self._cross = self._cross + other._cross
        self._own = self._own + other._own
        return self

    def all_reduce(self, group: Any = None) -> MinibatchCKA:
        """Merge the minibatches of all processes, in each of them.

        To be called once, after the last update, by every process of the
        `torch.distributed` group (all processes by default).

        Returns:
            This object, now as if it had seen all minibatches in the order
            of the ranks.
        """
        whole = MinibatchCKA(*self._names)
        for part in parallel.gather(self, group):
            whole.merge(part)
        vars(self).update(vars(whole))
        return self

    def compute(self) -> Similarity:
        """Divide the mean HSICs, with errors by the jackknife.

        A layer that does not vary over the images is NaN in its own row or
        column; one warning names all such layers.

        Raises:
            ValueError: no minibatch so far.
        """
        if self._form is None or not self._cross:
            raise ValueError("no minibatch yet: call update() first")
        cross = np.stack(self._cross)
        own_x, own_y = map(np.stack, zip(*self._own, strict=True))
        self._warn(own_x.sum(0), own_y.sum(0))
        cka, left_out = divide(cross, own_x, own_y)
        batch_size = self._form[0]
        x, y = (
            given or range(1, count + 1)
            for given, count in zip(self._names, cka.shape, strict=True)
        )
        return Similarity(cka, left_out, batch_size, x, y)

    def _stack(self, grams: Sequence[Tensor], side: int) -> Tensor:
        which, expected = "xy"[side], self._names[side]
        if not len(grams) or (expected and len(grams) != len(expected)):
            raise ValueError(
                f"expected {len(expected) if expected else 'some'} layers of "
                f"{which}, got {len(grams)}"
            )
        sizes = sorted({len(g) for g in grams})
        if len(sizes) > 1:
            raise ValueError(
                f"the layers of {which} have different numbers of images: "
                + ", ".join(map(str, sizes))
            )
        stack = torch.stack(list(grams))
        stack = stack.cpu() if stack.device.type == "mps" else stack
        check_grams(stack)
        finite = stack.sum((1, 2), dtype=torch.float64).isfinite()
        if not finite.all():
            raise ValueError(
                f"{self._name(side, int(finite.int().argmin()))} has NaN or "
                "infinite features (or some too large for their square)"
            )
        return stack

    def _fit(self, form: Form) -> None:
        """Refuse a minibatch of another form than those before it."""
        things = ("images of a minibatch", "layers of x", "layers of y")
        for thing, old, new in zip(
            things, self._form or form, form, strict=True
        ):
            if old != new:
                raise ValueError(
                    f"the number of {thing} must not change: it was "
                    f"{old or 0}, now it is {new or 0}"
                )
        self._form = form

    def _name(self, side: int, layer: int) -> str:
        known = self._names[side]
        return f"{known[layer] if known else f'layer {layer}'} of {'xy'[side]}"

    def _warn(self, *own: Floats) -> None:
        alone = self._form is not None and self._form[2] is None
        undefined = [
            self._name(side, int(i))
            for side, values in enumerate(own[:1] if alone else own)
            for i in np.flatnonzero(values == 0)
        ]
        if undefined:
            warnings.warn(
                "CKA is undefined (NaN) where features do not vary over the "
                "images: " + ", ".join(undefined),
                stacklevel=3,
            )


def divide(
    cross: Floats, own_x: Floats, own_y: Floats
) -> tuple[Floats, Floats]:
    """Add up HSIC over minibatches and divide last.

    Args:
        cross: (batches, layers of x, layers of y) HSIC_1 of the pairs.
        own_x: (batches, layers of x) self-HSIC.
        own_y: (batches, layers of y).

    Returns:
        The CKA map; and (batches, layers of x, layers of y) without one of
        the minibatches. NaN where a self-HSIC is not positive.
    """
    sums = [hsic.sum(0) for hsic in (cross, own_x, own_y)]
    rest = (t - h for t, h in zip(sums, (cross, own_x, own_y), strict=True))
    with np.errstate(invalid="ignore"):
        return ratio(*sums), ratio(*rest)


def ratio(cross: Floats, own_x: Floats, own_y: Floats) -> Floats:
    """Divide (..., layers of x, layers of y) HSIC by that of the layers."""
    root_x, root_y = (
        np.sqrt(np.where(own > 0, own, np.nan)) for own in (own_x, own_y)
    )
    cka: Floats = cross / root_x[..., :, None] / root_y[..., None, :]
    return cka
