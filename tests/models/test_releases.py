"""Authors' checkpoints: files in their layouts, and what is refused."""

import argparse
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet50

from helpers import models
from helpers.editions import listings
from helpers.models import downloads, release_files, released
from helpers.models.releases import RELEASES
from helpers.models.weights import fit

WIDTH, DEPTH, SIDE = 24, 2, 32
SMALL_VIT = {"embed_dim": WIDTH, "depth": DEPTH, "img_size": SIDE}
SMALL = {
    release_files.R50: {"layers": (1, 1, 1, 1), "channels": (8, 8, 8, 8)},
    release_files.VIT_B: SMALL_VIT,
    release_files.VIT_S: SMALL_VIT,
}
# The two ways to name the same tensors, with shapes in units of the width.
PLAIN = {
    "norm1": ("ln1", (1,)),
    "attn.qkv": ("attn.qkv", (3, 1)),
    "attn.proj": ("attn.proj", (1, 1)),
    "norm2": ("ln2", (1,)),
    "mlp.fc1": ("ffn.layers.0.0", (4, 1)),
    "mlp.fc2": ("ffn.layers.1", (1, 4)),
}


def vit(width=WIDTH, depth=DEPTH, side=SIDE, final="norm"):
    """Names and shapes of a plain ViT without head."""
    tokens = (side // 16) ** 2 + 1
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, tokens, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
        f"{final}.weight": (width,),
        f"{final}.bias": (width,),
    }
    for block in range(depth):
        for name, (_, units) in PLAIN.items():
            shape = tuple(unit * width for unit in units)
            shapes[f"blocks.{block}.{name}.weight"] = shape
            shapes[f"blocks.{block}.{name}.bias"] = shape[:1]
    return shapes


def mmpretrain(name):
    """The name of a plain ViT's tensor in OpenMMLab's files."""
    if name.startswith("blocks."):
        _, block, *middle, kind = name.split(".")
        own = PLAIN[".".join(middle)][0]
        return f"backbone.layers.{block}.{own}.{kind}"
    if name.startswith("head."):
        return name.replace("head.", "head.layers.head.")
    top = {"patch_embed.proj": "patch_embed.projection", "norm": "ln1"}
    stem, dot, kind = name.rpartition(".")
    return f"backbone.{top.get(stem, stem)}{dot}{kind}"


def linear(classes, width, name="head"):
    return {f"{name}.weight": (classes, width), f"{name}.bias": (classes,)}


def torchvision_r50(small):
    if not small:
        with torch.device("meta"):
            module = resnet50()
    else:
        module = timm.create_model("resnet50", **SMALL[release_files.R50])
    state = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    return {k: s for k, s in state.items() if not k.startswith("fc.")}


def layout(name, small=True):
    """(top, {author's key: (timm's key or None, shape)}) for each file."""
    own = RELEASES[name]
    if own.architecture == release_files.R50:
        backbone, width, head = torchvision_r50(small), 2048, "fc"
        width = 32 if small else width
    else:
        full = 384 if own.architecture == release_files.VIT_S else 768
        width = WIDTH if small else full
        size = () if small else (full, 12, 224)
        final = "fc_norm" if name == "mae_vit_b_ft" else "norm"
        backbone, head = vit(*size, final=final), "head"
    same = {key: (key, shape) for key, shape in backbone.items()}
    top = linear(1000, width, head)
    whole = same | {key: (key, shape) for key, shape in top.items()}

    def renamed(entries, rename):
        return {rename(key): entry for key, entry in entries.items()}

    if name.startswith("mmpretrain"):
        if name.endswith("_ft"):
            return [("state_dict", renamed(whole, mmpretrain))]
        extra = {
            "neck.fc0.weight": (None, (8, width)),
            "head.predictor.fc0.weight": (None, (8, 8)),
            "momentum_encoder.steps": (None, ()),
            "momentum_encoder.module.0.cls_token": (None, (1, 1, width)),
        }
        return [("state_dict", renamed(same, mmpretrain) | extra)]
    if name.startswith("mae"):
        return [("model", whole if name.endswith("_ft") else same)]
    if name.startswith("dino"):
        wide = width * 2 if own.interleaved else width
        place = "head.linear" if own.interleaved else "fc"
        probe = {
            f"module.linear.{kind}": (f"{place}.{kind}", shape)
            for kind, shape in (("weight", (1000, wide)), ("bias", (1000,)))
        }
        return [("", same), ("state_dict", probe)][: len(own.files)]
    if name.endswith("_linear"):
        return [("state_dict", renamed(whole, "module.{}".format))]
    base = "module.base_encoder.{}".format
    momentum = "module.momentum_encoder.{}".format
    extra = {"module.predictor.0.weight": (None, (8, 8))}
    for encoder in (base, momentum):
        extra[encoder(f"{head}.0.weight")] = (None, (8, width))
        extra[encoder(f"{head}.1.running_mean")] = (None, (8,))
    extra |= {momentum(key): (None, shape) for key, shape in backbone.items()}
    return [("state_dict", renamed(same, base) | extra)]


def weights(key, shape):
    value = torch.randn(shape) * 0.2
    if key.endswith("num_batches_tracked"):
        return torch.tensor(7)
    return value.abs() + 0.1 if "running_var" in key else value


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Small architectures, and a folder where no download is needed."""
    monkeypatch.setenv("VITSCOPE_CACHE", str(tmp_path))
    for name, own in RELEASES.items():
        monkeypatch.setitem(
            RELEASES,
            name,
            replace(
                own,
                arguments=own.arguments | SMALL[own.architecture],
                files=tuple(replace(f, published="") for f in own.files),
            ),
        )
    return tmp_path


def write(name, change=lambda state: None):
    """Write the files of a release; return its weights by timm's names."""
    torch.manual_seed(1)
    expected = {}
    for file, (top, keys) in zip(
        RELEASES[name].files, layout(name), strict=True
    ):
        state = {}
        for key, (own, shape) in keys.items():
            state[key] = weights(key, shape)
            if own:
                expected[own] = state[key]
        change(state)
        content = state
        if top:
            content = {top: state, "epoch": 300, "optimizer": {"state": {}}}
            content["args"] = argparse.Namespace(lr=0.1)
            content["best_acc1"] = np.float64(76.7)
        torch.save(content, downloads.place(file.url))
    return expected


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_is_what_its_files_hold(cache, name):
    expected = write(name)
    model = models.load(f"release/{name}", "cpu")
    state = model.module.state_dict()
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(state[key], value, rtol=0, atol=0)
    x = torch.randn(2, 3, SIDE, SIDE)
    outputs = 1000 if RELEASES[name].arguments["num_classes"] else None
    assert outputs in (None, model(x).shape[1])
    assert model.name == name


@pytest.mark.parametrize("name", RELEASES)
def test_the_layouts_fit_at_full_size(name):
    own = RELEASES[name]
    state = {}
    with torch.device("meta"):
        for file, (top, keys) in zip(
            own.files, layout(name, False), strict=True
        ):
            held = {k: torch.empty(shape) for k, (_, shape) in keys.items()}
            content = {top: held} if top else held
            state |= released.convert(content, file, Path("file"))
        module = released.build(name)
    fit(module, state, name)


def plain(heads, classes):
    return timm.models.VisionTransformer(
        img_size=SIDE,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=heads,
        num_classes=classes,
    ).eval()


@pytest.mark.parametrize(
    "name",
    [
        "moco_v3_vit_b",
        "moco_v3_vit_s_linear",
        "mae_vit_b",
        "mmpretrain_moco_v3_vit_b",
        "mmpretrain_moco_v3_vit_b_ft",
    ],
)
@torch.no_grad()
def test_outputs_are_those_of_the_source(cache, name):
    expected = write(name)
    x = torch.randn(2, 3, SIDE, SIDE)
    found = models.load(f"release/{name}", "cpu")(x)
    classes = 1000 if "head.weight" in expected else 0
    for heads, same in ((12, True), (6, False)):
        source = plain(heads, classes)
        source.load_state_dict(expected)
        assert torch.allclose(found, source(x), atol=1e-5) is same


@pytest.mark.parametrize(
    "name", ["moco_v3_r50_300_linear", "dino_r50", "dino_r50_linear"]
)
@torch.no_grad()
def test_residual_networks(cache, name):
    expected = write(name)
    classes = RELEASES[name].arguments["num_classes"]
    source = timm.create_model(
        "resnet50", num_classes=classes, **SMALL[release_files.R50]
    ).eval()
    source.load_state_dict(expected)
    x = torch.randn(2, 3, 64, 64)
    found = models.load(f"release/{name}", "cpu")(x)
    torch.testing.assert_close(found, source(x))


@torch.no_grad()
def test_the_head_of_dino_reads_channels_in_turn(cache):
    expected = write("dino_vit_b_linear")
    model = models.load("release/dino_vit_b_linear", "cpu")
    x = torch.randn(2, 3, SIDE, SIDE)
    backbone = plain(12, 0)
    head = {k: v for k, v in expected.items() if k.startswith("head.")}
    backbone.load_state_dict({k: expected[k] for k in expected.keys() - head})
    tokens = backbone.forward_features(x).double()
    features = np.empty((2, 2 * WIDTH))
    for channel in range(WIDTH):
        column = tokens[:, :, channel].numpy()
        features[:, 2 * channel] = column[:, 0]
        features[:, 2 * channel + 1] = column[:, 1:].mean(axis=1)
    weight, bias = (v.double().numpy() for v in head.values())
    np.testing.assert_allclose(
        model(x), features @ weight.T + bias, rtol=1e-4, atol=1e-4
    )
    assert (model.family.name, model.grid) == ("vit", (2, 2))


@torch.no_grad()
def test_fine_tuned_mae_normalises_the_mean_of_the_patches(cache):
    expected = write("mae_vit_b_ft")
    model = models.load("release/mae_vit_b_ft", "cpu")
    x = torch.randn(2, 3, SIDE, SIDE)
    body = {k: v for k, v in expected.items() if "norm.w" not in k}
    source = plain(12, 0)
    source.norm = nn.Identity()
    source.load_state_dict(body, strict=False)
    mean = source.forward_features(x)[:, 1:].mean(dim=1)
    scaled = nn.functional.layer_norm(
        mean,
        (WIDTH,),
        expected["fc_norm.weight"],
        expected["fc_norm.bias"],
        1e-6,
    )
    logits = scaled @ expected["head.weight"].T + expected["head.bias"]
    torch.testing.assert_close(model(x), logits)


def test_preprocessing_is_that_of_the_authors_evaluation(cache):
    for name, own in RELEASES.items():
        model = models.load(f"release/{name}?random", "cpu")
        moco = name.startswith("moco_v3")
        wanted = "bilinear" if moco else "bicubic"
        assert model.preprocessing["interpolation"] == wanted
        assert model.preprocessing["crop_pct"] == 224 / 256
        assert model.preprocessing["mean"] == (0.485, 0.456, 0.406)
        assert own.top1 is None or 60 < own.top1 < 90


def rename_prefix(state):
    for key in list(state):
        state[key.replace("module.", "")] = state.pop(key)


def add_key(state):
    state["module.base_encoder.extra"] = torch.zeros(1)
    state["module.teacher"] = torch.zeros(1)
    del state["module.base_encoder.norm.bias"]


def shrink_head(state):
    state["head.weight"] = state["head.weight"][:10]


def use_class_token(state):
    for kind in ("weight", "bias"):
        state[f"norm.{kind}"] = state.pop(f"fc_norm.{kind}")


@pytest.mark.parametrize(
    ("name", "change", "messages"),
    [
        (
            "moco_v3_vit_b",
            rename_prefix,
            ["begins with 'module.base_encoder.'", "'base_encoder.cls_token'"],
        ),
        (
            "moco_v3_vit_b",
            add_key,
            [
                "missing keys: ['norm.bias']",
                "unexpected keys: ['extra', 'module.teacher']",
            ],
        ),
        ("mae_vit_b_ft", shrink_head, ["head.weight is (10, 24), not (1000"]),
        (
            "mae_vit_b_ft",
            use_class_token,
            [
                "missing keys: ['fc_norm.bias', 'fc_norm.weight']",
                "unexpected keys: ['norm.bias', 'norm.weight']",
            ],
        ),
        ("mae_vit_b", dict.clear, ["no state dict of tensors under 'model'"]),
    ],
)
def test_files_that_do_not_fit(cache, name, change, messages):
    write(name, change)
    with pytest.raises(ValueError, match=re.escape(messages[0])) as error:
        models.load(f"release/{name}")
    assert all(message in str(error.value) for message in messages)
    assert downloads.place(RELEASES[name].files[0].url).name in str(
        error.value
    )


def test_a_file_of_something_else(cache):
    path = downloads.place(RELEASES["mae_vit_b"].files[0].url)
    torch.save({"teacher": {"cls_token": torch.zeros(1)}}, path)
    with pytest.raises(ValueError, match=r"under 'model'; it holds \['teach"):
        models.load("release/mae_vit_b")


def test_a_file_written_with_numpy_1(cache):
    expected = write("moco_v3_vit_s_linear")
    (file,) = RELEASES["moco_v3_vit_s_linear"].files
    path = downloads.place(file.url)
    with zipfile.ZipFile(path) as old:
        parts = {part: old.read(part) for part in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for part, content in parts.items():
            modern = b"numpy._core.multiarray"
            assert part[-8:] != "data.pkl" or modern in content
            new.writestr(
                part, content.replace(modern, modern.replace(b"_", b""))
            )
    module = models.load("release/moco_v3_vit_s_linear", "cpu").module
    torch.testing.assert_close(
        module.head.weight.data, expected["head.weight"]
    )


def test_a_file_in_torch_s_older_format(cache):
    expected = write("mae_vit_b")
    path = downloads.place(RELEASES["mae_vit_b"].files[0].url)
    torch.save({"model": expected}, path, _use_new_zipfile_serialization=False)
    state = models.load("release/mae_vit_b", "cpu").module.state_dict()
    torch.testing.assert_close(state, expected, check_stride=False)


def test_a_truncated_file(cache):
    write("mae_vit_b")
    path = downloads.place(RELEASES["mae_vit_b"].files[0].url)
    path.write_bytes(path.read_bytes()[:10_000])
    with pytest.raises(ValueError, match="damaged, truncated"):
        models.load("release/mae_vit_b")


def test_no_code_in_a_file_is_executed(cache):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(cache / "harm"),)

    path = downloads.place(RELEASES["mae_vit_b"].files[0].url)
    torch.save({"model": {}, "args": Harm()}, path)
    with pytest.raises(ValueError, match="not a file of weights"):
        models.load("release/mae_vit_b")
    assert not (cache / "harm").exists()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("release/mae_vit_bft", "nearest: 'mae_vit_b_ft'"),
        ("releas/mae_vit_b", "nearest: 'release/mae_vit_b'"),
        ("release/mae_vit_b?img_size=64", "neither a size nor a file"),
    ],
)
def test_bad_names_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        models.check(spec)


def test_the_names_of_openmmlab_s_files_hold_their_hashes():
    for name, own in RELEASES.items():
        if name.startswith("mmpretrain"):
            (file,) = own.files
            assert file.url.endswith(f"-{file.published[7:]}.pth")


def test_the_list_says_size_and_licence():
    lines = listings.zoo().splitlines()
    for name, own in RELEASES.items():
        (line,) = (x for x in lines if x.split()[:1] == [f"release/{name}"])
        assert f"about {own.megabytes} MB" in line
        assert ("non-commercial" in line) == name.startswith(("moco", "mae"))
