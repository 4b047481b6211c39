"""Few-shot probes on single tokens: where in the grid is the class told?

Raghu et al. 2021, section 7 (figure 11) and appendices D.4 and F: a ridge
probe on a few images a class is fitted to one token of a layer at a time, and
to pooled ones (`helpers.features.tokens`).

A position that reads well need not show the object: it may have been told by
the others. For probes on many images use `helpers.probes.layerwise`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from helpers.features.arguments import checked
from helpers.features.layer_selection import depth
from helpers.features.token_grid import choose
from helpers.features.tokens import POOLED, last_grid, tokens_of
from helpers.probes.few_shot import draw, few_shot
from helpers.probes.targets import check_sets, labels
from helpers.runtime.arrays import Floats

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.models.vision_model import VisionModel

EACH = "each position"


@checked
def probe(
    model: VisionModel,
    train: Images,
    test: Images,
    layers: str = "out",
    target: str = "class",
    shots: int = 10,
    repetitions: int = 5,
    positions: int = 64,
    batch_size: int = 64,
    seed: int = 0,
    split: bool = True,
) -> pd.DataFrame:
    """Fit few-shot ridge probes to every token of layers, and pooled ones.

    Args:
        model: the model.
        train: what the banks are drawn from; what no bank takes chooses the
            penalty.
        test: a part for each repetition.
        layers: which layers, see `helpers.features.names`.
        target: a categorical target of the images.
        shots: images a class to fit to.
        repetitions: how often, on other images each time.
        positions: where a layer has more, every second (or third, ...) row
            and column is probed.
        batch_size: images of a forward pass.
        seed: which images a repetition takes.
        split: whether the maps of a CNN are cut into squares before they are
            averaged, see `helpers.features.tokens.split_and_pool`.

    Returns:
        One row per layer, token and repetition: `layer`, `depth`, `tokens`
        (one of `POOLED`, or `EACH` for a single position), `row` and
        `column` (missing for pooled ones), `repetition`, `accuracy` (NaN
        where the features do not vary), `penalty`. Settings in `attrs`.

    Raises:
        ValueError: layers without token positions, an unknown target, or too
            few images.
    """
    check_sets(train, test)
    truth = [y.long() for y in labels(train, test, target)]
    classes = len(train.target_names[target])
    deal = draw(truth[0], classes, len(test), shots, repetitions, seed)
    at = choose(last_grid(model, layers), positions)
    banks, queries = (
        tokens_of(model, images, layers, at, batch_size, split)
        for images in (train, test)
    )
    places = [(None, None)] * len(POOLED) + [
        (row, column)
        for row in range(at.grid[0])
        for column in range(at.grid[1])
    ]
    rows = []
    for layer, bank in banks.items():
        for token, (row, column) in enumerate(places):
            found = few_shot(
                (bank[:, token], queries[layer][:, token]), truth, deal
            )
            kind = POOLED[token] if token < len(POOLED) else EACH
            where = {"layer": layer, "depth": depth(model, layer)}
            where |= {"tokens": kind, "row": row, "column": column}
            rows += [
                where | {"repetition": r} | f for r, f in enumerate(found)
            ]
    table = pd.DataFrame(rows).astype({"row": "Int64", "column": "Int64"})
    table.attrs.update(
        model=model.spec,
        images=test.spec,
        target=target,
        shots=shots,
        repetitions=repetitions,
        test=len(test),
        grid=at.grid,
    )
    return table


def accuracies(table: pd.DataFrame, tokens: str) -> Floats:
    """Average the accuracy over positions.

    Args:
        table: what `probe` returned.
        tokens: one of `POOLED`, or `EACH`.

    Returns:
        (layers, repetitions), in the order of the table; the repetitions
        share no image, so `claims.mean` over them has a sound interval.
    """
    chosen = table[table.tokens == tokens]
    by_layer = chosen.groupby(["layer", "repetition"], sort=False)
    values: Floats = by_layer.accuracy.mean().unstack(sort=False).to_numpy()
    return values


def last_positions(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of single positions of the last layer, for maps.

    Args:
        table: what `probe` returned.
    """
    last = table.layer == table.layer.iloc[-1]
    rows: pd.DataFrame = table[last & (table.tokens == EACH)]
    return rows


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Average over positions and repetitions.

    Args:
        table: what `probe` returned.

    Returns:
        One row per layer and kind of tokens: `layer`, `depth`, `tokens`,
        `accuracy` and `se`, its standard error over repetitions.
    """
    keys = ["layer", "depth", "tokens"]
    each = table.groupby([*keys, "repetition"], sort=False).accuracy.mean()
    means = each.groupby(keys, sort=False)
    both = pd.DataFrame({"accuracy": means.mean(), "se": means.sem()})
    return both.reset_index()
