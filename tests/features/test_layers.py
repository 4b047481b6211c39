"""Canonical names, selections and recording (methods: section 0)."""

import pytest
import timm
import torch
from torch import Tensor, nn

from helpers import features, models
from helpers.features import layer_selection, token_grid
from helpers.models.vision_model import VisionModel

VITS = [
    "vit_tiny_patch16_224",
    "vit_small_patch14_reg4_dinov2",  # registers, LayerScale
    "vit_medium_patch16_gap_256",  # no class token
]
BLOCK = (
    *("ln1", "qkv", "heads", "attn", "mid"),
    *("ln2", "fc1", "act", "fc2", "out"),
)


def small(name: str, **settings: object) -> VisionModel:
    """An untrained timm model on small images, without surprises."""
    torch.manual_seed(0)
    module = timm.create_model(name, num_classes=0, **settings).eval()
    for parameter in module.parameters():  # LayerScale far from identity
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return models.wrap(module, name)


@pytest.fixture(params=VITS)
def vit(request: pytest.FixtureRequest) -> VisionModel:
    size = 56 if "14" in request.param else 64
    return small(request.param, img_size=size, depth=3)


@pytest.fixture
def pictures() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.manual_seed(1))


def recorded(
    model: VisionModel, selection: str, tokens: layer_selection.Tokens = "each"
) -> dict[str, Tensor]:
    x = torch.randn(
        2, *model.preprocessing["input_size"], generator=torch.manual_seed(1)
    )
    with features.record(model, selection, tokens) as tape:
        model(x)
    return tape


def test_vit_names_are_canonical_and_in_forward_order(
    vit: VisionModel,
) -> None:
    expected = ["embed"]
    expected += [f"blocks.{i}.{part}" for i in range(3) for part in BLOCK]
    if not isinstance(vit.module.norm, nn.Identity):
        expected.append("norm")
    assert list(vit.taps) == expected
    assert list(recorded(vit, "all")) == expected


def test_identities_of_the_residual_stream(vit: VisionModel) -> None:
    tape = recorded(vit, "all")
    stream = tape["embed"]
    for i in range(3):
        block = vit.module.blocks[i]
        at = {part: tape[f"blocks.{i}.{part}"] for part in BLOCK}
        close = torch.testing.assert_close
        close(at["ln1"], block.norm1(stream))
        close(at["qkv"], block.attn.qkv(at["ln1"]))
        close(at["attn"], block.ls1(block.attn.proj(at["heads"])))
        close(at["attn"], block.ls1(block.attn(at["ln1"])))
        close(at["mid"], stream + at["attn"])
        close(at["ln2"], block.norm2(at["mid"]))
        close(at["fc1"], block.mlp.fc1(at["ln2"]))
        close(at["act"], nn.functional.gelu(at["fc1"]))
        close(at["fc2"], block.ls2(block.mlp.fc2(at["act"])))
        close(at["out"], at["mid"] + at["fc2"])
        stream = at["out"]


def test_heads_are_attention_times_values(vit: VisionModel) -> None:
    attn = vit.module.blocks[0].attn
    tape = recorded(vit, "blocks.0.qkv,blocks.0.heads")
    n, t, _ = tape["blocks.0.heads"].shape
    q, k, v = (
        tape["blocks.0.qkv"]
        .reshape(n, t, 3, attn.num_heads, attn.head_dim)
        .permute(2, 0, 3, 1, 4)
    )
    weights = (attn.q_norm(q) @ attn.k_norm(k).mT * attn.scale).softmax(-1)
    heads = (weights @ v).transpose(1, 2).reshape(n, t, -1)
    torch.testing.assert_close(tape["blocks.0.heads"], heads)


def test_query_key_norm_does_not_change_the_identities() -> None:
    model = small("vit_tiny_patch16_224", img_size=64, depth=2, qk_norm=True)
    tape = recorded(model, "blocks.1.*")
    torch.testing.assert_close(
        tape["blocks.1.out"], tape["blocks.1.mid"] + tape["blocks.1.fc2"]
    )
    assert isinstance(model.module.blocks[0].attn.q_norm, nn.LayerNorm)


def test_mixer_identities() -> None:
    model = small("mixer_s32_224", img_size=64)
    tape = recorded(model, "embed,blocks.0.*")
    mid = tape["embed"] + tape["blocks.0.mix"]
    torch.testing.assert_close(tape["blocks.0.mid"], mid)
    torch.testing.assert_close(
        tape["blocks.0.out"], mid + tape["blocks.0.fc2"]
    )


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnet_taps_survive_in_place_operations(
    name: str, pictures: Tensor
) -> None:
    model = small(name)
    assert {"stem", "stages.1.0.conv1", "stages.3.1.out"} <= set(model.taps)
    with features.record(model, "stages.0.0.*") as tape:
        model(pictures)
    last = 2 if name == "resnet18" else 3
    block = model.module.layer1[0]
    conv = tape[f"stages.0.0.conv{last}"].reshape(2, -1, 16, 16)
    norm = getattr(block, f"bn{last}")(conv).flatten(1)
    torch.testing.assert_close(tape[f"stages.0.0.norm{last}"], norm)
    assert (tape["stages.0.0.norm1"] < 0).any()  # not the ReLU's output
    assert (tape["stages.0.0.out"] >= 0).all()
    assert not torch.allclose(tape["stages.0.0.out"], norm)
    assert f"stages.0.0.act{last}" not in tape  # it would repeat `out`


def test_bit_names_and_residual_sum(pictures: Tensor) -> None:
    model = small("resnetv2_50x1_bit")
    with features.record(model, "stages.0.0-1.*") as tape:
        model(pictures)
    parts = ["norm1", "conv1", "norm2", "conv2", "norm3", "conv3", "out"]
    expected = [f"stages.0.{i}.{part}" for i in (0, 1) for part in parts]
    assert list(tape) == expected
    torch.testing.assert_close(
        tape["stages.0.1.out"],
        tape["stages.0.0.out"] + tape["stages.0.1.conv3"],
    )


def test_other_families_offer_timm_feature_points(pictures: Tensor) -> None:
    model = small("vgg11")
    assert model.family.name == "generic"
    with features.record(model, "out", "mean") as tape:
        model(pictures)
    assert len(tape) == len(model.module.feature_info) == 6
    assert all(value.ndim == 2 for value in tape.values())


def test_tokens_are_parts_of_the_whole(vit: VisionModel) -> None:
    each = recorded(vit, "blocks.1.out", "each")["blocks.1.out"]
    prefix = vit.module.num_prefix_tokens
    expected = {
        "all": each.reshape(2, -1),
        "mean": each.mean(1),
        "patches": each[:, prefix:].mean(1),
        3: each[:, 3],
    }
    if vit.has_class_token:
        expected["cls"] = each[:, 0]
    assert each.shape[1] == prefix + vit.grid[0] * vit.grid[1]
    for tokens, value in expected.items():
        got = recorded(vit, "blocks.1.out", tokens)["blocks.1.out"]
        torch.testing.assert_close(got, value)


def test_positions_of_a_map_run_row_by_row(pictures: Tensor) -> None:
    model = small("resnet18")
    with features.record(model, "stages.3.1.out", "all") as whole:
        model(pictures)
    with features.record(model, "stages.3.1.out", 1) as one:
        model(pictures)
    grid = whole["stages.3.1.out"].reshape(2, 512, 2, 2)
    torch.testing.assert_close(one["stages.3.1.out"], grid[:, :, 0, 1])


def test_reduction_runs_inside_the_hook(vit: VisionModel) -> None:
    x = torch.randn(2, *vit.preprocessing["input_size"])
    with features.record(vit, "out", "all", lambda t: t @ t.T) as tape:
        vit(x)
    assert {tuple(value.shape) for value in tape.values()} == {(2, 2)}


def test_hooks_are_removed_also_on_error(vit: VisionModel) -> None:
    with (
        pytest.raises(RuntimeError, match="stop"),
        features.record(vit, "all"),
    ):
        raise RuntimeError("stop")
    left = [
        len(m._forward_hooks) + len(m._forward_pre_hooks)
        for m in vit.module.modules()
    ]
    assert sum(left) == 0


def test_selections(vit: VisionModel) -> None:
    assert features.names(vit, "out") == [f"blocks.{i}.out" for i in range(3)]
    assert features.names(vit, "fc1,ln1")[:2] == [
        "blocks.0.ln1",
        "blocks.0.fc1",
    ]
    assert len(features.names(vit, "blocks.0-1.*")) == 20
    assert features.names(vit, "all") == list(vit.taps)
    assert features.depth(vit, "embed") == 0
    assert features.depth(vit, list(vit.taps)[-1]) == 1


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("outt", "nearest: 'out'"),
        ("blocks.0.fc9", "nearest: 'blocks.0.fc"),
        ("blocks.7.out", "nearest: 'blocks.2.out'"),
        ("out,,ln1", "comma-separated"),
    ],
)
def test_unknown_layers_name_the_nearest(
    vit: VisionModel, selection: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        features.names(vit, selection)


def test_layers_that_do_not_correspond_are_refused(vit: VisionModel) -> None:
    assert features.shared("ln1,out", vit, vit) == "ln1,out"
    deeper = small("vit_tiny_patch16_224", img_size=64, depth=4)
    with pytest.raises(ValueError, match=r"is 3 layers.* and 4 of the other"):
        features.shared("out", vit, vit, deeper)
    mixer = small("mixer_s32_224", img_size=64)
    with pytest.raises(
        ValueError, match=r"not correspond.* mixer_s32_224 'qkv'"
    ):
        features.shared("ln1,qkv", vit, mixer)


def test_checks_without_a_model() -> None:
    assert layer_selection.check_selection("ln1,blocks.0-3.*,all")
    with pytest.raises(ValueError, match="nearest: 'fc1'"):
        layer_selection.check_selection("fcc1")
    with pytest.raises(ValueError, match="nearest: 'patches'"):
        layer_selection.check_tokens("patch")
    with pytest.raises(ValueError, match="counts from 0"):
        layer_selection.check_tokens(-1)


def test_tokens_a_model_lacks() -> None:
    model = small("resnet18")
    with (
        pytest.raises(ValueError, match="no class token"),
        features.record(model, "out", "cls"),
    ):
        pass
    with pytest.raises(ValueError, match="no position 400"):
        recorded(model, "stages.3.1.out", 400)


def test_maps_with_channels_last_are_read_as_such() -> None:
    mamba = small("mambaout_femto", depths=(1, 1), dims=(8, 16))
    size = mamba.preprocessing["input_size"]
    x = torch.randn(2, *size, generator=torch.manual_seed(1))
    with torch.no_grad():
        first = mamba.module.stages[0](mamba.module.stem(x))
    rows = size[1] // 4
    assert first.shape == (2, rows, rows, 8)
    each, mean = (
        recorded(mamba, "stages.0.blocks.0.out", t) for t in ("each", "mean")
    )
    torch.testing.assert_close(
        each["stages.0.blocks.0.out"], first.flatten(1, 2)
    )
    torch.testing.assert_close(
        mean["stages.0.blocks.0.out"], first.mean((1, 2))
    )
    found = token_grid.grids(mamba, "out")
    assert list(found.values()) == [(rows, rows), (rows // 2, rows // 2)]
