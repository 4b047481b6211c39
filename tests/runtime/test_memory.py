"""Every measurement gives the same numbers on a device of little memory."""

from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import cka, features, images, models, probes
from helpers.cka import batch_size
from helpers.features.token_grid import Positions
from helpers.features.tokens import tokens_of
from helpers.measures import (
    attention,
    head_cka,
    localization,
    receptive_fields,
    residual,
)
from helpers.runtime import memory

ROOM = 3  # images


@contextmanager
def short_of_memory(*who, message="CUDA out of memory. Tried to allocate"):
    """Let models fail on more than a few images, in the midst of a pass."""
    largest = []

    def check(_module, args):
        if len(args[0]) > ROOM:
            raise torch.OutOfMemoryError(message)
        largest.append(len(args[0]))

    hooks = []
    for model in who:
        deep = model.module.get_submodule(model.taps["blocks.1.out"].path)
        hooks.append(deep.register_forward_pre_hook(check))
    try:
        yield largest
    finally:
        for hook in hooks:
            hook.remove()


@pytest.fixture(scope="module")
def scenes():
    return images.load("wardrobe", limit=20)


def loaded():
    return models.load("lab/vit_cls?random", "cpu")


def numbers(found):
    """Flatten what a measurement returns into arrays."""
    if isinstance(found, pd.DataFrame):
        return [found.select_dtypes("number").to_numpy(float)]
    if isinstance(found, dict):
        return [a for value in found.values() for a in numbers(value)]
    if isinstance(found, list | tuple):
        return [a for value in found for a in numbers(value)]
    if hasattr(found, "compute"):
        return numbers(found.compute().table())
    return [np.asarray(found, float)]


MEASURES = {
    "cka": lambda m, x: cka.compare(m, None, x, "out,attn", batch_size=10),
    "cka, small HSIC batches": lambda m, x: cka.compare(
        m, None, x, batch_size=10, hsic_batch_size=5
    ),
    "cka, large HSIC batches": lambda m, x: cka.compare(
        m, None, x, batch_size=5, hsic_batch_size=20
    ),
    "cka of two models": lambda m, x: cka.compare(
        m, models.load("lab/vit_gap?random", "cpu"), x, batch_size=10
    ),
    "groups": lambda m, x: [
        list(group.values())
        for group in batch_size.groups(m, loaded(), x, [5, 10], 20)
    ],
    "heads": lambda m, x: head_cka.measure(
        m, loaded(), x, [[0], [1, 2]], "out", batch_size=10
    ).table(),
    "attention": lambda m, x: attention.mean_distance(m, x, batch_size=8),
    "residual": lambda m, x: residual.norm_ratios(m, x, batch_size=8),
    "token maps": lambda m, x: [
        [maps.cka, maps.pixels.cka]
        for maps in localization.heatmaps(
            m, x, "blocks.3.out", batch_size=10, positions=4
        ).values()
    ],
    "tokens": lambda m, x: tokens_of(
        m, x, "mid", Positions((8, 8), range(2), range(3)), batch_size=8
    ),
    "features": lambda m, x: features.extract(m, x, "all", batch_size=8),
    "probes": lambda m, x: probes.layerwise(
        m, images.load("wardrobe", "train", 60), x, "norm", ["cls"],
        ["ridge"], ["garment"], batch_size=16,
    ).table.drop(columns="held_out"),
    "fields": lambda m, x: receptive_fields.fields(
        m, x, "blocks.2.out", channels=3, batch_size=8
    ).maps,
}  # fmt: skip


@pytest.mark.parametrize("measure", MEASURES)
def test_short_memory_does_not_change_the_numbers(measure, scenes):
    model = loaded()
    expected = numbers(MEASURES[measure](model, scenes))
    with short_of_memory(model) as largest:
        found = numbers(MEASURES[measure](model, scenes))
    assert largest
    assert 1 < max(largest) <= ROOM
    for one, other in zip(expected, found, strict=True):
        assert other.size
        np.testing.assert_allclose(other, one, rtol=2e-4, atol=2e-5)


def test_the_size_that_fits_is_remembered(scenes):
    model = loaded()
    x = torch.zeros(20, 3, 64, 64)
    with short_of_memory(model) as largest:
        model(x)
        first = len(largest)
        model(x)
    assert first == 7  # 20, 10 and 5 do not fit; 3 do
    assert len(largest) == 2 * first
    assert model(x[:2]).shape[0] == 2


def test_only_what_memory_explains_is_tried_again():
    calls = []

    def work(size):
        calls.append(size)
        raise RuntimeError(message)

    message = "mat1 and mat2 shapes cannot be multiplied"
    with pytest.raises(RuntimeError, match="mat1"):
        memory.fitting(8, work)
    assert calls == [8]
    for message in (
        "MPS backend out of memory (MPS allocated: 17.92 GB)",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate",
    ):
        calls.clear()
        with pytest.raises(RuntimeError, match=message[:4]) as caught:
            memory.fitting(8, work)
        assert calls == [8, 4, 2, 1]
        assert "not even one" in caught.value.__notes__[0]
