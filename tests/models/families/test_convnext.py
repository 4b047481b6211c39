"""ConvNeXt 1 and 2: one branch a block, channels in either order."""

import pytest
import torch

from helpers import features
from helpers.measures import attention_weights, receptive_fields, skip_removal
from helpers.models.vision_model import VisionModel
from tests.models.families import checks

SHAPE = {"depths": (1, 2, 1, 1), "dims": (8, 16, 24, 32)}
KINDS = {
    "1": "convnext_tiny",
    "2, convolutions as MLP": "convnextv2_atto",
    "norm first, overlapping stem": "convnext_zepto_rms_ols",
}
BLOCK = ("conv1", "norm1", "fc1", "act", "fc2", "out")


def build(kind: str) -> VisionModel:
    return checks.small(KINDS[kind], **SHAPE)


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> VisionModel:
    return build(request.param)


def test_names_are_canonical_and_in_forward_order(model) -> None:
    expected = ["stem"]
    expected += [
        f"stages.{i}.{j}.{part}"
        for i, depth in enumerate(SHAPE["depths"])
        for j in range(depth)
        for part in BLOCK
    ]
    assert model.family.name == "convnext"
    assert [name for name in model.taps if name != "norm"] == expected
    tape = checks.recorded(model)
    assert list(tape) == list(model.taps)
    widths = [tape[f"stages.1.0.{part}"].shape[-1] for part in BLOCK]
    assert widths == [16, 16, 64, 64, 16, 16]


def test_identities_of_the_residual_stream(model) -> None:
    tape = checks.sums_hold(model)
    torch.testing.assert_close(
        tape["stages.1.1.out"],
        tape["stages.1.0.out"] + tape["stages.1.1.fc2"],
    )
    block = model.module.stages[1].blocks[1]
    side = int(tape["stages.1.1.fc1"].shape[1] ** 0.5)
    inner = tape["stages.1.1.fc1"].unflatten(1, (side, side))
    x = inner.movedim(-1, 1) if block.use_conv_mlp else inner
    act = block.mlp.act(x)
    act = act.movedim(1, -1) if block.use_conv_mlp else act
    torch.testing.assert_close(tape["stages.1.1.act"], act.flatten(1, 2))


def test_a_convnext_has_no_attention(model) -> None:
    why = attention_weights.obstacle(model)
    assert why == f"{model.spec} has no attention: it is a convnext"


@pytest.mark.parametrize("kind", KINDS)
def test_positions_lie_where_their_fields_are_centred(kind) -> None:
    """The field of a stem whose weights are even has its centre there."""
    model = build(kind)
    for module in model.module.stem.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.ones_(module.weight)
    down = model.module.stages[1].downsample[1]
    torch.nn.init.ones_(down.weight)
    found = receptive_fields.fields(
        model, checks.scenes(1), "stages.1.0.out", channels=2
    )
    assert found.centres.shape == (1, 2)
    convs = [m for m in model.module.stem if isinstance(m, torch.nn.Conv2d)]
    x = torch.zeros(1, 3, 64, 64, requires_grad=True)
    z = x
    for conv in (*convs, down):
        weight = torch.ones(1, z.shape[1], *conv.kernel_size)
        z = torch.nn.functional.conv2d(
            z, weight, stride=conv.stride, padding=conv.padding
        )
    z[0, 0, 4, 4].backward()
    mass = x.grad[0, 0].sum(0)
    middle = (mass * torch.arange(64)).sum() / mass.sum()
    assert middle == pytest.approx(
        model.family.centre(model.module, 8) + 4 * 8, abs=1e-4
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_measure_has_numbers(kind) -> None:
    checks.all_measures(build(kind), attends=False)


def test_skips_can_be_removed(model) -> None:
    checks.removal_gives_the_branch(
        model, "stages.1.1", "stages.1.1.fc2", "stages.1.1.out"
    )
    with (
        pytest.raises(ValueError, match="only valid branch is 'both'"),
        skip_removal.remove_skip(model, "all", "mlp"),
    ):
        pass
    with pytest.raises(ValueError, match="no class token"):
        features.record(model, "out", "cls").__enter__()
