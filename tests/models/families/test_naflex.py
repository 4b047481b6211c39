"""NaFlexViT: the blocks of a plain ViT or of EVA, on images of one size."""

import pytest
import torch

from helpers.models.vision_model import VisionModel
from tests.models.families import checks

KINDS = {
    "plain blocks": ("naflexvit_base_patch16_gap", {}),
    "registers": ("naflexvit_so150m2_patch16_reg1_gap", {}),
    "rotated": (
        "naflexvit_base_patch16_gap",
        {"attn_type": "eva", "rope_type": "axial"},
    ),
}


def build(kind: str) -> VisionModel:
    name, settings = KINDS[kind]
    shape = {"depth": 2, "embed_dim": 64, "num_heads": 4}
    return checks.small(name, **shape, **settings)


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> VisionModel:
    return build(request.param)


def test_tokens_are_prefix_tokens_and_a_grid(model) -> None:
    assert model.family.name == "naflex"
    tape = checks.recorded(model)
    assert list(tape) == list(model.taps)
    rows, columns = model.grid
    tokens = model.prefix_tokens + rows * columns
    assert {value.shape[1] for value in tape.values()} == {tokens}
    words = {name.rpartition(".")[2] for name in tape}
    assert {"embed", "qkv", "heads", "attn", "mid", "fc2", "out"} <= words


def test_weights_are_those_of_timm_and_times_values_what_heads_pass_on(
    model,
) -> None:
    found, theirs = checks.weights_of(model), checks.by_timm(model)
    assert len(found) == 2
    tape = checks.recorded(model, "qkv,heads")
    for i, (ours, other) in enumerate(zip(found, theirs, strict=True)):
        torch.testing.assert_close(ours, other, atol=1e-5, rtol=1e-4)
        v = tape[f"blocks.{i}.qkv"].chunk(3, -1)[2]
        v = v.unflatten(-1, (4, -1)).transpose(1, 2)
        heads = (ours @ v).transpose(1, 2).flatten(2)
        torch.testing.assert_close(
            heads, tape[f"blocks.{i}.heads"], atol=1e-5, rtol=1e-4
        )


def test_identities_of_the_residual_stream(model) -> None:
    checks.sums_hold(model)


@pytest.mark.parametrize("kind", ["registers", "rotated"])
def test_every_measure_has_numbers(kind) -> None:
    checks.all_measures(build(kind))


def test_skips_can_be_removed() -> None:
    model = build("plain blocks")
    for layer, out in [("attn", "mid"), ("fc2", "out")]:
        checks.removal_gives_the_branch(
            model, "blocks.0", f"blocks.0.{layer}", f"blocks.0.{out}"
        )
