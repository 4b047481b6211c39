"""Attention against timm's own weights and loops over the definition."""

import numpy as np
import pytest
import timm
import torch
from scipy import special
from torch import nn

from helpers import images, models
from helpers.measures import attention, attention_distance, attention_weights
from helpers.models.families import vit as vit_family
from helpers.models.families.family import AttentionLayer, Tap

VITS = {
    "plain": ("vit_tiny_patch16_224", {"img_size": 64}),
    "registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 56}),
    "no class token": ("vit_medium_patch16_gap_256", {"img_size": 64}),
    "q and k norm": ("vit_tiny_patch16_224", {"qk_norm": True}),
    "oblong": ("vit_tiny_patch16_224", {"img_size": (48, 80)}),
    "distilled": ("deit_tiny_distilled_patch16_224", {}),
}


def vit(kind: str, depth: int = 2, fused: bool = True) -> models.VisionModel:
    """An untrained ViT whose heads differ from each other and from even."""
    name, settings = VITS[kind]
    torch.manual_seed(0)
    module = timm.create_model(name, depth=depth, **settings).eval()
    for block in module.blocks:
        nn.init.normal_(block.attn.qkv.weight, std=0.2)
        block.attn.fused_attn = fused
        for norm in (block.attn.q_norm, block.attn.k_norm):
            for parameter in norm.parameters():
                nn.init.uniform_(parameter, 0.5, 1.5)
    return models.wrap(module, name)


def prepared(model: models.VisionModel, scenes: images.Images) -> torch.Tensor:
    return next(scenes.batches(model, batch_size=len(scenes)))[1][0]


def by_timm(model: models.VisionModel, x: torch.Tensor) -> list[torch.Tensor]:
    """The weights that timm itself forms without fused attention."""
    seen: list[torch.Tensor] = []
    handles = []
    for block in model.module.blocks:
        block.attn.fused_attn = False
        handles.append(
            block.attn.attn_drop.register_forward_hook(
                lambda _m, _args, out: seen.append(out.detach())
            )
        )
    model(x)
    for handle in handles:
        handle.remove()
    for block in model.module.blocks:
        block.attn.fused_attn = True
    return seen


@pytest.fixture(scope="module")
def scenes() -> images.Images:
    return images.load("wardrobe", limit=3)


@pytest.mark.parametrize("kind", VITS)
def test_weights_are_those_of_timm(kind, scenes):
    model = vit(kind)
    expected = by_timm(model, prepared(model, scenes))
    found = attention.maps(model, scenes, query="centre")
    for ours, theirs in zip(found, expected, strict=True):
        rows, columns = model.grid
        first = model.prefix_tokens
        token = first + rows // 2 * columns + columns // 2
        row = theirs[:, :, token, first:].unflatten(-1, model.grid)
        np.testing.assert_allclose(ours, row, atol=1e-5)


@pytest.mark.parametrize("kind", VITS)
@pytest.mark.parametrize("renormalise", [False, True])
def test_distance_is_a_loop_over_queries_and_keys(kind, renormalise, scenes):
    model = vit(kind)
    (gh, gw), (ph, pw) = model.grid, model.patch
    table = attention.mean_distance(model, scenes, renormalise=renormalise)
    assert len(table) == sum(b.attn.num_heads for b in model.module.blocks)
    theirs = by_timm(model, prepared(model, scenes))
    for block, head in [(0, 0), (1, 1)]:
        each = []
        for image in theirs[block][:, head].double().numpy():
            kept = image[model.prefix_tokens :, model.prefix_tokens :]
            total = 0.0
            for q in range(gh * gw):
                share = kept[q] / kept[q].sum() if renormalise else kept[q]
                for k in range(gh * gw):
                    down = (q // gw - k // gw) * ph
                    across = (q % gw - k % gw) * pw
                    total += share[k] * np.hypot(down, across)
            each.append(total / (gh * gw))
        row = table[(table.block == block) & (table["head"] == head)].iloc[0]
        assert row.distance == pytest.approx(np.mean(each), rel=1e-5)
        se = np.std(each, ddof=1) / np.sqrt(len(each))
        assert row.se == pytest.approx(se, rel=1e-3)


def test_fused_or_not_is_the_same(scenes):
    tables = [
        attention.mean_distance(vit("plain", fused=fused), scenes)
        for fused in (True, False)
    ]
    np.testing.assert_allclose(
        tables[0].distance, tables[1].distance, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("grid", "patch", "pixels"),
    [((14, 14), 16, 116.5), ((7, 7), 32, 115.5), ((16, 16), 14, 116.6)],
)
def test_even_attention_has_the_known_distance(grid, patch, pixels):
    tokens = torch.arange(grid[0] * grid[1])
    layer = AttentionLayer(
        *("", Tap(""), 1, torch.Tensor.float, grid, (patch, patch)),
        queries=tokens,
        keys=tokens,
    )
    apart, uniform = attention_distance.between(layer)
    assert apart.mean() == uniform == pytest.approx(pixels, abs=0.05)


@pytest.mark.parametrize("kind", ["plain", "registers", "oblong"])
def test_a_head_that_attends_evenly(kind, scenes):
    model = vit(kind)
    for block in model.module.blocks:
        nn.init.zeros_(block.attn.qkv.weight)
        nn.init.zeros_(block.attn.qkv.bias)
    table = attention.mean_distance(model, scenes, renormalise=True)
    np.testing.assert_allclose(table.relative, 1, rtol=1e-5)
    patches = model.grid[0] * model.grid[1]
    share = patches / (patches + model.prefix_tokens)
    table = attention.mean_distance(model, scenes)
    np.testing.assert_allclose(table.relative, share, rtol=1e-5)
    np.testing.assert_allclose(table.on_patches, share, rtol=1e-5)


def test_a_head_that_attends_to_its_own_patch(scenes):
    model = vit("q and k norm", depth=1)
    layer = model.module.blocks[0].attn
    layer.qkv.weight.data[:192] = layer.qkv.weight.data[192:384]
    nn.init.zeros_(layer.qkv.bias)
    for norm in (layer.q_norm, layer.k_norm):  # q and k alike, of one length
        nn.init.constant_(norm.weight, 20)
        nn.init.zeros_(norm.bias)
    table = attention.mean_distance(model, scenes)
    np.testing.assert_allclose(table.distance, 0, atol=1e-3)


def test_blocks_ranks_and_depths(scenes):
    model = vit("plain", depth=3)
    table = attention.mean_distance(model, scenes, blocks=[0, -1])
    assert table.block.unique().tolist() == [0, 2]
    whole = attention.mean_distance(model, scenes)
    same = whole[whole.block.isin([0, 2])].reset_index(drop=True)
    np.testing.assert_allclose(table.distance, same.distance)
    for _, part in table.groupby("block"):
        near = part.sort_values("rank").distance
        assert near.is_monotonic_increasing
    assert 0 < table.depth.min() < table.depth.max() < 1


def test_leave_one_out_leaves_one_out(scenes):
    model = vit("plain")
    found = attention.measure(model, scenes)
    without = np.delete(found.each, 1, axis=0).mean(0) / found.uniform
    np.testing.assert_allclose(found.leave_one_out[1], without)


def test_parts_of_a_batch_give_the_same(scenes, monkeypatch):
    model = vit("plain")
    whole = attention.measure(model, scenes).each
    monkeypatch.setattr(attention_weights, "WEIGHTS_AT_ONCE", 1)
    np.testing.assert_allclose(attention.measure(model, scenes).each, whole)


def test_maps_of_the_class_token_and_of_a_patch(scenes):
    model = vit("oblong")
    ours = attention.maps(model, scenes, [-1])
    theirs = by_timm(model, prepared(model, scenes))[-1]
    np.testing.assert_allclose(
        ours.reshape(3, 3, 15), theirs[:, :, 0, 1:], atol=3e-6
    )
    patch = attention.maps(model, scenes, [-1], query=7)
    np.testing.assert_allclose(
        patch.reshape(3, 3, 15), theirs[:, :, 8, 1:], atol=3e-6
    )
    assert attention.place(model, 7) == (1, 2)
    assert attention.place(model, "centre") == (1, 2)
    assert attention.place(model, "cls") is None


def test_queries_that_do_not_exist_are_refused(scenes):
    model = vit("no class token")
    with pytest.raises(ValueError, match="no class token"):
        attention.maps(model, scenes, [0])
    with pytest.raises(ValueError, match="nearest: 'centre'"):
        attention.maps(model, scenes, [0], query="center")
    with pytest.raises(ValueError, match=r"patches 0 to 15; .* no patch 16"):
        attention.maps(model, scenes, [0], query=16)
    with pytest.raises(ValueError, match=r"blocks 0 to 1 .* got \[2\]"):
        attention.mean_distance(model, scenes, blocks=[0, 2])


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("resnet18?random", "no attention: it is a resnet"),
        ("mixer_s32_224?random", "no attention: it is a mixer"),
        ("convnext_atto?random", "has no attention"),
        ("volo_d1_224?random", "OutlookAttention"),
        ("crossvit_9_240?random", "crossvit.CrossAttention"),
        ("vit_relpos_small_patch16_224?random", "RelPosAttention"),
    ],
)
def test_models_that_cannot_be_read_say_why(spec, why, scenes):
    model = models.load(spec, device="cpu")
    assert why in (attention_weights.obstacle(model) or "")
    with pytest.raises(ValueError, match="attention"):
        attention.mean_distance(model, scenes)


def test_a_changed_attention_is_refused(scenes):
    module = timm.create_model(
        "vit_tiny_patch16_224", depth=2, attn_layer="diff"
    )
    model = models.wrap(module.eval(), "differential")
    assert "DiffAttention" in (attention_weights.obstacle(model) or "")


def test_weights_are_a_softmax_in_float32():
    module = vit("plain", depth=1).module.blocks[0].attn.half()
    qkv = torch.randn(2, 5, 3 * 192).half()
    found = vit_family.weights(module, qkv)
    assert found.dtype == torch.float32
    q, k, _ = (
        qkv.double().numpy().reshape(2, 5, 3, 3, 64).transpose(2, 0, 3, 1, 4)
    )
    expected = special.softmax(q @ k.swapaxes(-1, -2) / 8, -1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
