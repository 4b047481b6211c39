"""Models of `transformers`, against what the library itself computes."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from helpers import features, images, models
from helpers.measures import attention
from helpers.models.vision_model import VisionModel
from tests.models.families import checks

transformers = pytest.importorskip("transformers")

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 32,
    "patch_size": 8,
}
HOW = {"input_size": 32, "mean": (0.5,) * 3, "std": (0.25,) * 3}
PARTS = (
    *("ln1", "qkv", "heads", "attn", "mid"),
    *("ln2", "gate", "fc1", "act", "fc2", "out"),
)
KINDS: dict[str, tuple[str, dict[str, Any], tuple[int, bool]]] = {
    "ViT": ("ViTModel", {"intermediate_size": 96}, (1, True)),
    "ViT, classifier": (
        "ViTForImageClassification",
        {"intermediate_size": 96},
        (1, True),
    ),
    "DeiT": ("DeiTModel", {"intermediate_size": 96}, (2, True)),
    "DINOv2": ("Dinov2Model", {}, (1, True)),
    "DINOv2, gated": ("Dinov2Model", {"use_swiglu_ffn": True}, (1, True)),
    "DINOv2, registers": (
        "Dinov2WithRegistersModel",
        {"num_register_tokens": 4},
        (5, True),
    ),
    "DINOv3": (
        "DINOv3ViTModel",
        {"num_register_tokens": 4, "intermediate_size": 96},
        (5, True),
    ),
    "DINOv3, gated": (
        "DINOv3ViTModel",
        {"use_gated_mlp": True, "intermediate_size": 96},
        (1, True),
    ),
    "CLIP": ("CLIPVisionModel", {"intermediate_size": 96}, (1, True)),
    "SigLIP": ("SiglipVisionModel", {"intermediate_size": 96}, (0, False)),
}


def build(kind: str) -> VisionModel:
    torch.manual_seed(0)
    name, more, _ = KINDS[kind]
    theirs = getattr(transformers, name)
    config = theirs.config_class(**SIZES, **more)
    config._attn_implementation = "eager"
    module = theirs(config)
    for parameter in module.parameters():  # no part near the identity
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
        elif parameter.ndim in (2, 3):
            nn.init.normal_(parameter, std=0.2)
    return models.wrap(module, preprocessing=HOW)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_names_are_canonical_and_in_forward_order(kind: str) -> None:
    model = build(kind)
    parts = [*PARTS]
    if "gated" not in kind:
        parts.remove("gate")
    inner = [f"blocks.{i}.{part}" for i in range(2) for part in parts]
    last = [] if kind == "CLIP" else ["norm"]
    assert model.family.name == "hugging_face"
    assert list(model.taps) == ["embed", *inner, *last]
    assert {*checks.recorded(model)} == {*model.taps}
    assert model.spec == type(model.module).__name__


def test_weights_are_theirs_and_times_values_what_heads_pass_on(
    kind: str,
) -> None:
    model = build(kind)
    found = checks.weights_of(model)
    with torch.no_grad():
        output = model.module(checks.noise(model), output_attentions=True)
    assert len(found) == len(output.attentions) == 2
    tape = checks.recorded(model, "qkv,heads")
    for i, (ours, theirs) in enumerate(
        zip(found, output.attentions, strict=True)
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
        v = tape[f"blocks.{i}.qkv"].chunk(3, -1)[2]
        heads = ours @ v.unflatten(-1, (3, -1)).transpose(1, 2)
        torch.testing.assert_close(
            heads.transpose(1, 2).flatten(2),
            tape[f"blocks.{i}.heads"],
            atol=1e-5,
            rtol=1e-4,
        )


def test_identities_of_the_residual_stream(kind: str) -> None:
    model = build(kind)
    tape = checks.sums_hold(model)
    with torch.no_grad():
        output = model.module(checks.noise(model), output_hidden_states=True)
    for name, theirs in zip(
        ("embed", "blocks.0.out"), output.hidden_states, strict=False
    ):
        torch.testing.assert_close(tape[name], theirs)
    if "norm" in tape and hasattr(output, "last_hidden_state"):
        torch.testing.assert_close(tape["norm"], output.last_hidden_state)


def test_tokens_are_prefix_tokens_and_a_grid(kind: str) -> None:
    model = build(kind)
    each = checks.recorded(model, "blocks.1.out")["blocks.1.out"]
    assert (model.prefix_tokens, model.has_class_token) == KINDS[kind][2]
    assert (model.grid, model.patch) == ((4, 4), (8, 8))
    assert each.shape[1] == model.prefix_tokens + 16
    if model.has_class_token:
        with features.record(model, "embed", "cls") as tape:
            model(checks.noise(model))
        torch.testing.assert_close(tape["embed"][0], tape["embed"][1])


@pytest.mark.parametrize("kind", ["DINOv2, registers", "DINOv3", "SigLIP"])
def test_every_measure_has_numbers(kind: str) -> None:
    checks.all_measures(build(kind))


@pytest.mark.parametrize("kind", ["ViT", "DINOv3"])
def test_skips_can_be_removed(kind: str) -> None:
    model = build(kind)
    for layer, out in [("attn", "mid"), ("fc2", "out")]:
        checks.removal_gives_the_branch(
            model, "blocks.0", f"blocks.0.{layer}", f"blocks.0.{out}"
        )


def test_images_of_another_size_than_the_checkpoint_was_trained_on() -> None:
    """As DINOv2 on the hub: built for 518 pixels, shown 224."""
    own = {**HOW, "input_size": (3, 48, 32)}
    for kind in ("DINOv2", "DINOv3"):
        model = models.wrap(build(kind).module, preprocessing=own)
        assert model.grid == (6, 4)
        with torch.no_grad():
            theirs = model.module(
                checks.noise(model), output_attentions=True
            ).attentions
        for ours, other in zip(checks.weights_of(model), theirs, strict=True):
            torch.testing.assert_close(ours, other, atol=1e-5, rtol=1e-4)


def test_of_images_and_text_the_part_that_sees() -> None:
    small = {**SIZES, "intermediate_size": 96}
    words = {k: small[k] for k in list(small)[:3]} | {"vocab_size": 99}
    config = transformers.CLIPConfig(
        vision_config=small, text_config=words, projection_dim=16
    )
    both = transformers.CLIPModel(config)
    model = models.wrap(both, "mine", preprocessing=HOW)
    assert model.module is both.vision_model
    assert len(attention.mean_distance(model, checks.scenes(2))) == 6


def test_an_unknown_kind_is_measured_at_its_blocks() -> None:
    config = transformers.ViTMSNConfig(**SIZES, intermediate_size=96)
    model = models.wrap(transformers.ViTMSNModel(config), preprocessing=HOW)
    assert model.family.name == "generic"
    assert len(model.taps) == 2
    assert "ViTMSN" in str(model.family.attention(model.module))


def test_tokens_of_varying_number_are_refused() -> None:
    config = transformers.Siglip2VisionConfig(
        hidden_size=48, num_hidden_layers=1, num_attention_heads=3
    )
    module = transformers.Siglip2VisionModel(config)
    with pytest.raises(ValueError, match=r"NaFlex.*siglip_224\.v2_webli"):
        models.wrap(module, preprocessing=HOW)


def test_preprocessing_is_never_guessed() -> None:
    module = copy.deepcopy(build("ViT").module)
    del module.pretrained_cfg
    with pytest.raises(ValueError, match=r"ViTModel does not tell how.*image"):
        models.wrap(module)


PROCESSORS = [
    ("ViTImageProcessor", {"size": {"height": 32, "width": 32}}),
    (
        "CLIPImageProcessor",
        {
            "size": {"shortest_edge": 40},
            "crop_size": {"height": 32, "width": 32},
        },
    ),
    ("SiglipImageProcessor", {"size": {"height": 32, "width": 32}}),
    (
        "BitImageProcessor",
        {
            "size": {"shortest_edge": 37},
            "crop_size": {"height": 32, "width": 32},
        },
    ),
]


@pytest.mark.parametrize(("name", "settings"), PROCESSORS)
def test_pictures_are_prepared_as_by_the_processor(
    name: str, settings: dict[str, Any]
) -> None:
    processor = getattr(transformers, name)(**settings)
    model = models.wrap(build("ViT").module, preprocessing=processor)
    picture = images.load("wardrobe", limit=1)[0].resize((80, 60))
    theirs = processor(picture, return_tensors="pt").pixel_values[0]
    ours = model.transform(picture)
    assert ours.shape == theirs.shape
    # They resize whole bytes or floats, as their version has it.
    scale = 1 / (255 * min(processor.image_std))
    assert (ours - theirs).abs().max() <= 2.01 * scale
