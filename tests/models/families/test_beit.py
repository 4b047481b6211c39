"""BEiT: relative position bias, a table of each block or one for all."""

import pytest
import torch

from helpers.models.vision_model import VisionModel
from tests.models.families import checks

KINDS = {
    "table of each block": {},
    "one table for all": {
        "use_rel_pos_bias": False,
        "use_shared_rel_pos_bias": True,
    },
    "gated MLP, no bias": {"use_rel_pos_bias": False, "swiglu_mlp": True},
}
BLOCK = (
    *("ln1", "qkv", "heads", "attn", "mid"),
    *("ln2", "gate", "fc1", "act", "fc2", "out"),
)


def build(kind: str) -> VisionModel:
    return checks.small(
        "beit_base_patch16_224",
        img_size=64,
        depth=2,
        embed_dim=48,
        num_heads=3,
        **KINDS[kind],
    )


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> VisionModel:
    return build(request.param)


def test_names_are_canonical_and_in_forward_order(model) -> None:
    gated = "fc1_g" in dict(model.module.blocks[0].mlp.named_children())
    parts = [part for part in BLOCK if gated or part != "gate"]
    expected = [f"blocks.{i}.{part}" for i in range(2) for part in parts]
    assert model.family.name == "beit"
    assert [n for n in model.taps if n not in ("embed", "norm")] == expected
    assert list(checks.recorded(model)) == list(model.taps)


def test_weights_are_those_of_timm_and_times_values_what_heads_pass_on(
    model,
) -> None:
    found, theirs = checks.weights_of(model), checks.by_timm(model)
    assert len(found) == 2
    tape = checks.recorded(model, "qkv,heads")
    for i, (ours, other) in enumerate(zip(found, theirs, strict=True)):
        torch.testing.assert_close(ours, other, atol=1e-5, rtol=1e-4)
        v = tape[f"blocks.{i}.qkv"].chunk(3, -1)[2]
        v = v.unflatten(-1, (3, -1)).transpose(1, 2)
        heads = (ours @ v).transpose(1, 2).flatten(2)
        torch.testing.assert_close(
            heads, tape[f"blocks.{i}.heads"], atol=1e-5, rtol=1e-4
        )


def test_the_bias_is_not_nothing() -> None:
    model = build("table of each block")
    before = checks.weights_of(model)[0]
    table = model.module.blocks[0].attn.relative_position_bias_table
    torch.nn.init.zeros_(table)
    assert (checks.weights_of(model)[0] - before).abs().max() > 0.01


def test_identities_of_the_residual_stream(model) -> None:
    checks.sums_hold(model)
    assert (model.prefix_tokens, model.has_class_token) == (1, True)
    assert (model.grid, model.patch) == ((4, 4), (16, 16))


def test_every_measure_has_numbers(model) -> None:
    checks.all_measures(model)


def test_skips_can_be_removed() -> None:
    model = build("one table for all")
    for layer, out in [("attn", "mid"), ("fc2", "out")]:
        checks.removal_gives_the_branch(
            model, "blocks.0", f"blocks.0.{layer}", f"blocks.0.{out}"
        )
