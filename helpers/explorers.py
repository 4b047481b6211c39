"""Explorers: ask a measure of the book anything, in a live kernel.

`similarity` compares the layers of any two models, `patches` answers a click
on a patch with its attention and its localisation map, `neighbours` shows
which images a layer finds alike. Each is a view on a measure of the book and
shows its numbers (`shown`), no others.

Not for findings: what is clicked through is not judged, and the more choices
one has looked at, the more surely one of them looks remarkable. Pages state
their claims beforehand and judge them with intervals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from helpers.drawing.theme import Html
from helpers.exploring.forms import Form, note
from helpers.exploring.neighbours import NeighboursForm
from helpers.exploring.onemodel import Model
from helpers.exploring.patches import PatchesForm
from helpers.exploring.similarity import SimilarityForm
from helpers.images import Images
from helpers.layers import Tokens
from helpers.localization import TokenMaps


def similarity(
    models: Iterable[Model],
    images: Images,
    layers: str = "out",
    tokens: Tokens = "all",
    batch_size: int = 32,
) -> Form | Html:
    """Compare the layers of any two models by CKA.

    Args:
        models: what to choose from; specs are loaded when first needed.
        images: the images both are shown.
        layers: which layers at first, see `helpers.layers.names`.
        tokens: which tokens at first, see `helpers.layers.record`.
        batch_size: images of a forward pass and an HSIC minibatch.

    Returns:
        The form; on the site a sentence.
    """
    return note() or SimilarityForm(models, images, layers, tokens, batch_size)


def patches(
    models: Iterable[Model],
    images: Images,
    layers: str = "out",
    batch_size: int = 64,
    positions: int = 256,
    measured: Mapping[str, Mapping[str, TokenMaps]] | None = None,
) -> Form | Html:
    """Click a patch: where it looks, and which place it stands for.

    The attention is that of the picture shown, from the block that the layer
    lies in; the localisation map is measured over all images. Each map is
    drawn on its own scale, dark where it is 0 or less.

    Args:
        models: what to choose from; specs are loaded when first needed.
        images: the images that localisation is measured on.
        layers: which layers, see `helpers.layers.names`.
        batch_size: images of a minibatch, for localisation.
        positions: measured at most, see `localization.heatmaps`.
        measured: spec of a model -> what `localization.heatmaps` returned
            for it; models that are not there are measured when asked for.

    Returns:
        The form; on the site a sentence.
    """
    return note() or PatchesForm(
        models, images, layers, batch_size, positions, measured
    )


def neighbours(
    models: Iterable[Model],
    images: Images,
    bank: Images,
    layers: str = "out",
    tokens: Tokens = "mean",
    k: int = 8,
) -> Form | Html:
    """Show the images that a layer finds most alike, with their classes.

    Args:
        models: what to choose from; specs are loaded when first needed.
        images: the images asked about.
        bank: the images to find, of another split.
        layers: which layers, see `helpers.layers.names`.
        tokens: which tokens at first: `cls`, `mean` or `patches`.
        k: how many neighbours.

    Returns:
        The form; on the site a sentence.
    """
    return note() or NeighboursForm(models, images, bank, layers, tokens, k)
