"""What heads pass on, against CKA of the columns themselves."""

import numpy as np
import pytest
import timm
import torch

from helpers import features, images, models
from helpers.cka.minibatch import MinibatchCKA
from helpers.measures import head_cka


@pytest.fixture(scope="module")
def scenes() -> images.Images:
    return images.load("wardrobe", limit=18)


@pytest.fixture(scope="module")
def pair() -> tuple[models.VisionModel, models.VisionModel]:
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2)
    return models.wrap(vit.eval(), "vit"), models.load("lab/resnet", "cpu")


def test_subsets_are_columns_of_the_heads_layer(pair, scenes):
    vit, cnn = pair
    subsets = [(0,), (2, 1), (0, 1, 2)]
    layer = "stem,stages.0.0.out"
    found = head_cka.measure(vit, cnn, scenes, subsets, layer, 1, batch_size=8)
    engine = MinibatchCKA()
    for _, (x, y) in scenes.batches(vit, cnn, batch_size=8, drop_last=True):
        with features.record(vit, "blocks.1.heads", "each") as ours:
            vit(x)
        with features.record(cnn, layer) as theirs:
            cnn(y)
        wide = ours["blocks.1.heads"].unflatten(-1, (3, 64))
        columns = [wide[:, :, list(subset)].flatten(1) for subset in subsets]
        engine.update(columns, theirs.values())
    expected = engine.compute()
    np.testing.assert_allclose(found.cka, expected.cka, atol=1e-5)
    np.testing.assert_allclose(found.se, expected.se, atol=1e-5)
    assert found.layers_x == ["0", "2+1", "0+1+2"]
    assert found.layers_y == ["stem", "stages.0.0.out"]
    assert found.settings["num_images"] == 16
    assert found.settings["dropped_images"] == 2


def test_all_heads_are_the_whole_layer(pair):
    _, cnn = pair
    few = images.load("wardrobe", limit=8)
    vit = pair[0]
    found = head_cka.measure(vit, cnn, few, [(0, 1, 2)], "stem", 0, 8)
    with (
        features.record(vit, "blocks.0.heads") as ours,
        features.record(cnn, "stem") as theirs,
    ):
        for _, (x, y) in few.batches(vit, cnn, batch_size=8):
            vit(x)
            cnn(y)
    whole = MinibatchCKA().update(ours.values(), theirs.values()).compute()
    np.testing.assert_allclose(found.cka, whole.cka, atol=1e-5)


def test_windows_and_growing_subsets():
    assert head_cka.windows([3, 0, 2, 1], 2) == [(3, 0), (0, 2), (2, 1)]
    assert head_cka.windows([3, 0], 2) == [(3, 0)]
    assert head_cka.growing([3, 0, 2]) == [(3,), (3, 0), (3, 0, 2)]
    with pytest.raises(ValueError, match="valid: 1 to 2"):
        head_cka.windows([0, 1], 3)


def test_wrong_heads_blocks_and_models_are_refused(pair, scenes):
    vit, cnn = pair
    with pytest.raises(ValueError, match=r"numbered 0 to 2.*\[\(3,\)\]"):
        head_cka.measure(vit, cnn, scenes, [(0,), (3,)], "stem")
    with pytest.raises(ValueError, match="no subset"):
        head_cka.measure(vit, cnn, scenes, [], "stem")
    with pytest.raises(ValueError, match="blocks 0 to 1"):
        head_cka.measure(vit, cnn, scenes, [(0,)], "stem", block=2)
    with pytest.raises(ValueError, match="18 images do not fill"):
        head_cka.measure(vit, cnn, scenes, [(0,)], "stem", batch_size=32)
    with pytest.raises(ValueError, match="has no attention"):
        head_cka.measure(cnn, vit, scenes, [(0,)], "ln1")
