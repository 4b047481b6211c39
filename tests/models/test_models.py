"""Model specs: what loads, what is refused and how."""

import os
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from helpers import features, models
from helpers.models import zoo

SHARED = Path(__file__).resolve().parents[3] / "shared"
TINY = "vit_tiny_patch16_224"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    path = tmp_path / "tiny.safetensors"
    save_file(timm.create_model(TINY, num_classes=7).state_dict(), path)
    return path


def test_random_weights_are_the_same_at_every_load() -> None:
    a, b = (models.load(f"{TINY}?random&img_size=32") for _ in range(2))
    assert a.grid == (2, 2)
    assert a.preprocessing["input_size"] == (3, 32, 32)
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(a(x), b(x))
    assert not a.module.training


def test_loading_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    models.load(f"{TINY}?random&img_size=32")
    assert torch.rand(1) == expected


def test_a_lab_model_is_what_its_file_holds() -> None:
    name = next(iter(zoo.cards()))
    model = models.load(f"lab/{name}")
    state = load_file(zoo.FOLDER / f"{name}.safetensors")
    own = model.module.state_dict()
    assert set(own) <= set(state)
    for key, value in own.items():
        torch.testing.assert_close(value, state[key].to(value.dtype))
    untrained = models.load(f"lab/{name}?random")
    assert list(untrained.taps) == list(model.taps)


def test_a_local_file_is_loaded_with_its_head(weights: Path) -> None:
    model = models.load(f"{TINY}@{weights}")
    state = load_file(weights)
    assert model.module.num_classes == 7
    for key, value in model.module.state_dict().items():
        torch.testing.assert_close(value, state[key])


def test_a_distilled_deit_has_two_heads(tmp_path: Path) -> None:
    name, path = "deit_tiny_distilled_patch16_224", tmp_path / "deit.pth"
    torch.save(timm.create_model(name, num_classes=7).state_dict(), path)
    assert models.load(f"{name}@{path}").module.num_classes == 7


def test_a_torch_file_one_level_down(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.pth"
    torch.save({"epoch": 3, "state_dict": load_file(weights)}, path)
    model = models.load(f"{TINY}@{path}")
    assert model.module.num_classes == 7


def test_a_checkpoint_that_does_not_fit(weights: Path) -> None:
    state = load_file(weights)
    state["extra.weight"] = torch.zeros(1)
    del state["norm.bias"]
    save_file(state, weights)
    with pytest.raises(ValueError, match="does not fit") as error:
        models.load(f"{TINY}@{weights}")
    assert 'Missing key(s) in state_dict: "norm.bias"' in str(error.value)
    assert 'Unexpected key(s) in state_dict: "extra.weight"' in str(
        error.value
    )


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_truncated_file(weights: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    if suffix == ".pth":
        torch.save(load_file(weights), path)
    else:
        path.write_bytes(weights.read_bytes())
    path.write_bytes(path.read_bytes()[:10_000])
    with pytest.raises(ValueError, match="damaged, truncated"):
        models.load(f"{TINY}@{path}")


def test_no_code_in_a_file_is_executed(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    path = tmp_path / "harm.pth"
    torch.save({"state_dict": Harm()}, path)
    with pytest.raises(ValueError, match="not a file of weights"):
        models.load(f"{TINY}@{path}")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("lab/vit_clss", "nearest: 'lab/vit_cls'"),
        ("vit_tiny_patch16_24", "nearest: 'vit_tiny_patch16_224'"),
        ("vit_base_patch16_224.dinno", "nearest: .*dino"),
        (f"{TINY}?randm", "nearest: 'random'"),
        (f"{TINY}?img_size=big", "number of pixels"),
        ("vit_base_patch16_gap_224", "no trained weights"),
        ("resnet18?random&img_size=64", "no img_size option"),
    ],
)
def test_bad_specs_are_refused(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.load(spec)


def test_missing_weights_file() -> None:
    with pytest.raises(FileNotFoundError, match="no weights file"):
        models.check(f"{TINY}@nowhere.safetensors")


@pytest.mark.parametrize(
    "name", ["resnet18.tv_in1k", "vit_small_patch16_224.dino"]
)
def test_preprocessing_is_the_checkpoint_s(name: str) -> None:
    module = timm.create_model(name, pretrained=False).eval()
    model = models.wrap(module, name)
    config = timm.get_pretrained_cfg(name)
    assert model.preprocessing["interpolation"] == config.interpolation
    assert model.preprocessing["crop_pct"] == config.crop_pct
    grey = Image.new("RGB", (300, 260), (128, 64, 255))
    pixel = model.transform(grey)[:, 100, 100]
    wanted = (np.array([128, 64, 255]) / 255 - config.mean) / config.std
    np.testing.assert_allclose(pixel, wanted, atol=1e-5)


def test_real_vit_with_a_resized_position_grid() -> None:
    path = SHARED / "weights/vit_small_patch14_saliency.safetensors"
    if not path.is_file():
        pytest.skip("the trained ViT-S/14 file is not here")
    model = models.load(f"vit_small_patch14_dinov2@{path}?img_size=224")
    assert model.grid == (16, 16)
    with features.record(model, "norm", "cls") as tape:
        model(torch.randn(2, 3, 224, 224))
    assert tape["norm"].shape == (2, 384)
    assert torch.isfinite(tape["norm"]).all()


def test_pretrained_weights_from_the_hub_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not (SHARED / "hub").is_dir():
        pytest.skip("the Hugging Face cache with EfficientNet is not here")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(SHARED / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = models.load("tf_efficientnet_lite0.in1k")
    assert model(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)


def test_draws_of_untrained_weights_differ_and_repeat() -> None:
    specs = [f"{TINY}?random{n}&img_size=32" for n in ("", "=0", "=1", "=1")]
    zero, same, one, again = (
        models.load(spec, "cpu").module.state_dict() for spec in specs
    )
    key = "blocks.0.attn.qkv.weight"
    assert torch.equal(zero[key], same[key])
    assert torch.equal(one[key], again[key])
    assert not torch.equal(zero[key], one[key])
    assert models.untrained("lab/resnet", 2) == "lab/resnet?random=2"
    with pytest.raises(ValueError, match="must be a seed, like random=1"):
        models.load("lab/resnet?random=first")


@pytest.mark.parametrize("spec", ["lab/resnet", "resnet18"])
def test_untrained_resnets_have_branches_that_add_something(spec: str) -> None:
    module = models.load(f"{spec}?random", "cpu").module
    for stage in (module.layer1, module.layer4):
        for block in stage:
            last = getattr(block, "bn3", None) or block.bn2
            assert torch.equal(last.weight, torch.ones_like(last.weight))


@pytest.mark.parametrize("name", ["regnety_002", "swinv2_tiny_window8_256"])
def test_no_untrained_model_has_a_norm_that_gives_zeros(name: str) -> None:
    bare = timm.create_model(name).state_dict()
    loaded = models.load(f"{name}?random", "cpu").module.state_dict()
    gains = [k for k in bare if k.endswith("weight") and bare[k].ndim == 1]
    assert not all(bare[key].any() for key in gains)
    assert all(loaded[key].all() for key in gains)


@pytest.mark.parametrize(
    "name", ["volo_d1_224", "levit_128s", "naflexvit_base_patch16_gap"]
)
def test_images_have_the_size_that_a_spec_asks_for(name: str) -> None:
    model = models.load(f"{name}?random&img_size=64")
    assert model.preprocessing["input_size"] == (3, 64, 64)
    assert model(torch.zeros(1, 3, 64, 64)).isfinite().all()
