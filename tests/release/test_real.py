"""Measures on real published weights, where these are at hand.

They lie in a folder `shared` beside the checkout: a trained ViT-S/14 file,
taken by `name@path`, EfficientNet-Lite0 in a cache of the Hugging Face hub,
and CIFAR-10. Nothing else needs them.
"""

from pathlib import Path

import numpy as np
import pytest

from helpers import cka, features, images, models, probes
from helpers.measures import attention, residual

SHARED = Path(__file__).resolve().parents[3] / "shared"
VIT, FILE = "vit_small_patch14_dinov2", "vit_small_patch14_saliency"
SIZE = "img_size=56"

pytestmark = pytest.mark.skipif(
    not all((SHARED / name).is_dir() for name in ("weights", "hub", "data")),
    reason="the real weights and photographs are not here",
)


@pytest.fixture(scope="module")
def vits():
    """The trained ViT-S/14, and the same without training."""
    path = SHARED / "weights" / f"{FILE}.safetensors"
    trained, untrained = f"{VIT}@{path}?{SIZE}", f"{VIT}?random&{SIZE}"
    return models.load(trained, "cpu"), models.load(untrained, "cpu")


@pytest.fixture(scope="module")
def efficient():
    """EfficientNet-Lite0 from the hub's cache."""
    from huggingface_hub import constants

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(SHARED / "hub"))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        return models.load("tf_efficientnet_lite0.in1k", "cpu")


def photographs(split, limit):
    return images.load(f"parquet:{SHARED / 'data'}", split, limit)


def accuracy(model, tokens, bank, test):
    """Probe every block; one row per block and probe."""
    train, asked = photographs("train", bank), photographs("test", test)
    table = probes.layerwise(model, train, asked, tokens=[tokens]).table
    return table.pivot(index="layer", columns="probe", values="accuracy")


def test_training_made_classes_readable_in_a_vit(vits):
    trained, untrained = (accuracy(m, "mean", 200, 100) for m in vits)
    assert len(trained) == 12
    assert trained.min().min() > 0.1  # chance
    assert (trained.max() > untrained.max() + 0.1).all()


def test_classes_are_readable_in_a_cnn(efficient):
    trained = accuracy(efficient, "mean", 60, 40)
    assert list(trained.index) == features.names(efficient, "out")
    assert trained.to_numpy().max() > 0.3  # chance: 0.1
    assert trained.iloc[-1].mean() > trained.iloc[0].mean()


def test_trained_heads_look_near_and_far(vits):
    trained, untrained = (
        attention.mean_distance(model, photographs("test", 8))
        for model in vits
    )
    side = 56 / 14
    for table in (trained, untrained):
        assert table["distance"].between(0, 14 * np.hypot(side, side)).all()
    spread = [
        t.groupby("layer")["distance"].std() for t in (trained, untrained)
    ]
    assert spread[0].mean() > 3 * spread[1].mean()


def test_residual_norms_of_a_real_vit(vits):
    for model in vits:
        found = residual.norm_ratios(model, photographs("test", 4))
        values = found.pivot(
            index=["layer", "token"], columns="quantity", values="value"
        )
        assert len(values) == 2 * 12 * 17
        assert np.isfinite(values).all().all()
        assert (values["ratio"] > 0).all()
        cosines = values[["cos_branch", "cos_output"]].abs()
        assert cosines.max().max() <= 1 + 1e-5


def test_similarity_of_real_networks(vits, efficient):
    scenes = photographs("test", 32)
    settings = {"tokens": "mean", "batch_size": 16}
    own = cka.measure(vits[0], None, scenes, **settings).cka
    np.testing.assert_allclose(np.diag(own), 1, atol=1e-5)
    np.testing.assert_allclose(own, own.T, atol=1e-5)
    across = cka.measure(vits[0], efficient, scenes, **settings).cka
    assert across.shape == (12, 16)
    assert np.isfinite(across).all()
    assert across.mean() < own.mean()


def test_a_cnn_has_norm_ratios_and_no_attention(efficient):
    scenes = photographs("test", 4)
    found = residual.norm_ratios(efficient, scenes)
    assert found.layer.nunique() == 9  # blocks that keep size and width
    assert np.isfinite(found.value).all()
    with pytest.raises(ValueError, match="has no attention"):
        attention.mean_distance(efficient, scenes)
