"""Families: each is named, its words are known, its reasons are told."""

import pytest
import timm

from helpers import models
from helpers.measures import attention_weights, receptive_fields, residual
from helpers.models import families
from helpers.models.families import recognition
from helpers.runtime.paths import checkout

SHARED = {"__init__", "family", "blocks", "recognition"}


def test_every_file_is_a_family_that_is_asked() -> None:
    folder = checkout() / "helpers" / "models" / "families"
    files = {path.stem for path in folder.glob("*.py")} - SHARED
    assert {family.name for family in families.FAMILIES} == files
    assert families.FAMILIES[-1].name == "generic"


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
        residual.measure(model, None)  # type: ignore[arg-type]
    assert attention_weights.obstacle(model) == "vgg11 has no attention"
    assert receptive_fields.branches(model) == {}
