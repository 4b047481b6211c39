"""Skip against branch (Raghu et al. 2021, section 6, appendix E)."""

import warnings

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from helpers import images as image_sets
from helpers import models
from helpers.measures import residual, residual_sums, skip_removal
from helpers.models.vision_model import VisionModel

SIZE = 32
KINDS = {
    "vit": ("vit_tiny_patch16_224", {"depth": 3}),
    "layer scale": ("deit3_small_patch16_224", {"depth": 2}),
    "registers": ("vit_small_patch14_reg4_dinov2", {"depth": 2}),
    "no class token": ("vit_medium_patch16_gap_256", {"depth": 2}),
    "mixer": ("mixer_s16_224", {}),
    "resnet": ("resnet50", {"layers": (2, 1, 1, 1)}),
    "basic": ("resnet18", {}),
    "squeeze": ("seresnet50", {"layers": (1, 1, 1, 1)}),
    "selective kernel": ("skresnet18", {}),
    "selective bottleneck": ("skresnet50", {"layers": (1, 1, 1, 1)}),
    "bit": ("resnetv2_50x1_bit", {}),
    "post-activation": ("resnetv2_50", {"preact": False}),
}


def build(kind: str) -> VisionModel:
    """An untrained model in float64 none of whose branches is near zero."""
    name, settings = KINDS[kind]
    if "resnet" not in name:
        settings = settings | {"img_size": 28 if "14" in name else SIZE}
    torch.manual_seed(0)
    module = timm.create_model(name, num_classes=10, **settings).eval()
    for parameter in module.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
        elif parameter.std() == 0:
            nn.init.normal_(parameter, std=0.1)
    return models.wrap(module.double(), name)


class Batches:
    """Images as tensors of double precision."""

    spec, split = "noise", "test"

    def __init__(self, size: int = SIZE, count: int = 5) -> None:
        generator = torch.manual_seed(1)
        self.x = torch.randn(
            count, 3, size, size, generator=generator
        ).double()

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, *_: VisionModel, batch_size: int):
        for start in range(0, len(self.x), batch_size):
            part = self.x[start : start + batch_size]
            yield np.arange(start, start + len(part)), [part]


def pictures(model: VisionModel) -> Batches:
    return Batches(28 if "14" in model.spec else SIZE)


def values(result: residual.Residual, layer: str, quantity: str) -> Tensor:
    table = result.per_token
    rows = table[(table.layer == layer) & (table.quantity == quantity)]
    assert rows.token.tolist() == list(range(len(rows)))
    return torch.tensor(rows.value.to_numpy())


def streams(model: VisionModel, x: Tensor):
    """z, f(z) and z + f(z) of each sublayer, from the definitions."""
    module = model.module
    if model.family.name == "resnet":
        yield from resnet_streams(module, x)
        return
    if model.family.name == "vit":
        z = module.norm_pre(module._pos_embed(module.patch_embed(x)))
    else:
        z = module.stem(x)
    for i, block in enumerate(module.blocks):
        if model.family.name == "vit":
            f = block.ls1(block.attn(block.norm1(z)))
            g = block.ls2(block.mlp(block.norm2(z + f)))
        else:
            f = block.mlp_tokens(block.norm1(z).transpose(1, 2))
            f = f.transpose(1, 2)
            g = block.mlp_channels(block.norm2(z + f))
        first = "attn" if model.family.name == "vit" else "mix"
        yield f"blocks.{i}.{first}", z, f
        yield f"blocks.{i}.fc2", z + f, g
        z = z + f + g


def resnet_streams(module: nn.Module, x: Tensor):
    v1 = hasattr(module, "layer1")
    if v1:
        stem = (module.conv1, module.bn1, module.act1, module.maxpool)
        stages = [getattr(module, f"layer{i}") for i in range(1, 5)]
    else:
        stem, stages = (module.stem,), [s.blocks for s in module.stages]
    for part in stem:
        x = part(x)
    for i, stage in enumerate(stages):
        for j, block in enumerate(stage):
            preact = not v1 and not hasattr(block, "act3")
            inner = block.norm1(x) if preact else x
            z = x if block.downsample is None else block.downsample(inner)
            f = resnet_branch(block, inner, preact, v1)
            end = "norm" if v1 and hasattr(block, "bn1") else "conv"
            end += "3" if hasattr(block, "conv3") else "2"
            yield f"stages.{i}.{j}.{end}", z, f
            x = z + f if preact else (z + f).relu()


def resnet_branch(
    block: nn.Module, x: Tensor, preact: bool, v1: bool
) -> Tensor:
    last = 3 if hasattr(block, "conv3") else 2
    for k in range(1, last + 1):
        if preact and k > 1:
            x = getattr(block, f"norm{k}")(x)
        x = getattr(block, f"conv{k}")(x)
        if v1 and hasattr(block, f"bn{k}"):
            x = getattr(block, f"bn{k}")(x)
            x = x.relu() if k < last else x
        elif not preact and not v1:
            x = getattr(block, f"norm{k}")(x)
    return block.se(x) if v1 and block.se is not None else x


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> VisionModel:
    return build(request.param)


@torch.no_grad()
def test_every_family_agrees_with_the_definitions(model: VisionModel) -> None:
    scenes = pictures(model)
    found = residual.measure(model, scenes, batch_size=2)
    cosine = nn.functional.cosine_similarity
    seen = []
    for layer, z, f in streams(model, scenes.x):
        if z.ndim == 4:
            z, f = (t.flatten(2).transpose(1, 2) for t in (z, f))
        ratio = z.norm(dim=-1) / f.norm(dim=-1)
        expected = {
            "ratio": ratio,
            "log2_ratio": ratio.log2(),
            "cos_branch": cosine(z, f, dim=-1),
            "cos_output": cosine(z, z + f, dim=-1),
        }
        for quantity, each in expected.items():
            torch.testing.assert_close(
                values(found, layer, quantity), each.mean(0)
            )
        rows = found.per_token
        rows = rows[(rows.layer == layer) & (rows.quantity == "ratio")]
        se = ratio.std(0) / len(ratio) ** 0.5
        np.testing.assert_allclose(rows.se, se)
        seen.append(layer)
    assert found.per_token.layer.drop_duplicates().tolist() == seen
    assert not found.left_out
    assert found.gaps == ""


@torch.no_grad()
def test_values_of_images_are_means_over_one_kind_of_token() -> None:
    model = build("registers")
    scenes = pictures(model)
    found = residual.measure(model, scenes, batch_size=3)
    logs = torch.stack(
        [
            (z.norm(dim=-1) / f.norm(dim=-1)).log2()
            for _, z, f in streams(model, scenes.x)
        ]
    ).numpy()  # (sublayers, images, tokens): 1 class token, 4 registers
    for kind, where in [
        ("cls", slice(0, 1)),
        ("prefix", slice(1, 5)),
        ("patch", slice(5, None)),
    ]:
        part = logs[..., where].mean(-1)
        each = found.by_image("log2_ratio", kind)
        np.testing.assert_allclose(each, part.mean(0))
        upper = found.by_image("log2_ratio", kind, half="upper")
        np.testing.assert_allclose(upper, part[2:].mean(0))
        mlp = found.by_image("log2_ratio", kind, "MLP", "lower")
        np.testing.assert_allclose(mlp, part[1])
    table = found.average("kind", "block")
    row = table[(table.kind == "cls") & (table.block == "blocks.1")]
    row = row[row.quantity == "log2_ratio"].iloc[0]
    each = logs[2:, :, 0].mean(0)
    assert row.value == pytest.approx(each.mean())
    assert row.se == pytest.approx(each.std(ddof=1) / len(each) ** 0.5)


def test_no_class_token_gives_no_number_for_it() -> None:
    model = build("no class token")
    found = residual.measure(model, pictures(model))
    assert set(found.per_token.kind) == {"patch"}
    assert np.isnan(found.by_image("ratio", "cls")).tolist() == [True] * 5


def test_doubling_the_layer_scale_halves_the_ratio() -> None:
    model = build("layer scale")
    scenes = pictures(model)
    before = residual.measure(model, scenes)
    last = "blocks.1.fc2"  # what follows does not matter to it
    with torch.no_grad():
        model.module.blocks[1].ls2.gamma *= 2
    after = residual.measure(model, scenes)
    for quantity, change in [("log2_ratio", -1), ("cos_branch", 0)]:
        torch.testing.assert_close(
            values(after, last, quantity),
            values(before, last, quantity) + change,
        )


def test_a_zero_branch_has_no_ratio_and_says_so() -> None:
    model = build("vit")
    with torch.no_grad():
        for parameter in model.module.blocks[1].attn.proj.parameters():
            parameter.zero_()
    with pytest.warns(UserWarning, match=r"blocks\.1\.attn .*100 % of tok"):
        found = residual.measure(model, pictures(model))
    assert list(found.left_out) == ["blocks.1.attn"]
    for quantity in residual_sums.QUANTITIES:
        assert values(found, "blocks.1.attn", quantity).isnan().all()
        assert values(found, "blocks.1.fc2", quantity).isfinite().all()
    assert np.isfinite(found.by_image("ratio", "cls")).all()


def test_sums_that_no_hook_can_take_out_are_told() -> None:
    model = models.load("res2net50_26w_4s?random")
    with pytest.raises(ValueError, match=r"no hook can take out.*Res2Net"):
        residual.measure(model, pictures(model))


def test_a_dead_token_is_left_out_and_counted() -> None:
    model = build("vit")
    with torch.no_grad():
        model.module.cls_token.zero_()
        model.module.pos_embed[:, 0] = 0
    with pytest.warns(UserWarning, match="20 % of tokens"):
        found = residual.measure(model, pictures(model))
    first = values(found, "blocks.0.attn", "ratio")
    assert first.isnan().tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("kind", ["vit", "mixer", "resnet", "bit"])
def test_without_skips_no_ratio_is_defined(kind: str) -> None:
    model = build(kind)
    with (
        skip_removal.remove_skip(model, "all"),
        pytest.warns(UserWarning, match="there is no skip connection"),
    ):
        found = residual.measure(model, pictures(model))
    assert found.per_token.value.isna().all()
    assert found.per_image.value.isna().all()
    assert set(found.left_out) == set(found.per_token.layer)
    others = len(found.left_out) - 1
    assert f"and {others} others (the output is not z + f(z)" in found.gaps
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = residual.norm_ratios(model, pictures(model))
    assert again.value.notna().all()


@pytest.mark.parametrize("branch", ["attn", "mlp", "both"])
def test_one_removed_skip_concerns_its_sublayer_only(branch: str) -> None:
    model = build("vit")
    scenes = pictures(model)
    block = model.module.blocks[1]
    with torch.no_grad():
        *_, (_, z, _), (_, _, _) = list(streams(model, scenes.x))[:4]
        f = block.attn(block.norm1(z))
        mid = f if branch in ("attn", "both") else z + f
        g = block.mlp(block.norm2(mid))
        out = g if branch in ("mlp", "both") else mid + g
        expected = model.module.blocks[2](out)
        before = model.module(scenes.x)
        with skip_removal.remove_skip(model, "blocks.1", branch):
            assert not torch.equal(model.module(scenes.x), before)
            torch.testing.assert_close(model.module.blocks[1](z), out)
            torch.testing.assert_close(model.module.blocks[1:](z), expected)
            with pytest.warns(UserWarning, match="no skip connection"):
                found = residual.measure(model, scenes)
        assert torch.equal(model.module(scenes.x), before)
    gone = {"attn": ["attn"], "mlp": ["fc2"], "both": ["attn", "fc2"]}
    assert list(found.left_out) == [f"blocks.1.{b}" for b in gone[branch]]
    assert found.per_token.groupby("layer").value.count().sum() == 4 * 5 * (
        6 - len(gone[branch])
    )


def test_removals_add_up_and_end_on_an_error() -> None:
    model = build("vit")
    x = pictures(model).x
    before = model(x)
    with skip_removal.remove_skip(model, "blocks.0"):
        both = model(x)
    with (
        skip_removal.remove_skip(model, "blocks.0", "attn"),
        skip_removal.remove_skip(model, "blocks.0", "mlp"),
    ):
        assert torch.equal(model(x), both)
    assert torch.equal(model(x), before)
    with (
        pytest.raises(RuntimeError, match="channels"),
        skip_removal.remove_skip(model, "blocks.0"),
    ):
        model(x[:, :2])
    assert torch.equal(model(x), before)


@torch.no_grad()
def test_a_resnet_block_without_its_skip_is_its_branch() -> None:
    model = build("resnet")
    x = pictures(model).x
    block = model.module.layer1[0]
    *_, (_, _, f) = list(resnet_streams(model.module, x))[:1]
    inner = model.module.maxpool(
        model.module.act1(model.module.bn1(model.module.conv1(x)))
    )
    whole = block(inner)
    with skip_removal.remove_skip(model, "stages.0.0"):
        torch.testing.assert_close(block(inner), f.relu())
    torch.testing.assert_close(block(inner), whole)


def test_a_block_trained_without_skips_is_recognised() -> None:
    model = models.load("lab/vit_noskip_middle?random", "cpu")
    scenes = image_sets.load("wardrobe", limit=4)
    with pytest.warns(UserWarning, match=r"blocks\.6\.attn"):
        found = residual.measure(model, scenes)
    assert list(found.left_out) == ["blocks.6.attn", "blocks.6.fc2"]


def test_bad_input_is_refused() -> None:
    model = build("vit")
    found = residual.measure(model, pictures(model))
    with pytest.raises(ValueError, match="'log2_ratio'"):
        found.by_image("log_ratio")
    with pytest.raises(ValueError, match="'upper'"):
        found.by_image("ratio", half="late")
    with (
        pytest.raises(ValueError, match=r"unknown branch 'mpl'.*'mlp'"),
        skip_removal.remove_skip(model, "blocks.0", "mpl"),
    ):
        pass
    with (
        pytest.raises(ValueError, match=r"blocks\.2"),
        skip_removal.remove_skip(model, "blocks.7"),
    ):
        pass
    with (
        pytest.raises(ValueError, match="only valid branch is 'both'"),
        skip_removal.remove_skip(build("resnet"), "all", "mlp"),
    ):
        pass
    with torch.no_grad():
        model.module.patch_embed.proj.weight[0] = torch.nan
    with pytest.raises(ValueError, match=r"blocks\.0\.attn.*NaN"):
        residual.measure(model, pictures(model))


def test_other_families_are_refused() -> None:
    other = models.wrap(timm.create_model("vgg11"), "vgg11")
    with pytest.raises(ValueError, match="skip connections are known"):
        residual.measure(other, Batches())
