"""What a residual sum is made of: the skip connection and the branch.

A residual sublayer passes on z + f(z). For every token (in a CNN: every
position of the map) this module measures the norm ratio ||z|| / ||f(z)|| and
the angle between the two (Raghu et al. 2021, section 6 and appendix E).
`remove_skip` takes z away from a trained model. That is another experiment
than figure 8 of the paper, whose models were trained without it.

Do not read a ratio as importance: a small branch that always points the same
way may matter more than a large one that cancels.
"""

from __future__ import annotations

import time
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from helpers.features.arguments import checked, settings_of
from helpers.features.record import record
from helpers.measures.residual_sums import QUANTITIES, ROLES, Meter, sums_of
from helpers.runtime.arrays import Floats
from helpers.runtime.errors import unknown

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel

HALVES = ("lower", "upper")


@dataclass(frozen=True, eq=False)
class Residual:
    """Skip against branch in every residual sublayer of a model.

    Both tables have the columns `layer` (the branch, by its canonical name),
    `block`, `branch` (`attention`, `token mixing`, `MLP`, `convolutions`),
    `depth`, `kind` (of token: `cls`, `prefix` for other prefix tokens,
    `patch` for patches and the positions of a map), `quantity` and `value`:

    - `ratio`: ||z|| / ||f(z)||;
    - `log2_ratio`: its binary logarithm, taken before any average;
    - `cos_branch`: cosine of z and f(z);
    - `cos_output`: cosine of z and z + f(z).

    Attributes:
        per_token: one row per sublayer, `token` and quantity: the mean over
            images, with its standard error `se`.
        per_image: one row per sublayer, kind of token, quantity and `image`
            (its place in the set): the mean over the tokens of that kind.
        left_out: sublayer -> why some or all of its values are NaN.
    """

    per_token: pd.DataFrame
    per_image: pd.DataFrame
    left_out: dict[str, str]

    @property
    def gaps(self) -> str:
        """Which sublayers have no ratio, and why; empty where all have."""
        layers: dict[str, list[str]] = {}
        for layer, why in self.left_out.items():
            layers.setdefault(why, []).append(layer)
        parts = [
            f"{first} and {len(more)} others ({why})"
            if more
            else f"{first} ({why})"
            for why, (first, *more) in layers.items()
        ]
        return "no norm ratio in " + "; ".join(parts) if parts else ""

    def average(self, *by: str) -> pd.DataFrame:
        """Average over images and over all that is not named.

        Args:
            *by: the columns of `per_image` to keep apart.

        Returns:
            One row per group and quantity: `value`, its standard error over
            images `se`, and the mean `depth`. NaN is left out.
        """
        keys = [*by, "quantity"]
        each = self.per_image.groupby([*keys, "image"], sort=False)
        groups = each[["value", "depth"]].mean().groupby(keys, sort=False)
        found = groups.agg(
            value=("value", "mean"),
            se=("value", "sem"),
            depth=("depth", "mean"),
        )
        return found.reset_index()

    def by_image(
        self,
        quantity: str,
        kind: str = "patch",
        branch: str | None = None,
        half: str | None = None,
    ) -> Floats:
        """Average a quantity over sublayers, for each image.

        Args:
            quantity: one of `QUANTITIES`.
            kind: of tokens.
            branch: which branches; all by default.
            half: `lower` or `upper` half of the model; all by default.

        Returns:
            (images,) means over the sublayers where the quantity is defined;
            NaN where the model has no such sublayer or token.

        Raises:
            ValueError: unknown quantity or half; names the valid ones.
        """
        if quantity not in QUANTITIES:
            raise unknown("quantity", quantity, QUANTITIES)
        if half is not None and half not in HALVES:
            raise unknown("half", half, HALVES)
        rows = self.per_image
        keep = (rows.quantity == quantity) & (rows.kind == kind)
        if branch:
            keep &= rows.branch == branch
        if half:
            keep &= (rows.depth > 0.5) == (half == "upper")
        found = rows.value.where(keep).groupby(rows.image).mean()
        return found.to_numpy()


@checked
def norm_ratios(
    model: VisionModel, images: Images, batch_size: int = 32
) -> pd.DataFrame:
    """Measure norm ratios and cosines of every token.

    Returns:
        `Residual.per_token`, with the settings in `attrs`; see `measure`,
        which gives the values of single images as well.
    """
    return measure(model, images, batch_size).per_token


@checked
def measure(
    model: VisionModel, images: Images, batch_size: int = 32
) -> Residual:
    """Measure skip against branch in all residual sublayers.

    f includes the sublayer's own norm and LayerScale. z is what the addition
    receives: the stream before it, in a ResNet block with a projection the
    projected input (Raghu et al. 2021, section 6, figures 7, E.1, E.2).

    Args:
        model: a model of a family whose residual sums are known.
        images: n images.
        batch_size: images of a forward pass.

    Returns:
        The tables. A sublayer without a skip connection has no ratio, nor
        has a token whose skip or branch is zero: there the values are NaN,
        and left out of averages. A warning and `left_out` name them.

    Raises:
        ValueError: sums that are not known (says why), or activations that
            are NaN or infinite.
    """
    start = time.perf_counter()
    where = sums_of(model)
    taps = {
        f"{layer}.{role}": tap
        for layer, each in where.items()
        for role, tap in zip(
            ROLES, (each.skip, each.branch, each.total), strict=True
        )
    }
    view = replace(model, taps=taps)
    meters = {
        layer: Meter(model, layer, each.kind) for layer, each in where.items()
    }
    with ExitStack() as hooks:
        for name in taps:
            layer, role = name.rsplit(".", 1)
            keep = partial(meters[layer].hook, role)
            hooks.enter_context(record(view, name, "each", keep))
        for _, (x,) in images.batches(model, batch_size=batch_size):
            model(x)
            for meter in meters.values():
                meter.update()
    parts = zip(*(m.tables() for m in meters.values()), strict=True)
    per_token, per_image = (pd.concat(p, ignore_index=True) for p in parts)
    for table in (per_token, per_image):
        table.attrs = {
            "model": model.spec,
            **settings_of(images),
            "batch_size": batch_size,
            "device": str(model.device),
            "seconds": time.perf_counter() - start,
        }
    left_out = {k: m.left_out for k, m in meters.items() if m.left_out}
    found = Residual(per_token, per_image, left_out)
    if left_out:
        warnings.warn(f"{model.spec} has {found.gaps}", stacklevel=2)
    return found
