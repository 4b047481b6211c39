"""Swin 1 and 2: windows, shifts, and maps with every patch in its place."""

import numpy as np
import pytest
import timm
import torch

from helpers import models
from helpers.measures import attention, attention_weights
from helpers.models.vision_model import VisionModel
from tests.models.families import checks

SHAPE = {"img_size": 64, "depths": (2, 2), "num_heads": (2, 4)}
KINDS = {
    "1": (
        "swin_tiny_patch4_window7_224",
        SHAPE | {"window_size": 4, "embed_dim": 16},
    ),
    "2": ("swinv2_tiny_window8_256", SHAPE | {"embed_dim": 16}),
    "padded": (
        "swin_tiny_patch4_window7_224",
        SHAPE | {"window_size": 5, "embed_dim": 16},
    ),
    "oblong": (
        "swinv2_tiny_window8_256",
        SHAPE | {"img_size": (64, 96), "window_size": 4, "embed_dim": 16},
    ),
}


def build(kind: str) -> VisionModel:
    name, settings = KINDS[kind]
    return checks.small(name, **settings)


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> VisionModel:
    return build(request.param)


def test_names_are_canonical_and_in_forward_order(model) -> None:
    block = ["qkv", "heads", "attn", "mid", "fc1", "act", "fc2", "out"]
    if "v2" not in model.spec:
        block = ["ln1", *block[:4], "ln2", *block[4:]]
    expected = ["embed"]
    expected += [
        f"stages.{i}.{j}.{b}" for i in (0, 1) for j in (0, 1) for b in block
    ]
    assert model.family.name == "swin"
    assert list(model.taps) == [*expected, "norm"]
    tape = checks.recorded(model)
    assert list(tape) == list(model.taps)
    h, w = model.preprocessing["input_size"][1:]
    assert {t.shape[1] for t in tape.values()} == {h * w // 16, h * w // 64}


def test_weights_are_those_of_timm_window_by_window(model) -> None:
    found, theirs = checks.weights_of(model), checks.by_timm(model)
    assert len(found) == len(theirs) == 4
    for ours, other in zip(found, theirs, strict=True):
        windows = other.unflatten(0, (2, -1)).transpose(1, 2).flatten(2, 3)
        torch.testing.assert_close(ours, windows, atol=1e-5, rtol=1e-4)


def test_weights_times_values_in_their_places_are_what_heads_pass_on(
    model,
) -> None:
    if model.module.layers[0].blocks[0].window_size == (5, 5):
        pytest.skip("values of padding are no patch of the map")
    layers = attention_weights.attention_layers(model).values()
    tape = checks.recorded(model, "qkv,heads")
    for layer, w in zip(layers, checks.weights_of(model), strict=True):
        n, heads, queries, _ = w.shape
        keys = layer.keys.expand(n, heads, -1, -1)
        dense = torch.zeros(n, heads, queries, queries)
        dense[:, :, layer.queries] = torch.zeros_like(dense).scatter(
            3, keys, w
        )
        qkv = tape[layer.layer.replace("heads", "qkv")]
        v = qkv.chunk(3, -1)[2].unflatten(-1, (heads, -1)).transpose(1, 2)
        fused = (dense @ v).transpose(1, 2).flatten(2)
        torch.testing.assert_close(
            fused, tape[layer.layer], atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [0, 1])
def test_the_keys_of_a_query_are_what_its_output_depends_on(
    kind, number
) -> None:
    model = build(kind)
    block = model.module.layers[0].blocks[number]
    layer = attention_weights.attention_layers(model, [number])[number]
    w = checks.weights_of(model)[number]
    rows, columns = layer.grid
    for patch in (0, 5, columns - 1, rows * columns - 1):
        x = torch.randn(1, rows, columns, 16, requires_grad=True)
        out = block._attn(x)[0].flatten(0, 1)[patch].sum()
        (gradient,) = torch.autograd.grad(out, x)
        # Of what is masked, exp(-100) is left.
        moves = gradient[0].abs().sum(-1).flatten() > 1e-25
        row = int((layer.queries == patch).nonzero())
        keys = layer.keys[row][w[0, 0, row] > 1e-30]
        expected = set(keys[keys >= 0].tolist())
        assert set(moves.nonzero().flatten().tolist()) == expected


def test_identities_of_the_residual_stream(model) -> None:
    checks.sums_hold(model)


def test_layers_are_maps_of_the_image() -> None:
    model = build("1")
    x = checks.noise(model)
    with torch.no_grad():
        first = model.module.patch_embed(x)
        mid = first + model.module.layers[0].blocks[0]._attn(
            model.module.layers[0].blocks[0].norm1(first)
        )
    tape = checks.recorded(model)
    torch.testing.assert_close(tape["embed"], first.flatten(1, 2))
    torch.testing.assert_close(tape["stages.0.0.mid"], mid.flatten(1, 2))


def test_even_attention_reaches_as_far_as_its_window() -> None:
    model = build("1")
    for name, parameter in model.module.named_parameters():
        if "qkv" in name or "relative" in name:
            torch.nn.init.zeros_(parameter)
    found = attention.measure(model, checks.scenes(2))
    places = np.indices((4, 4)).reshape(2, -1).T * 4.0
    window = np.linalg.norm(places[:, None] - places, axis=-1).mean()
    np.testing.assert_allclose(found.mean[0, :2], window, rtol=1e-5)
    np.testing.assert_allclose(found.on_patches[0, :2], 1, rtol=1e-5)
    assert np.isnan(found.mean[0, 2:]).all()
    assert (found.mean[1, :2] < window).all()  # shifted: cut at the edge
    assert found.uniforms[0] > found.uniforms[2]  # stages of other patches
    table = found.table()
    assert table.groupby("block").size().tolist() == [2, 2, 4, 4]
    assert table.layer.iloc[0] == "stages.0.0.heads"


def test_padding_takes_attention_from_patches() -> None:
    found = attention.measure(build("padded"), checks.scenes(2))
    assert (found.on_patches[0, :2] < 1).all()
    assert np.isfinite(found.mean[0, :2]).all()


def test_maps_of_two_grids_are_drawn_on_the_finest() -> None:
    model = build("1")
    two = attention.maps(model, checks.scenes(2), [0, 3], "centre")
    assert two.shape == (2, 2, 4, 16, 16)
    np.testing.assert_allclose(
        np.nansum(two, (-2, -1))[0, :, :2], 1, rtol=1e-5
    )
    np.testing.assert_allclose(np.nansum(two, (-2, -1))[1], 1, rtol=1e-5)
    assert attention.place(model, "centre") == (8, 8)
    inside = np.argwhere(two[0, 0, 0] > 0)
    assert inside.min(0).tolist() == [8, 8]
    assert inside.max(0).tolist() == [11, 11]


@pytest.mark.parametrize("kind", ["1", "2"])
def test_every_measure_has_numbers(kind) -> None:
    checks.all_measures(build(kind))


@pytest.mark.parametrize("kind", ["1", "2"])
def test_skips_can_be_removed(kind) -> None:
    model = build(kind)
    for layer, out in [("attn", "mid"), ("fc2", "out")]:
        name = "stages.0.1"
        checks.removal_gives_the_branch(
            model, name, f"{name}.{layer}", f"{name}.{out}"
        )


def test_windows_that_follow_the_image_are_refused_with_the_reason() -> None:
    settings = KINDS["1"][1] | {"strict_img_size": False}
    module = timm.create_model(KINDS["1"][0], **settings)
    model = models.wrap(module.eval(), "free")
    assert "size of each image" in (attention_weights.obstacle(model) or "")
