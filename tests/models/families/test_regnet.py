"""RegNet: every block, its skip and its branch."""

import pytest
import torch

from helpers.measures import attention_weights, skip_removal
from helpers.models.vision_model import VisionModel
from tests.models.families import checks

KINDS = {
    "x": "regnetx_002",
    "y, squeeze": "regnety_002",
    "z, blocks without skip": "regnetz_005",
    "v, norm first": "regnetv_040",  # the smallest
}


def build(kind: str) -> VisionModel:
    return checks.small(KINDS[kind])


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> VisionModel:
    return build(request.param)


def test_names_are_canonical_and_in_forward_order(model) -> None:
    assert model.family.name == "regnet"
    first = [n.split(".")[3] for n in model.taps if n.startswith("stages.0.0")]
    plain = ["conv1", "norm1", "conv2", "norm2", "conv3", "norm3", "out"]
    before = ["norm1", "conv1", "norm2", "conv2", "norm3", "conv3", "out"]
    expected = before if "regnetv" in model.spec else plain
    assert [word for word in first if word != "se"] == expected
    assert ("se" in first) == ("regnetx" not in model.spec)
    tape = checks.recorded(model)
    assert list(tape) == list(model.taps)
    stages = [model.module.get_submodule(f"s{i}") for i in range(1, 5)]
    blocks = sum(len(list(stage.children())) for stage in stages)
    assert len([name for name in tape if name.endswith(".out")]) == blocks


def test_identities_of_the_residual_stream(model) -> None:
    checks.sums_hold(model)
    blocks = len([name for name in model.taps if name.endswith(".out")])
    sums = model.family.sums(model.module, model.taps)
    assert (len(sums) < blocks) == ("regnetz" in model.spec)


def test_a_block_is_its_parts() -> None:
    model = build("x")
    tape = checks.recorded(model, "stages.3.1.*,stages.3.0.out")
    block = model.module.s4.b2
    side = int(tape["stages.3.0.out"].shape[1] ** 0.5)
    z = tape["stages.3.0.out"].transpose(1, 2).unflatten(2, (side, side))
    with torch.no_grad():
        f = block.conv3(block.conv2(block.conv1(z)))
    branch = f.flatten(2).transpose(1, 2)
    torch.testing.assert_close(tape["stages.3.1.norm3"], branch)
    out = (z + f).relu().flatten(2).transpose(1, 2)
    torch.testing.assert_close(tape["stages.3.1.out"], out)


def test_a_regnet_has_no_attention(model) -> None:
    why = attention_weights.obstacle(model)
    assert why == f"{model.spec} has no attention: it is a regnet"


@pytest.mark.parametrize("kind", ["y, squeeze", "v, norm first"])
def test_every_measure_has_numbers(kind) -> None:
    layers = "stages.0.0.out,stages.1.*.out"
    checks.all_measures(build(kind), attends=False, layers=layers)


def test_skips_can_be_removed() -> None:
    model = build("x")
    name = "stages.2.1"
    with skip_removal.remove_skip(model, name):
        tape = checks.recorded(model)
    torch.testing.assert_close(
        tape[f"{name}.out"], tape[f"{name}.norm3"].relu()
    )
