"""Families: each is named, its words are known, its reasons are told."""

import pytest
import timm
import torch

from helpers import images, models
from helpers.measures import (
    attention_weights,
    localization,
    receptive_fields,
    residual,
)
from helpers.models.families import recognition
from helpers.runtime.paths import checkout
from tests.models.families import checks

SHARED = {"__init__", "family", "blocks", "recognition", "token_attention"}


def test_every_file_is_a_family_that_is_asked() -> None:
    folder = checkout() / "helpers" / "models" / "families"
    files = {path.stem for path in folder.glob("*.py")} - SHARED
    assert {family.name for family in recognition.FAMILIES} == files
    assert recognition.FAMILIES[-1].name == "generic"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("vit_tiny_patch16_224", "vit"),
        ("vit_relpos_small_patch16_224", "generic"),
        ("resnet18", "resnet"),
        ("resnetv2_50x1_bit", "resnet"),
        ("mixer_s32_224", "mixer"),
        ("gmlp_s16_224", "generic"),
        ("test_vit", "vit"),
        ("vgg11", "generic"),
        ("levit_128s", "generic"),
        ("pvt_v2_b0", "generic"),
        ("tiny_vit_5m_224", "generic"),
    ],
)
def test_a_model_is_of_one_family(name: str, family: str) -> None:
    model = models.wrap(timm.create_model(name).eval(), name)
    assert model.family.name == family
    words = {layer.rpartition(".")[2] for layer in model.taps}
    assert words <= {*model.family.words}
    assert {*model.family.words} <= {*recognition.WORDS}


def test_what_a_family_cannot_do_is_told_with_its_reason() -> None:
    model = models.wrap(timm.create_model("vgg11").eval(), "vgg11")
    with pytest.raises(ValueError, match="vgg11 is of no family whose skip"):
        residual.measure(model, images.load("wardrobe", limit=4))
    assert attention_weights.obstacle(model) == "vgg11 has no attention"
    assert receptive_fields.branches(model) == {}


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("levit_128s", 9), ("pvt_v2_b0", 8), ("tiny_vit_5m_224", 12)],
)
def test_a_generic_model_has_every_block_in_forward_order(
    name: str, blocks: int
) -> None:
    model = checks.small(name)
    tape = checks.recorded(model, "out", "all")
    assert list(tape) == list(model.taps)
    assert sum(".blocks." in layer for layer in tape) == blocks
    assert len(tape) == blocks


def test_a_generic_map_with_channels_last_is_read_as_such() -> None:
    model = checks.small("tiny_vit_5m_224")
    name = "stages.3.blocks.1.out"
    stage = model.module.stages[3]
    seen = []
    handle = stage.register_forward_hook(lambda _m, _x, out: seen.append(out))
    each = checks.recorded(model, name)[name]
    handle.remove()
    assert seen[0].shape[2:] == (7, 7)
    torch.testing.assert_close(each, seen[0].flatten(2).transpose(1, 2))


def test_a_class_token_that_joins_after_the_layers_is_none() -> None:
    model = models.load("volo_d1_224?random&img_size=64")
    assert (model.prefix_tokens, model.has_class_token) == (0, False)
    assert checks.recorded(model, "network.4.out")["network.4.out"].ndim == 3
    maps = localization.heatmaps(model, checks.scenes(4), "out", 4, 4)
    assert list(maps) == list(model.taps)
