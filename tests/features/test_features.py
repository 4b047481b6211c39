"""Pooled features and groups of minibatches against the direct route."""

import numpy as np
import pytest

from helpers import cka, features, images, models
from helpers.cka import batch_size
from helpers.images.image_set import Images
from helpers.models.vision_model import VisionModel


@pytest.fixture(scope="module")
def model() -> VisionModel:
    return models.load("lab/vit_narrow?random")


@pytest.fixture(scope="module")
def scenes() -> Images:
    return images.load("wardrobe", limit=33)


def test_features_do_not_depend_on_the_batch(
    model: VisionModel, scenes: Images
) -> None:
    whole = features.extract(model, scenes, batch_size=33)
    parts = features.extract(model, scenes, batch_size=7)
    assert list(whole) == [f"blocks.{i}.out" for i in range(12)]
    for name, value in whole.items():
        assert value.shape == (33, 48)
        np.testing.assert_allclose(parts[name], value, atol=1e-5)


def test_groups_agree_with_one_measurement(
    model: VisionModel, scenes: Images
) -> None:
    other = models.load("lab/vit_gap?random")
    groups = batch_size.groups(model, other, scenes, [4, 8], group_size=16)
    assert len(groups) == 2
    for size in (4, 8):
        merged = batch_size.merged(group[size] for group in groups)
        first = images.load("wardrobe", limit=33)
        object.__setattr__(first, "index", scenes.index[:32])
        direct = cka.measure(model, other, first, batch_size=size)
        np.testing.assert_allclose(merged.cka, direct.cka, atol=1e-5)
        np.testing.assert_allclose(merged.se, direct.se, atol=1e-4)


def test_groups_that_do_not_fit_are_refused(
    model: VisionModel, scenes: Images
) -> None:
    with pytest.raises(ValueError, match=r"not of \[5\]"):
        batch_size.groups(model, model, scenes, [4, 5], group_size=16)
    with pytest.raises(ValueError, match="33 images at hand"):
        batch_size.groups(model, model, scenes, [4], group_size=64)
