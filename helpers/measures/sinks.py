"""Attention sinks: tokens that much attention falls on, whatever they hold.

A sink gives heads a place to look at when they have nothing to fetch. It
draws attention, and its values, what it passes on, are small (Sun et al. 2024,
section 4; Guo et al. 2024 for language models). In a vision transformer class
and register tokens may be sinks, and outliers among the patches (see
`helpers.measures.norms`).

Do not read a small share as small influence: see `token_replacement` for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from helpers.features.arguments import checked, settings_of
from helpers.features.layer_selection import depth, names
from helpers.features.record import record
from helpers.measures.attention_weights import attention_layers, listen
from helpers.measures.norms import CLASS, REGISTERS, TIMES, long
from helpers.models.families.family import AttentionLayer
from helpers.runtime.arrays import Bools, Floats

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel

OUTLIERS, OTHERS = "outliers", "other patches"


@dataclass(frozen=True, eq=False)
class Sinks:
    """What the tokens that enter some blocks draw, and what they pass on.

    Attributes:
        received: (images, blocks, tokens) attention from patches, mean over
            queries and heads; sums to 1 over the tokens.
        values: (images, blocks, tokens) norm of the value vectors, all heads
            together.
        norms: (images, blocks, tokens) norm of what enters the block.
        prefix: class and register tokens, which come first.
        class_token: whether token 0 is a class token.
        blocks: number of each block, from 0.
        depths: depth of its heads, 0 to 1.
        settings: model, images.
    """

    received: Floats
    values: Floats
    norms: Floats
    prefix: int
    class_token: bool
    blocks: Sequence[int]
    depths: Sequence[float]
    settings: dict[str, Any]

    def kinds(self, times: float = TIMES) -> dict[str, Bools]:
        """Sort tokens by kind: name -> (images, blocks, tokens).

        Args:
            times: medians of the norm above which a patch is an outlier.

        Raises:
            ValueError: a threshold that is not positive.
        """
        place = np.arange(self.norms.shape[-1])
        first = int(self.class_token)
        outlier = long(self.norms, self.prefix, times)
        every = np.ones_like(outlier)
        return {
            CLASS: every & (place < first),
            REGISTERS: every & (first <= place) & (place < self.prefix),
            OUTLIERS: outlier,
            OTHERS: every & (place >= self.prefix) & ~outlier,
        }

    def mass(self, kind: str, times: float = TIMES) -> Floats:
        """Add up the attention that a kind of token draws.

        Returns:
            (images, blocks) shares; 0 where there are no such tokens.
        """
        total: Floats = (self.received * self.kinds(times)[kind]).sum(-1)
        return total

    def excess(self, kind: str, times: float = TIMES) -> Floats:
        """Compare that share with the one that even attention would give.

        Returns:
            (images, blocks) differences of shares.
        """
        even: Floats = self.kinds(times)[kind].mean(-1)
        return self.mass(kind, times) - even

    def value_ratio(self, kind: str, times: float = TIMES) -> Floats:
        """Compare the values of a kind of token with those of other patches.

        Returns:
            (images, blocks) log2 of the mean norm of the values over that of
            the patches that are no outliers; NaN where an image has no such
            token.
        """
        kinds = self.kinds(times)
        means = [
            (self.values * chosen).sum(-1) / np.where(count, count, np.nan)
            for chosen in (kinds[kind], kinds[OTHERS])
            for count in (chosen.sum(-1),)
        ]
        ratio: Floats = np.log2(means[0] / means[1])
        return ratio

    def table(self, times: float = TIMES) -> pd.DataFrame:
        """Write one row per block and kind of token that is found there.

        The columns are `block`, `depth`, `kind`, `tokens` (an image, on
        average), `mass` of attention, `uniform` (the mass if attention were
        even), `ratio` of the two, and `value` and `value_se`, the mean of
        `value_ratio` over images that have such a token.
        """
        rows = []
        for kind, chosen in self.kinds(times).items():
            mass, value = self.mass(kind, times), self.value_ratio(kind, times)
            for i, block in enumerate(self.blocks):
                known = value[np.isfinite(value[:, i]), i]
                row = {
                    "block": block,
                    "depth": self.depths[i],
                    "kind": kind,
                    "tokens": chosen[:, i].sum(-1).mean(),
                    "mass": mass[:, i].mean(),
                    "uniform": chosen[:, i].mean(),
                    "value": known.mean() if known.size else np.nan,
                    "value_se": _error(known),
                }
                rows += [row] if row["tokens"] else []
        table = pd.DataFrame(rows)
        table["ratio"] = table.mass / table.uniform
        table.attrs.update(self.settings, times=times)
        return table


@checked
def measure(
    model: VisionModel,
    images: Images,
    blocks: Sequence[int] | None = None,
    batch_size: int = 32,
) -> Sinks:
    """Measure what attention falls on each token, and what it passes on.

    Queries are patches, keys all tokens.

    Args:
        model: a vision transformer whose tokens all attend to each other.
        images: n images.
        blocks: numbers of blocks, negative ones from the end; all of them
            by default.
        batch_size: images of a forward pass.

    Raises:
        ValueError: attention that cannot be read (says why), that is not
            among all tokens, or no such block.
    """
    chosen = attention_layers(model, blocks)
    entering = dict(enumerate(names(model, "embed,out")))
    for layer in chosen.values():
        if layer.keys.ndim > 1 or layer.tokens or layer.query_grid:
            raise ValueError(
                f"the tokens of {model.spec} do not all attend to each other, "
                "so none of them can be a sink for all; choose a plain ViT"
            )
    kept: list[Tensor] = []
    order = list(chosen.values())
    with ExitStack() as hooks:
        received = hooks.enter_context(listen(model, order, _received))
        passed = [
            hooks.enter_context(_values(model, layer)) for layer in order
        ]
        before = hooks.enter_context(
            record(model, "embed,out", "each", _length)
        )
        for _, (x,) in images.batches(model, batch_size=batch_size):
            model(x)
            parts = [
                torch.stack([tape[layer.layer] for tape, layer in of], 1)
                for of in (
                    list(zip(received, order, strict=True)),
                    list(zip(passed, order, strict=True)),
                )
            ]
            norms = [before[entering[block]] for block in chosen]
            kept.append(torch.stack([*parts, torch.stack(norms, 1)]))
    drawn, values, lengths = torch.cat(kept, 1).double().numpy()
    return Sinks(
        received=drawn,
        values=values,
        norms=lengths,
        prefix=model.prefix_tokens,
        class_token=model.has_class_token,
        blocks=list(chosen),
        depths=[depth(model, layer.layer) for layer in order],
        settings={"model": model.spec, **settings_of(images)},
    )


def _received(layer: AttentionLayer, weights: Tensor) -> Tensor:
    """Average the attention that each key draws from patches: (n, keys)."""
    return weights[:, :, layer.queries >= 0].mean((1, 2)).cpu()


def _values(model: VisionModel, layer: AttentionLayer) -> Any:
    """Listen to the norms of the values of a block, (n, tokens)."""
    out = model.module.get_submodule(model.taps[layer.layer].path)
    width: Any = out.in_features

    def reduce(qkv: Tensor) -> Tensor:
        # Queries are as wide as what the heads pass on; keys may be shared.
        return _length(qkv[..., -((qkv.shape[-1] - width) // 2) :])

    return record(
        replace(model, taps={layer.layer: layer.source}),
        layer.layer,
        "each",
        reduce,
    )


def _length(x: Tensor) -> Tensor:
    length: Tensor = x.float().norm(dim=-1).cpu()
    return length


def _error(each: Floats) -> float:
    """Return the standard error of a mean."""
    if len(each) < 2:
        return np.nan
    return float(each.std(ddof=1) / len(each) ** 0.5)
