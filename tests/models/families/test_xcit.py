"""XCiT: three branches a block, and attention that has no distance."""

import pytest
import torch

from helpers.measures import (
    attention,
    attention_weights,
    receptive_fields,
    skip_removal,
)
from helpers.models.vision_model import VisionModel
from tests.models.families import checks

BLOCK = (
    *("ln1", "qkv", "heads", "attn", "mid", "local", "mixed"),
    *("ln2", "fc1", "act", "fc2", "out"),
)


@pytest.fixture
def model() -> VisionModel:
    return checks.small("xcit_nano_12_p16_224", img_size=64, depth=2)


def test_names_are_canonical_and_in_forward_order(model) -> None:
    parts = [f"blocks.{i}.{part}" for i in range(2) for part in BLOCK]
    assert model.family.name == "xcit"
    assert list(model.taps) == ["embed", *parts, "norm"]
    tape = checks.recorded(model)
    assert list(tape) == list(model.taps)
    assert {value.shape[1] for value in tape.values()} == {16}
    assert (model.grid, model.patch) == ((4, 4), (16, 16))


def test_identities_of_the_residual_stream(model) -> None:
    tape = checks.sums_hold(model)
    for i, before in enumerate(("embed", "blocks.0.out")):
        at = {part: tape[f"blocks.{i}.{part}"] for part in BLOCK}
        block = model.module.blocks[i]
        torch.testing.assert_close(at["mid"], tape[before] + at["attn"])
        local = block.local_mp(block.norm3(at["mid"]), 4, 4)
        torch.testing.assert_close(at["local"], block.gamma3 * local)
        torch.testing.assert_close(at["mixed"], at["mid"] + at["local"])
        torch.testing.assert_close(at["out"], at["mixed"] + at["fc2"])
    assert receptive_fields.branches(model) == {
        "attn": "mid",
        "local": "mixed",
        "fc2": "out",
    }


def test_attention_between_channels_has_no_distance(model) -> None:
    assert "cross-covariance" in (attention_weights.obstacle(model) or "")
    with pytest.raises(ValueError, match="no distance between patches"):
        attention.mean_distance(model, checks.scenes(2))


def test_every_measure_has_numbers(model) -> None:
    checks.all_measures(model, attends=False)


def test_skips_can_be_removed_where_a_hook_reaches_them(model) -> None:
    for branch, layer, out in [("attn", "attn", "mid"), ("mlp", "fc2", "out")]:
        with skip_removal.remove_skip(model, "blocks.0", branch):
            tape = checks.recorded(model)
        torch.testing.assert_close(
            tape[f"blocks.0.{out}"], tape[f"blocks.0.{layer}"]
        )
    before = checks.recorded(model, "out")
    with (
        pytest.raises(ValueError, match=r"around blocks\.0\.local .* inside"),
        skip_removal.remove_skip(model, "blocks.0"),
    ):
        pass
    after = checks.recorded(model, "out")
    assert torch.equal(after["blocks.1.out"], before["blocks.1.out"])
