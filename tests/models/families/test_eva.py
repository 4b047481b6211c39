"""EVA-02, DINOv3, Perception Encoder and other RoPE transformers."""

import pytest
import torch
from timm.layers import GluMlp, SwiGLU

from helpers import features
from helpers.measures import attention
from helpers.models.vision_model import VisionModel
from tests.models.families import checks

KINDS = {
    "dinov3": ("vit_small_patch16_dinov3", {"img_size": 64}),
    "dinov3, q, k and v bias": (
        "vit_small_patch16_dinov3_qkvb",
        {"img_size": (48, 80)},
    ),
    "eva02": ("eva02_tiny_patch14_224", {"img_size": 56}),
    "norms inside, split projections": (
        "eva02_base_patch14_224",
        {"img_size": 56, "embed_dim": 96, "num_heads": 3},
    ),
    "perception encoder": ("vit_pe_core_tiny_patch16_384", {"img_size": 64}),
    "mixed RoPE": ("vit_small_patch16_rope_mixed_224", {"img_size": 64}),
    "registers": (
        "vit_medium_patch16_rope_reg1_gap_256",
        {"img_size": 64},
    ),
    "norms last": (
        "eva02_enormous_patch14_clip_224",
        {"img_size": 56, "embed_dim": 96, "num_heads": 3},
    ),
    "shared keys": (
        "vit_base_patch16_sapiens2",
        {
            "img_size": 64,
            "embed_dim": 96,
            "num_heads": 6,
            "num_kv_heads": 2,
        },
    ),
}
BLOCK = (
    *("ln1", "qkv", "heads", "attn", "mid"),
    *("ln2", "gate", "fc1", "act", "fc2", "out"),
)


def build(kind: str) -> VisionModel:
    name, settings = KINDS[kind]
    return checks.small(name, depth=2, **settings)


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> VisionModel:
    return build(request.param)


def test_names_are_canonical_and_in_forward_order(model) -> None:
    block = model.module.blocks[0]
    left_out = set()
    if not isinstance(block.mlp, (GluMlp, SwiGLU)):
        left_out.add("gate")
    if type(block).__name__ == "EvaBlockPostNorm":
        left_out |= {"ln1", "ln2"}
    parts = [part for part in BLOCK if part not in left_out]
    expected = [f"blocks.{i}.{part}" for i in range(2) for part in parts]
    names = [n for n in model.taps if n not in ("embed", "norm")]
    assert model.family.name == "eva"
    assert names == expected
    assert list(checks.recorded(model)) == list(model.taps)


def test_weights_are_those_of_timm_and_times_values_what_heads_pass_on(
    model,
) -> None:
    found, theirs = checks.weights_of(model), checks.by_timm(model)
    assert len(found) == 2
    for ours, other in zip(found, theirs, strict=True):
        torch.testing.assert_close(ours, other, atol=1e-5, rtol=1e-4)
    inner: list[torch.Tensor] = []
    handles = [
        block.attn.norm.register_forward_pre_hook(
            lambda _m, x: inner.append(x[0].detach())
        )
        for block in model.module.blocks
    ]
    tape = checks.recorded(model, "qkv")
    for handle in handles:
        handle.remove()
    for i, (ours, fused) in enumerate(zip(found, inner, strict=True)):
        attn = model.module.blocks[i].attn
        groups = getattr(attn, "num_kv_groups", 1)
        width = attn.num_heads // groups * attn.head_dim
        v = tape[f"blocks.{i}.qkv"][..., -width:]
        v = v.unflatten(-1, (-1, attn.head_dim)).transpose(1, 2)
        heads = ours @ v.repeat_interleave(groups, 1)
        torch.testing.assert_close(
            heads.transpose(1, 2).flatten(2), fused, atol=1e-5, rtol=1e-4
        )


def test_identities_of_the_residual_stream(model) -> None:
    tape = checks.sums_hold(model)
    for i, block in enumerate(model.module.blocks):
        inner = tape[f"blocks.{i}.act"]
        branch = block.mlp.fc2(block.mlp.norm(inner))
        if hasattr(block, "gamma_2"):
            scale = 1 if block.gamma_2 is None else block.gamma_2
            torch.testing.assert_close(tape[f"blocks.{i}.fc2"], scale * branch)
        if f"blocks.{i}.gate" in tape:
            product = block.mlp.act(tape[f"blocks.{i}.gate"])
            torch.testing.assert_close(
                inner, product * tape[f"blocks.{i}.fc1"]
            )


def test_tokens_are_prefix_tokens_and_a_grid(model) -> None:
    each = checks.recorded(model, "blocks.1.out")["blocks.1.out"]
    rows, columns = model.grid
    assert each.shape[1] == model.prefix_tokens + rows * columns
    size = model.preprocessing["input_size"][1:]
    assert (rows * model.patch[0], columns * model.patch[1]) == size
    if model.has_class_token:
        with features.record(model, "embed", "cls") as tape:
            model(checks.noise(model))
        torch.testing.assert_close(tape["embed"][0], tape["embed"][1])


def test_dinov3_has_a_class_token_and_four_registers() -> None:
    model = build("dinov3")
    assert (model.prefix_tokens, model.has_class_token) == (5, True)
    table = attention.mean_distance(model, checks.scenes(2))
    assert len(table) == 12
    assert (table.on_patches < 1).all()


@pytest.mark.parametrize("kind", ["dinov3", "mixed RoPE", "norms last"])
def test_every_measure_has_numbers(kind) -> None:
    checks.all_measures(build(kind))


@pytest.mark.parametrize("kind", ["dinov3", "norms last"])
def test_skips_can_be_removed(kind) -> None:
    model = build(kind)
    for layer, out in [("attn", "mid"), ("fc2", "out")]:
        checks.removal_gives_the_branch(
            model, "blocks.0", f"blocks.0.{layer}", f"blocks.0.{out}"
        )
