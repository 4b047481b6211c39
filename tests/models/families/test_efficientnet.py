"""EfficientNet and MobileNet: every block, its skip and its branch."""

import copy

import pytest
import torch
from torch import nn

from helpers.measures import attention_weights
from helpers.models.vision_model import VisionModel
from tests.models.families import checks

KINDS = {
    "lite": "efficientnet_lite0",
    "squeeze, padded after the image": "tf_efficientnet_b0",
    "2": "efficientnetv2_rw_t",
    "mobilenet 1": "mobilenetv1_100",
    "mobilenet 3": "mobilenetv3_small_050",
    "mobilenet 4": "mobilenetv4_conv_small_050",
    "mobilenet 4 with attention": "mobilenetv4_hybrid_medium_075",
}


def build(kind: str) -> VisionModel:
    return checks.small(KINDS[kind])


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> VisionModel:
    return build(request.param)


def test_every_block_has_its_layers_in_forward_order(model) -> None:
    assert model.family.name == "efficientnet"
    tape = checks.recorded(model)
    assert list(tape) == list(model.taps)
    words = {name.rpartition(".")[2] for name in tape}
    assert words <= {*model.family.words}
    blocks = sum(len(stage) for stage in model.module.blocks)
    assert len([name for name in tape if name.endswith(".out")]) == blocks


def test_identities_of_the_residual_stream(model) -> None:
    checks.sums_hold(model)
    sums = model.family.sums(model.module, model.taps)
    skips = [b.has_skip for stage in model.module.blocks for b in stage]
    assert len(sums) == sum(skips) or "mobilenetv1" in model.spec


def test_a_block_is_its_parts() -> None:
    model = build("lite")
    tape = checks.recorded(model, "stages.1.0.out,stages.1.1.*")
    block = model.module.blocks[1][1]
    parts = ["conv1", "norm1", "conv2", "norm2", "conv3", "norm3", "out"]
    names = [f"stages.1.1.{part}" for part in parts]
    assert list(tape) == ["stages.1.0.out", *names]
    side = int(tape["stages.1.0.out"].shape[1] ** 0.5)
    x = z = tape["stages.1.0.out"].transpose(1, 2).unflatten(2, (side, side))
    order = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")
    for name, part in zip(names, order, strict=False):
        with torch.no_grad():
            x = getattr(block, part)(x).clone()
        torch.testing.assert_close(tape[name], x.flatten(2).transpose(1, 2))
    torch.testing.assert_close(
        tape[names[-1]], (z + x).flatten(2).transpose(1, 2)
    )


@pytest.mark.parametrize("kind", ["lite", "squeeze, padded after the image"])
def test_positions_lie_where_a_chain_of_even_convolutions_says(kind) -> None:
    model = build(kind)
    convs = [
        copy.deepcopy(m)
        for m in model.module.modules()
        if isinstance(m, nn.Conv2d) and m.stride == (2, 2)
    ]
    x = torch.zeros(1, 1, 224, 224, requires_grad=True)
    z = x
    for conv in convs:
        conv.in_channels = conv.out_channels = conv.groups = 1
        size = 1, 1, *conv.kernel_size
        conv.weight, conv.bias = nn.Parameter(torch.ones(size)), None
        z = conv(z)
    assert z.shape == (1, 1, 7, 7)
    z[0, 0, 3, 3].backward()
    mass = x.grad[0, 0].sum(0)
    middle = (mass * torch.arange(224)).sum() / mass.sum()
    centre = model.family.centre(model.module, 32)
    assert middle == pytest.approx(centre + 3 * 32, abs=1e-3)


def test_an_efficientnet_has_no_attention_that_is_read() -> None:
    why = attention_weights.obstacle(build("lite"))
    assert why == (
        "efficientnet_lite0 has no attention: it is an efficientnet"
    )
    why = attention_weights.obstacle(build("mobilenet 4 with attention"))
    assert "maps of two sizes" in (why or "")


@pytest.mark.parametrize("kind", ["lite", "mobilenet 3"])
def test_every_measure_has_numbers(kind) -> None:
    layers = "stages.2.*.out,stages.3.0.out"
    checks.all_measures(build(kind), attends=False, layers=layers)


def test_skips_can_be_removed() -> None:
    model = build("lite")
    checks.removal_gives_the_branch(
        model, "stages.1.1", "stages.1.1.norm3", "stages.1.1.out"
    )
