"""Hiera: mask units, pooled queries, maps with every patch in its place."""

import numpy as np
import pytest
import torch

from helpers.measures import attention, attention_weights, skip_removal
from helpers.models.vision_model import VisionModel
from tests.models.families import checks

KINDS = {
    "mask units": ("hiera_tiny_224", {}),
    "absolute windows": ("hiera_small_abswin_256", {}),
}


def build(kind: str) -> VisionModel:
    name, settings = KINDS[kind]
    shape = {"img_size": 64, "embed_dim": 16, "stages": (1, 2, 2, 1)}
    return checks.small(name, **shape, **settings)


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> VisionModel:
    return build(request.param)


def test_names_are_canonical_and_in_forward_order(model) -> None:
    assert model.family.name == "hiera"
    parts = ("ln1", "qkv", "heads", "attn", "mid")
    parts += ("ln2", "fc1", "act", "fc2", "out")
    blocks = [f"blocks.{i}.{part}" for i in range(6) for part in parts]
    assert list(model.taps) == ["embed", *blocks]
    tape = checks.recorded(model)
    assert list(tape) == list(model.taps)
    sizes = [tape[f"blocks.{i}.out"].shape[1] for i in range(6)]
    full = sizes[0]
    assert sizes == [full, *[full // 4] * 2, *[full // 16] * 2, full // 64]


def test_layers_are_maps_of_the_image(model) -> None:
    x = checks.noise(model)
    with torch.no_grad():
        z = model.module._pos_embed(model.module.patch_embed(x))
    torch.testing.assert_close(checks.recorded(model, "embed")["embed"], z)


def test_weights_times_values_in_their_places_are_what_heads_pass_on(
    model,
) -> None:
    layers = attention_weights.attention_layers(model).values()
    tape = checks.recorded(model, "qkv,heads")
    for layer, w in zip(layers, checks.weights_of(model), strict=True):
        torch.testing.assert_close(w.sum(-1), torch.ones(w.shape[:-1]))
        n, heads, queries, _ = w.shape
        patches = layer.grid[0] * layer.grid[1]
        dense = torch.zeros(n, heads, queries, patches)
        dense[:, :, layer.queries] = torch.zeros_like(dense).scatter(
            3, layer.keys.expand(n, heads, -1, -1), w
        )
        qkv = tape[layer.layer.replace("heads", "qkv")]
        v = qkv.chunk(3, -1)[2].unflatten(-1, (heads, -1)).transpose(1, 2)
        fused = (dense @ v).transpose(1, 2).flatten(2)
        torch.testing.assert_close(
            fused, tape[layer.layer], atol=1e-5, rtol=1e-4
        )


def test_identities_of_the_residual_stream(model) -> None:
    checks.sums_hold(model)


def test_the_keys_of_a_query_are_a_block_of_patches() -> None:
    model = build("mask units")
    unit, pooling, *_ = attention_weights.attention_layers(model).values()
    rows, columns = unit.grid
    query = int((unit.queries == columns + 9).nonzero())
    keys = np.array(np.divmod(unit.keys[query].numpy(), columns))
    assert keys.min(1).tolist() == [0, 8]
    assert keys.max(1).tolist() == [7, 15]
    assert len(keys.T) == 64
    assert pooling.grid == (rows, columns)
    assert pooling.query_grid == (rows // 2, columns // 2)


def test_distances_of_even_attention_are_those_of_the_mask_unit() -> None:
    model = build("mask units")
    for block in model.module.blocks:
        torch.nn.init.zeros_(block.attn.qkv.weight)
        torch.nn.init.zeros_(block.attn.qkv.bias)
    found = attention.measure(model, checks.scenes(2), [0, 1])
    fine = (np.indices((8, 8)).reshape(2, -1).T + 0.5) * 4
    coarse = (np.indices((4, 4)).reshape(2, -1).T + 0.5) * 8
    heads = found.heads
    for i, queries in enumerate((fine, coarse)):
        apart = np.linalg.norm(queries[:, None] - fine, axis=-1)
        np.testing.assert_allclose(
            found.mean[i, : heads[i]], apart.mean(), rtol=1e-5
        )


def test_every_measure_has_numbers() -> None:
    checks.all_measures(build("mask units"))


def test_skips_can_be_removed_where_they_are_not_pooled(model) -> None:
    for layer, out in [("attn", "mid"), ("fc2", "out")]:
        checks.removal_gives_the_branch(
            model, "blocks.2", f"blocks.2.{layer}", f"blocks.2.{out}"
        )
    with (
        pytest.raises(ValueError, match=r"around blocks\.1\.attn .* inside"),
        skip_removal.remove_skip(model, "blocks.1"),
    ):
        pass
