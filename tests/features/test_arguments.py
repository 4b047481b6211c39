"""What looks like a model or images is refused at the door."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import timm
from torch.utils.data import DataLoader

from helpers import cka, features, images, models
from helpers.cka import batch_size
from helpers.features import layer_selection
from helpers.features.arguments import ANNOTATION
from helpers.features.pooled import extract, pooled
from helpers.features.tokens import tokens_of
from helpers.measures import (
    attention,
    head_cka,
    localization,
    receptive_fields,
    residual,
    skip_removal,
)
from helpers.probes import factors, layerwise, samples
from helpers.probes import tokens as token_probes

FUNCTIONS: list[Callable[..., Any]] = [
    *(cka.compare, cka.measure, cka.measure_pairs, batch_size.groups),
    *(features.record, layer_selection.names, extract, pooled),
    *(tokens_of, head_cka.measure, receptive_fields.fields),
    *(attention.measure, attention.mean_distance, attention.maps),
    *(localization.heatmaps, residual.norm_ratios, residual.measure),
    *(skip_removal.remove_skip, layerwise, samples.pool),
    *(token_probes.probe, factors.encoded, factors.pixels),
]
BAD = {
    "VisionModel": [
        "lab/vit_cls",
        ["lab/vit_cls"],
        timm.create_model("test_vit"),
    ],
    "Images": ["wardrobe", [1, 2], DataLoader([1, 2])],
}


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    return {
        "VisionModel": models.load("test_vit?random", "cpu"),
        "Images": images.load("digits", limit=4),
    }


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize(
    "function", FUNCTIONS, ids=lambda f: f"{f.__module__}.{f.__name__}"
)
def test_strings_lists_and_loaders(
    function: Callable[..., Any], which: int, good: dict[str, Any]
) -> None:
    kinds = {
        name: found["kind"] if found else ""
        for name, parameter in inspect.signature(function).parameters.items()
        if (found := ANNOTATION.fullmatch(str(parameter.annotation)))
        or parameter.default is parameter.empty
    }
    asked = [name for name, kind in kinds.items() if kind]
    assert asked
    for name in asked:
        given = {key: good.get(kind, "out") for key, kind in kinds.items()}
        bad = BAD[kinds[name]][which]
        message = f"{name} is of type {type(bad).__name__}; expected .* from"
        with pytest.raises(TypeError, match=message):
            function(**given | {name: bad})
        position = list(given).index(name)
        with pytest.raises(TypeError, match=message):
            function(*[*given.values()][:position], bad)


def test_no_second_model_is_the_first(good: dict[str, Any]) -> None:
    model, some = good["VisionModel"], good["Images"]
    table = cka.compare(model, None, some, "blocks.0.out", batch_size=4)
    assert len(table) == 1
    with pytest.raises(TypeError, match="images is of type NoneType"):
        cka.compare(model, None, None)  # type: ignore[arg-type]
