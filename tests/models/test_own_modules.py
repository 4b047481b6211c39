"""Modules that are not timm's: found by running them, or refused by name."""

import doctest
import re
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from helpers import cka, features, images, models
from helpers.measures import attention_weights, residual
from helpers.models import vision_model
from helpers.runtime import memory
from helpers.runtime.paths import checkout

HOW = {"input_size": 64, "mean": (0.5,) * 3, "std": (0.5,) * 3}
close = torch.testing.assert_close


class Layer(nn.Module):
    """A block whose parts give a tuple and a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.split = Split()
        self.act = nn.ReLU()
        self.never = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x, x, x)[0]
        return x + self.act(self.split(self.act(x))["one"])


class Split(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"one": self.fc(x), "two": x.mean(1)}


class Net(nn.Module):
    """Its list of blocks is run backwards, and one module twice."""

    def __init__(self, output: Any = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 16, 16)
        self.blocks_of_mine = nn.ModuleList([Layer(), Layer()])
        self.head = nn.Linear(8, 5)
        self.output = output

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x).flatten(2).transpose(1, 2)
        for block in reversed(self.blocks_of_mine):
            x = block(x)
        y = self.head(x.mean(1))
        return self.output(x, y) if self.output else y


def net(**options: Any) -> Net:
    torch.manual_seed(0)
    return Net(**options)


def few(count: int = 8) -> images.Images:
    return images.load("wardrobe", limit=count)


def test_blocks_are_found_in_the_order_in_which_they_run() -> None:
    model = models.wrap(net(), preprocessing=HOW)
    assert model.spec == "Net"
    assert list(model.taps) == [
        "blocks_of_mine.1.out",
        "blocks_of_mine.0.out",
    ]
    seen = []
    handle = model.module.blocks_of_mine[0].register_forward_hook(
        lambda _m, _x, out: seen.append(out)
    )
    with features.record(model, "blocks_of_mine.0", "each") as tape:
        model(torch.rand(2, 3, 64, 64))
    handle.remove()
    close(tape["blocks_of_mine.0.out"], seen[0])


def test_what_is_trained_is_put_into_eval_mode() -> None:
    module = torchvision.models.resnet18().train()
    assert not models.wrap(module, preprocessing=HOW).module.training


@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        ("resnet18", 8, "layer1.0", "layer4.1"),
        ("vit_b_32", 12, "encoder.layers.encoder_layer_0", "11"),
        ("swin_t", 15, "features.1.0", "features.7.1"),
        ("convnext_tiny", 18, "features.1.0", "features.7.2"),
        ("mobilenet_v3_small", 11, "features.1", "features.11"),
        ("regnet_y_400mf", 16, "trunk_output.block1.block1-0", "block4-5"),
        ("vgg11", 11, "features.0", "classifier.6"),
    ],
)
def test_torchvision(name: str, count: int, first: str, last: str) -> None:
    preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    model = models.wrap(
        torchvision.models.get_model(name), preprocessing=preset
    )
    names = list(model.taps)
    assert len(names) == count
    assert names[0] == f"{first}.out"
    assert names[-1].removesuffix(".out").endswith(last)
    picture = few(1)[0].resize((300, 280))
    close(model.transform(picture), preset(picture), atol=0.02, rtol=0)


def test_maps_whose_width_comes_last_are_turned() -> None:
    model = models.wrap(torchvision.models.swin_t(), "swin", preprocessing=HOW)
    found = features.pooled(model, few(4), "out", ["mean"], 4)
    widths = [value.shape[1] for value in found.values()]
    assert widths == sorted(widths)
    assert (widths[0], widths[-1]) == (96, 768)


def test_a_layer_that_is_not_there_is_told_by_those_that_are() -> None:
    model = models.wrap(net(), preprocessing=HOW)
    with pytest.raises(ValueError, match=r"'blocks_of_mine.1.out'"):
        features.names(model, "blocks")


def test_a_model_inside_others_is_found() -> None:
    resnet = torchvision.models.resnet18()
    whole = nn.Sequential(nn.Sequential(nn.Identity(), nn.Identity()), resnet)
    assert list(models.wrap(whole, preprocessing=HOW).taps) == [
        f"1.{name}" for name in models.wrap(resnet, preprocessing=HOW).taps
    ]


def test_numbers_are_those_of_the_same_model_of_timm() -> None:
    module = timm.create_model("test_vit").eval()
    theirs = models.wrap(module, "theirs")
    own = models.wrap(
        module,
        "own",
        preprocessing=theirs.preprocessing,
        layers=["blocks.0", "blocks.3", "norm"],
    )
    assert list(own.taps) == ["blocks.0.out", "blocks.3.out", "norm.out"]
    ours = cka.measure(own, None, few(), "blocks.0,blocks.3", batch_size=4)
    same = cka.measure(
        theirs, None, few(), "blocks.0.out,blocks.3.out", batch_size=4
    )
    np.testing.assert_array_equal(ours.cka, same.cka)
    with pytest.raises(ValueError, match="own is of no family whose skip"):
        residual.measure(own, few(4))
    assert "own" in str(attention_weights.obstacle(own))


def test_a_tuple_and_a_dictionary_by_their_entries() -> None:
    block = "blocks_of_mine.1"
    layers = [f"{block}.attn[0]", f"{block}.split[one]", f"{block}.split.fc"]
    model = models.wrap(net(), preprocessing=HOW, layers=layers)
    assert list(model.taps) == [
        f"{block}.attn.out",
        f"{block}.split.fc.out",
        f"{block}.split.out",
    ]
    with features.record(model, "out", "each") as tape:
        model(torch.rand(2, 3, 64, 64))
    close(tape[f"{block}.split.out"], tape[f"{block}.split.fc.out"])
    assert tape[f"{block}.attn.out"].shape == (2, 16, 8)


@pytest.mark.parametrize(
    ("output", "picked"),
    [
        (lambda x, y: {"loss": None, "tokens": x, "logits": y}, 0),
        (lambda x, y: (y, x), 1),
        (lambda x, y: [None, x], 0),
    ],
    ids=["dictionary", "tuple", "list"],
)
def test_outputs_of_the_whole_model(output: Any, picked: int) -> None:
    model = models.wrap(net(output=output), preprocessing=HOW)
    x = torch.rand(5, 3, 64, 64)
    tokens, logits = net(output=lambda x, y: (x, y)).eval()(x)
    close(model(x), (tokens, logits)[picked])
    memory._room[model.module] = 2  # as after it ran out of memory
    close(model(x), (tokens, logits)[picked])
    assert np.isfinite(cka.measure(model, None, few(), batch_size=4).cka).all()


def test_an_output_without_a_tensor() -> None:
    model = models.wrap(net(output=lambda x, y: {"a": 1}), preprocessing=HOW)
    with pytest.raises(TypeError, match="gives a dict without a tensor"):
        model(torch.rand(1, 3, 64, 64))


B1 = "blocks_of_mine.1"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["blocks_of_mine.2"], "unknown layer of Net.*nearest: 'blocks_of_m"),
        ([f"{B1}.never"], f"in a forward pass '{B1}.never'; nearest: "),
        ([f"{B1}.act"], "runs 2 times.*choose a module around it"),
        ([f"{B1}.attn"], rf"gives a tuple.*valid: '{B1}.attn\[0\]'"),
        ([f"{B1}.attn[2]"], rf"valid: '{B1}.attn\[0\]'"),
        ([f"{B1}.split"], rf"a dictionary.*'{B1}.split\[one\]', '.*\[two\]'"),
        ([f"{B1}.split[three]"], rf"valid: '{B1}.split\[one\]'"),
        ([f"{B1}.split.fc[0]"], rf"gives a tensor.*valid: '{B1}.split.fc'"),
        (["[0]"], "names no layer.*'attn\\[0\\]'"),
        ([], "no named layers"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_layers_that_are_refused(layers: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){message}"):
        models.wrap(net(), preprocessing=HOW, layers=layers)


@pytest.mark.parametrize("layers", ["stem", [3], [nn.Linear(2, 2)]])
def test_layers_that_are_no_list_of_paths(layers: Any) -> None:
    with pytest.raises(TypeError, match=r"list of paths.*\['stem'\]"):
        models.wrap(net(), preprocessing=HOW, layers=layers)


def test_a_module_without_named_layers() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return (x * self.weight).mean((2, 3))

    with pytest.raises(ValueError, match="Bare has no named layers"):
        models.wrap(Bare(), preprocessing=HOW)


def test_windows_in_place_of_images_are_no_layer() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cut, self.mix = nn.PixelUnshuffle(32), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.mix(self.cut(x).reshape(-1, 4, 3)).mean((0, 1))

    with pytest.raises(ValueError, match="no tensor of one row per image"):
        models.wrap(Windows(), preprocessing=HOW)


@pytest.mark.parametrize("size", [60, (3, 64, 70)])
def test_windows_that_do_not_divide_the_image(size: Any) -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.PixelUnshuffle(16)
            self.mix = nn.Linear(768, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.mix(self.stem(x).flatten(2).transpose(1, 2))

    with pytest.raises(
        ValueError, match=r"cannot be run on pictures of \d+ x \d+.*input_size"
    ):
        models.wrap(Windows(), preprocessing=HOW | {"input_size": size})
    assert models.wrap(Windows(), preprocessing=HOW).taps


@pytest.mark.parametrize(
    "name", ["hiera_tiny_224", "vit_small_patch16_dinov3"]
)
def test_a_size_that_a_timm_model_cannot_take(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"100 x 100 pixels.*windows must divide.*do 2\d\d"
    ):
        models.load(f"{name}?random&img_size=100", "cpu")
    with pytest.raises(ValueError, match="cannot be made for images of 100 p"):
        models.load("xcit_nano_12_p8_224?random&img_size=100", "cpu")
    assert models.load("vit_tiny_patch16_224?random&img_size=100", "cpu").taps


def test_tokens_of_varying_number() -> None:
    class Kept(nn.Module):
        """Leaves tokens out, by how bright the first picture is."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.mix = nn.PixelUnshuffle(16), nn.Linear(768, 4)
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            tokens = self.stem(x).flatten(2).transpose(1, 2)
            return self.mix(tokens[:, self.calls :])

    model = models.wrap(Kept(), preprocessing=HOW)
    with pytest.raises(ValueError, match=r"mix.out of Kept.*tokens='mean'"):
        features.extract(model, few(), "out", "all", 4)
    assert features.extract(model, few(), "out", "mean", 4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "does not tell how its pictures.*preprocessing is nothing"),
        (lambda x: x, "preprocessing is a function; give"),
        ({}, "lacks input_size, mean, std"),
        (HOW | {"stdev": 1}, "unknown setting.*'stdev'; nearest: 'std'"),
        (HOW | {"input_size": (1, 64, 64)}, r"\(1, 64, 64\); expected a num"),
        (HOW | {"input_size": 0}, "input_size of Net is 0"),
        (HOW | {"mean": (0.5,)}, "mean of Net has 1 numbers"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_preprocessing_that_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){message}"):
        models.wrap(net(), preprocessing=given)


def test_the_lines_of_the_page() -> None:
    """What users of torch_cka and thingsvision write, run as it is printed."""
    page = (checkout() / "book" / "how_to_run.md").read_text("utf-8")
    section = page.partition("### A model of your own")[2]
    how, one, two = re.findall(r"```python\n(.*?)```", section, re.S)
    assert len(one.splitlines()) == len(two.splitlines()) == 3
    space: dict[str, Any] = {
        **{"models": models, "cka": cka, "images": images},
        **{"features": features},
        "one": torchvision.models.resnet18(),
        "two": torchvision.models.mobilenet_v3_small(),
    }
    exec(how + one, space)
    table = space["table"]
    assert list(dict.fromkeys(table.layer_x)) == ["layer1.out", "layer4.out"]
    assert np.isfinite(table.cka).all()
    exec(two, space)
    seen: list[Tensor] = []
    handle = space["one"].layer4.register_forward_hook(
        lambda _m, _x, out: seen.append(out.flatten(1))
    )
    pictures = space["pictures"]
    for _, (x,) in pictures.batches(space["mine"], batch_size=32):
        space["mine"](x)
    handle.remove()
    np.testing.assert_allclose(
        space["vectors"]["layer4.out"], torch.cat(seen), rtol=1e-4, atol=1e-5
    )


def test_the_example_in_the_source() -> None:
    found = doctest.testmod(vision_model)
    assert found.attempted
    assert not found.failed
