"""Receptive fields with known answers, and the numbers read off them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.models.mlp_mixer import MlpMixer
from torch import Tensor, nn

from helpers import claims, models
from helpers.lab import architectures
from helpers.measures import field_statistics, receptive_fields
from helpers.models.families.family import Tap
from helpers.models.families.recognition import FAMILIES
from helpers.models.vision_model import VisionModel

SIDE = 32


class Pictures:
    """Random images that are already prepared."""

    spec, split = "random", "test"

    def __init__(self, count: int = 3, side: int = SIDE) -> None:
        noise = torch.manual_seed(1)
        self.pixels = torch.randn(count, 3, side, side, generator=noise)

    def __len__(self) -> int:
        return len(self.pixels)

    def batches(self, model: VisionModel, batch_size: int) -> Any:
        dtype = next(model.module.parameters()).dtype
        for part in self.pixels.to(dtype).split(batch_size):
            yield None, [part]


def handmade(module: nn.Module, family: str, **more: Any) -> VisionModel:
    """A model of one layer, called `out`."""
    settings = {"prefix_tokens": 0, "grid": None, "patch": None} | more
    return VisionModel(
        spec="handmade",
        module=module,
        family=next(f for f in FAMILIES if f.name == family),
        preprocessing={},
        transform=lambda image: torch.empty(0),
        has_class_token=False,
        taps={"out": Tap("")},
        device=torch.device("cpu"),
        **settings,
    )


class Linear(nn.Module):
    """Tokens on a 4 x 4 grid behind two prefix tokens, each linear in all
    pixels."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dense = nn.Linear(3 * 8 * 8, 18 * width)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x.flatten(1)).unflatten(1, (18, -1))


def linear() -> VisionModel:
    return handmade(
        Linear(), "vit", prefix_tokens=2, grid=(4, 4), patch=(2, 2)
    )


def untrained(module: nn.Module) -> VisionModel:
    """A small model in float64, no weight of it zero."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
        else:
            nn.init.normal_(parameter, std=0.2)
    module.pretrained_cfg = architectures.PREPROCESSING
    return models.wrap(module.double().eval(), "untrained")


def vit(**settings: Any) -> nn.Module:
    return timm.models.VisionTransformer(
        img_size=SIDE,
        patch_size=16,
        embed_dim=12,
        depth=2,
        num_heads=2,
        num_classes=0,
        **settings,
    )


def jacobian(outputs: Any, x: Tensor) -> np.ndarray:
    """Mean over channels of sum over colours of |d outputs / d x|."""
    full = torch.autograd.functional.jacobian(outputs, x[None])
    return full[:, 0].abs().sum(1).mean(0).numpy()


def test_one_convolution_has_the_field_of_its_kernel() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, 3, stride=2, padding=1)
    found = receptive_fields.fields(handmade(conv, "resnet"), Pictures())
    assert found.centres.tolist() == [[SIDE / 2, SIDE / 2]]
    middle = slice(SIDE // 2 - 1, SIDE // 2 + 2)
    field = found.mean()[0].copy()
    kernel = conv.weight.detach().abs().sum(1).mean(0)
    np.testing.assert_allclose(field[middle, middle], kernel, rtol=1e-5)
    field[middle, middle] = 0
    assert not field.any()


def test_a_linear_network_has_the_field_of_its_weights() -> None:
    model = linear()
    weights = model.module.dense.weight.detach().abs()
    rows = weights.view(18, 6, 3, 8, 8).sum(2).mean(1)
    pictures = Pictures(side=8)
    for position, token in [((0.5, 0.5), 10), ((0, 0), 0), ((0.3, 0.9), 7)]:
        found = receptive_fields.fields(model, pictures, position=position)
        for field in found.maps[0]:
            np.testing.assert_allclose(field, rows[2 + token], rtol=1e-5)


def test_channels_do_not_cancel() -> None:
    conv = nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        conv.weight[1] = -conv.weight[0]
    found = receptive_fields.fields(handmade(conv, "resnet"), Pictures())
    assert found.mean().sum() > 0


def test_without_attention_only_the_own_patch_is_seen() -> None:
    torch.manual_seed(0)
    module = architectures.build("vit_cls").eval()
    for block in module.blocks:
        nn.init.zeros_(block.attn.proj.weight)
    model = models.wrap(module, "no attention")
    found = receptive_fields.fields(
        model, Pictures(2, 64), "embed,blocks.2.mid,blocks.11.out", channels=4
    )
    assert found.summary("centre_share").values.tolist() == [1, 1, 1]
    own = found.mean()[:, 32:40, 32:40]
    assert (own > 0).all()
    assert np.isinf(found.summary("peak").values).all()


@pytest.mark.parametrize(
    ("module", "token"),
    [
        (vit(), 4),
        (vit(reg_tokens=4, init_values=0.5), 8),
        (vit(class_token=False, global_pool="avg"), 3),
        (MlpMixer(0, SIDE, patch_size=16, num_blocks=2, embed_dim=12), 3),
    ],
    ids=["class token", "registers, LayerScale", "pooled", "mixer"],
)
def test_token_models_agree_with_the_full_jacobian(
    module: nn.Module, token: int
) -> None:
    model = untrained(module)
    pictures = Pictures(2)
    branch = receptive_fields.branches(model)
    found = receptive_fields.fields(
        model, pictures, ",".join(["mid,out", *branch])
    )
    assert found.centres.tolist() == [[23.5, 23.5]] * 8

    def stream(x: Tensor, name: str) -> Tensor:
        """The block by its parts, without hooks."""
        if model.family.name == "vit":
            z = module.norm_pre(module._pos_embed(module.patch_embed(x)))
        else:
            z = module.stem(x)
        for i, block in enumerate(module.blocks):
            if model.family.name == "vit":
                first = block.ls1(block.attn(block.norm1(z)))
                second = block.ls2(block.mlp(block.norm2(z + first)))
            else:
                first = block.mlp_tokens(block.norm1(z).mT).mT
                second = block.mlp_channels(block.norm2(z + first))
            parts = {
                next(iter(branch)): first,
                "mid": z + first,
                "fc2": second,
            }
            z = z + first + second
            for part, value in {**parts, "out": z}.items():
                if name == f"blocks.{i}.{part}":
                    return value[0, token]
        raise AssertionError(name)

    for layer, maps in zip(found.layers, found.maps, strict=True):
        for x, field in zip(pictures.pixels.double(), maps, strict=True):
            want = jacobian(lambda x, layer=layer: stream(x, layer), x)
            np.testing.assert_allclose(field, want, rtol=1e-4, atol=1e-9)


def test_resnet_branch_is_read_before_the_addition_in_place() -> None:
    model = untrained(timm.create_model("resnet18"))
    assert receptive_fields.branches(model) == {"norm2": "out"}
    pictures = Pictures(2)
    net = model.module
    block = net.layer1[0]

    def branch(x: Tensor) -> Tensor:
        h = net.maxpool(torch.relu(net.bn1(net.conv1(x))))
        h = torch.relu(block.bn1(block.conv1(h)))
        return block.bn2(block.conv2(h))[0, :, 4, 4]

    found = receptive_fields.fields(model, pictures, "stages.0.0.norm2")
    for x, field in zip(pictures.pixels.double(), found.maps[0], strict=True):
        np.testing.assert_allclose(field, jacobian(branch, x), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "branch"),
    [("resnet50", "norm3"), ("resnetv2_50x1_bit", "conv3")],
)
def test_branch_of_a_resnet(name: str, branch: str) -> None:
    with torch.device("meta"):
        module = timm.create_model(name)
    assert receptive_fields.branches(models.wrap(module, name)) == {
        branch: "out"
    }


def test_a_strided_position_lies_over_its_pixel() -> None:
    convs = nn.Sequential(
        *(nn.Conv2d(3, 3, 3, stride=2, padding=1) for _ in range(3))
    )
    for parameter in convs.parameters():
        nn.init.ones_(parameter)
    found = receptive_fields.fields(handmade(convs, "resnet"), Pictures(2, 64))
    field, (row, column) = found.mean()[0].astype(float), found.centres[0]
    where = np.mgrid[:64, :64]
    middle = (where * field).sum((1, 2)) / field.sum()
    np.testing.assert_allclose(middle, [row, column])


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_the_batch_changes_nothing(batch_size: int) -> None:
    model, pictures = linear(), Pictures(3, 8)
    want = receptive_fields.fields(model, pictures, batch_size=3).maps
    with torch.no_grad():
        got = receptive_fields.fields(
            model, pictures, batch_size=batch_size
        ).maps
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert all(p.grad is None for p in model.module.parameters())


def test_drawn_channels_are_unbiased() -> None:
    model, pictures = linear(), Pictures(100, 8)
    full = receptive_fields.fields(model, pictures).mean()[0]
    drawn = receptive_fields.fields(model, pictures, channels=2).maps[0]
    error = drawn.std(0) / np.sqrt(len(drawn))
    z = (drawn.mean(0) - full) / error
    assert 0.7 < z.std() < 1.3  # 64 pixels, each a mean of 100 draws
    every = receptive_fields.fields(model, pictures, channels=99).mean()[0]
    np.testing.assert_allclose(every, full, rtol=1e-5)


def made(maps: Any, **more: Any) -> field_statistics.Fields:
    maps = np.asarray(maps, np.float32)
    settings = {"centres": [[3.5, 3.5]] * len(maps), "patch": (2, 2)} | more
    return field_statistics.Fields(
        layers=tuple(f"blocks.{i}.out" for i in range(len(maps))),
        depths=np.linspace(0, 1, len(maps)),
        maps=maps,
        centres=np.array(settings["centres"]),
        patch=settings["patch"],
        settings={},
    )


def test_numbers_of_a_uniform_and_of_a_single_pixel_field() -> None:
    maps = np.ones((2, 3, 8, 8))
    maps[1] = 0
    maps[1, :, 0, 3] = 2
    table = (
        made(maps)
        .table()
        .pivot(index="layer", columns="measure", values="value")
    )
    far = np.hypot(*(np.mgrid[:8, :8] - 3.5))
    uniform, pixel = table.to_dict("records")
    assert uniform["radius_px"] == pytest.approx(far.mean())
    assert uniform["radius"] == pytest.approx(far.mean() / 8)
    assert uniform["centre_share"] == pytest.approx(4 / 64)
    assert uniform["share_within"] == pytest.approx((far <= 2).mean())
    assert uniform["peak"] == pytest.approx(1)
    assert pixel["radius_px"] == pytest.approx(np.hypot(3.5, 0.5))
    assert pixel["centre_share"] == 0


def test_peak_compares_the_own_patch_with_the_eight_around_it() -> None:
    field = np.full((8, 8), 1.0)
    field[1:7, 1:7] = 2
    field[3:5, 3:5] = 6
    assert made([[field] * 2]).summary("peak").values == pytest.approx(3)
    edge = made([[field] * 2], centres=[[0.5, 0.5]])  # no patch beyond it
    assert edge.summary("peak").values == pytest.approx(1.25 / 2)


def test_interval_is_that_of_a_mean_where_all_fields_weigh_the_same() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((1, 9, 8, 8))
    maps /= maps.sum((2, 3), keepdims=True)
    found = made(maps).summary("radius_px")
    far = np.hypot(*(np.mgrid[:8, :8] - 3.5))
    each = (maps[0] * far).sum((1, 2))
    assert found.values == pytest.approx(each.mean())
    assert found.se == pytest.approx(each.std(ddof=1) / 3)
    want = claims.mean(each)
    got = claims.jackknife(
        float, [found.values[0]], [found.leave_one_out[:, 0]]
    )
    assert (got.low, got.high) == pytest.approx((want.low, want.high))


def test_a_field_of_zeros_has_no_radius() -> None:
    found = made(np.zeros((1, 3, 8, 8))).summary("radius")
    assert np.isnan(found.values).all()
    assert np.isnan(found.se).all()


def test_frames_run_from_the_first_to_the_last_layer() -> None:
    maps = np.arange(4.0)[:, None, None, None] * np.ones((4, 2, 8, 8))
    film = made(maps).frames(7)
    assert film.layer.tolist()[::6] == ["blocks.0.out", "blocks.3.out"]
    assert film.step.tolist()[::3] == [0, 0.5, 1]
    assert [field[0, 0] for field in film.field] == [0, 0, 1, 2, 2, 2, 3]


def test_of_keeps_sublayers_and_refuses_others() -> None:
    found = made(np.ones((3, 2, 8, 8)))
    assert found.of("out").layers == found.layers
    with pytest.raises(ValueError, match="'out'"):
        found.of("attn")


def test_growth_over_the_blocks() -> None:
    even, jump = np.arange(13.0), np.repeat([1.0, 4.0], 6)
    assert field_statistics.step_beyond(even, 3) == pytest.approx(1 - 4)
    assert field_statistics.middle_beyond(even) == pytest.approx(4 - 6)
    steps = [field_statistics.step_beyond(jump, i) for i in range(11)]
    assert max(steps) == steps[5] == field_statistics.step_beyond(jump, 5)
    assert steps[5] == pytest.approx(3 - 1)
    assert field_statistics.middle_beyond(jump) == pytest.approx(3 - 1.5)
    assert field_statistics.step_beyond(np.ones(5), 0) == 0
    assert field_statistics.middle_beyond(-jump) == pytest.approx(-1.5)
    assert (field_statistics.lower(even), field_statistics.upper(even)) == (
        1.5,
        10.5,
    )
    assert (
        field_statistics.lower(even[:2]),
        field_statistics.upper(even[:2]),
    ) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "channels must be positive"),
        ({"position": (0.5, 1)}, "two fractions"),
        ({"layers": "fc9"}, "fc9"),
    ],
)
def test_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        receptive_fields.fields(linear(), Pictures(2, 8), **arguments)


def test_refuses_a_layer_without_a_grid_and_a_single_image() -> None:
    model = handmade(Linear(), "generic")
    with pytest.raises(ValueError, match="18 positions that are no grid"):
        receptive_fields.fields(model, Pictures(2, 8))
    with pytest.raises(ValueError, match="two or more images"):
        made(np.ones((1, 1, 8, 8))).summary()
    with pytest.raises(ValueError, match="'radius'"):
        made(np.ones((1, 2, 8, 8))).summary("radios")


def test_settings_travel_with_the_table() -> None:
    table = receptive_fields.fields(
        linear(), Pictures(2, 8), channels=3
    ).table()
    assert table.attrs["channels"] == 3
    assert SimpleNamespace(**table.attrs).num_images == 2
    assert set(table.measure) == set(field_statistics.MEASURES)
