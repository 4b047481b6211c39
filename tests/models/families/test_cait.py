"""CaiT: talking heads, LayerScale as parameters, a class token at the end."""

import pytest
import torch

from helpers import features
from helpers.models.vision_model import VisionModel
from tests.models.families import checks

BLOCK = (
    *("ln1", "qkv", "heads", "attn", "mid"),
    *("ln2", "fc1", "act", "fc2", "out"),
)


@pytest.fixture
def model() -> VisionModel:
    found = checks.small("cait_xxs24_224", img_size=64, depth=2)
    for block in found.module.blocks:
        for mix in (block.attn.proj_l, block.attn.proj_w):
            torch.nn.init.normal_(mix.weight, std=0.7)
    return found


def test_names_are_canonical_and_in_forward_order(model) -> None:
    parts = [f"blocks.{i}.{part}" for i in range(2) for part in BLOCK]
    assert model.family.name == "cait"
    assert list(model.taps) == ["embed", *parts, "norm"]
    tape = checks.recorded(model)
    assert list(tape) == list(model.taps)
    assert {value.shape[1] for value in tape.values()} == {16}


def test_weights_after_the_last_mix_times_values_are_what_heads_pass_on(
    model,
) -> None:
    """timm's dropout follows the last mix of heads."""
    tape = checks.recorded(model, "qkv,heads")
    theirs = checks.by_timm(model)
    for i, ours in enumerate(checks.weights_of(model)):
        torch.testing.assert_close(ours.sum(-1), torch.ones(2, 4, 16))
        attn = model.module.blocks[i].attn
        mixed = torch.einsum("nhqk,gh->ngqk", ours, attn.proj_w.weight)
        mixed = mixed + attn.proj_w.bias[:, None, None]
        torch.testing.assert_close(mixed, theirs[i], atol=1e-5, rtol=1e-4)
        v = tape[f"blocks.{i}.qkv"].chunk(3, -1)[2]
        v = v.unflatten(-1, (4, -1)).transpose(1, 2)
        heads = (mixed @ v).transpose(1, 2).flatten(2)
        torch.testing.assert_close(
            heads, tape[f"blocks.{i}.heads"], atol=1e-5, rtol=1e-4
        )


def test_identities_of_the_residual_stream(model) -> None:
    tape = checks.sums_hold(model)
    block = model.module.blocks[1]
    branch = block.gamma_1 * block.attn(tape["blocks.1.ln1"])
    torch.testing.assert_close(tape["blocks.1.attn"], branch)


def test_no_class_token_among_the_patches(model) -> None:
    assert (model.prefix_tokens, model.has_class_token) == (0, False)
    assert (model.grid, model.patch) == ((4, 4), (16, 16))
    with (
        pytest.raises(ValueError, match="no class token"),
        features.record(model, "out", "cls"),
    ):
        pass


def test_every_measure_has_numbers(model) -> None:
    checks.all_measures(model)


def test_skips_can_be_removed(model) -> None:
    for layer, out in [("attn", "mid"), ("fc2", "out")]:
        checks.removal_gives_the_branch(
            model, "blocks.0", f"blocks.0.{layer}", f"blocks.0.{out}"
        )
