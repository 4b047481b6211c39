"""Checkpoints and modules as people have them: loaded, or refused by name."""

import argparse
import os
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from helpers import models
from helpers.models import released, weights
from helpers.models.usable import unwrapped

TINY = "vit_tiny_patch16_224"


def tiny(**options: Any) -> nn.Module:
    torch.manual_seed(3)
    model: nn.Module = timm.create_model("test_vit", num_classes=7, **options)
    return model.eval()


STATE: dict[str, Tensor] = dict(tiny().state_dict())


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in STATE.items()}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        OrderedDict(STATE),
        {"state_dict": STATE, "epoch": 3},
        {"model_state_dict": STATE, "optimizer_state_dict": {"lr": [0.1]}},
        {"model": STATE, "args": argparse.Namespace(lr=0.1, out="here")},
        {"state_dict": prefixed("module."), "arch": "vit"},
        prefixed("_orig_mod."),
        prefixed("module._orig_mod."),
        prefixed("_orig_mod.module."),
        {"state_dict": prefixed("model."), "pytorch-lightning_version": "2"},
        {k: v.half() for k, v in STATE.items()},
        {k: v.bfloat16() for k, v in STATE.items()},
    ],
    ids=lambda content: ",".join(content)[:30],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_common_checkpoints(
    tmp_path: Path, content: dict[str, Any], zipped: bool
) -> None:
    path = tmp_path / "a.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    model = models.load(f"test_vit@{path}", "cpu")
    x = torch.rand(1, 3, 160, 160)
    exact = next(iter(weights.read(path).values())).dtype == torch.float32
    with torch.no_grad():
        torch.testing.assert_close(
            model(x),
            tiny()(x),
            rtol=1e-6 if exact else 0.1,
            atol=1e-6 if exact else 0.1,
        )


class Harm:
    """What a pickle can do: make a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "an empty dict"),
        ([], "an empty list"),
        (3, "an empty int"),
        (torch.zeros(2), "an empty Tensor"),
        ([torch.zeros(2)], "an empty list"),
        ({"epoch": 3, "net": STATE}, "'epoch' is of type int, 'net' is of"),
        ({"state_dict": {"a": [1]}}, "'a' is of type list"),
        ({"state_dict": {}}, "an empty dict"),
        ({0: torch.zeros(1)}, "0 is of type Tensor"),
        (STATE | {"head.weight": torch.tensor(1.0)}, "head.weight is a sing"),
        (STATE | {"norm.weight": torch.tensor(1.0)}, "does not fit"),
        (STATE | {"pos_embed": torch.tensor(1.0)}, "does not fit"),
        (STATE | {"more": torch.zeros(1)}, 'does not fit.*"more"'),
        ({"model": nn.Linear(2, 2)}, "it names torch.nn.modules.linear.Lin"),
        ({"a": Path("x")}, r"it names pathlib"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_checkpoints_that_are_refused(
    tmp_path: Path, content: Any, message: str
) -> None:
    path = tmp_path / "a.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=f"(?s){message}") as error:
        models.load(f"test_vit@{path}", "cpu")
    assert str(path) in str(error.value)
    assert "weights_only" not in everything(error.value)


def everything(error: BaseException | None) -> str:
    """The message of an error and of all that a traceback shows with it."""
    if error is None:
        return ""
    hidden = error.__suppress_context__
    below = error.__cause__ or (None if hidden else error.__context__)
    return str(error) + everything(below)


@pytest.mark.parametrize("read", [weights.read, weights.content])
def test_no_pickle_is_executed_nor_advised(tmp_path: Path, read: Any) -> None:
    path = tmp_path / "a.pth"
    options = argparse.Namespace(more=Harm(tmp_path / "harm"))
    for content in (Harm(tmp_path / "harm"), {"model": {}, "args": options}):
        torch.save(content, path)
        with pytest.raises(ValueError, match=r"it names \w+\.mkdir") as error:
            read(path)
        assert "weights_only" not in everything(error.value)
    assert not (tmp_path / "harm").exists()


def test_a_compiled_program_is_no_file_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"PK\x03\x04 but nothing else")
    with pytest.raises(ValueError, match="not a file of weights") as error:
        weights.read(path)
    assert "weights_only" not in everything(error.value)


def test_releases_read_files_by_the_same_rules() -> None:
    assert released.weights.content is weights.content


@pytest.mark.parametrize(
    "wrap",
    [
        torch.compile,
        nn.DataParallel,
        lambda module: torch.compile(nn.DataParallel(module)),
    ],
    ids=["compiled", "parallel", "both"],
)
def test_wrapped_modules_are_measured_inside(wrap: Any) -> None:
    module = tiny()
    model = models.wrap(wrap(module), "mine")
    assert model.module is module
    assert list(model.taps) == list(models.wrap(module, "mine").taps)


def test_a_module_with_a_part_called_module_is_no_wrapper() -> None:
    own = tiny()
    own.module = nn.Linear(2, 2)
    assert unwrapped(own) is own


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (tiny().half(), r"half precision \(torch.float16\).*module.float"),
        (tiny().bfloat16(), r"half precision \(torch.bfloat16\)"),
        (tiny(in_chans=1), r"takes images of 1 channel.*in_chans=3"),
        (tiny(in_chans=4), r"takes images of 4 channel"),
        (timm.create_model("test_resnet", in_chans=1), "of 1 channel"),
        (nn.Identity(), "Identity has no parameters"),
    ],
    ids=["half", "bfloat16", "grey", "rgba", "grey resnet", "empty"],
)
def test_modules_that_cannot_be_measured(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.wrap(given, "mine")


@pytest.mark.parametrize(
    "given", [[tiny()], "vit", None, {"a": 1}, DataLoader([1]), STATE, tiny]
)
def test_what_is_no_module(given: Any) -> None:
    kind = re.escape(type(given).__name__)
    with pytest.raises(TypeError, match=f"model is of type {kind}; expected"):
        models.wrap(given, "mine")


@pytest.mark.parametrize("spec", [["vit"], None, tiny(), Path("vit")])
@pytest.mark.parametrize("use", [models.load, models.check])
def test_specs_that_are_no_text(spec: Any, use: Any) -> None:
    with pytest.raises(TypeError, match="model spec is of type"):
        use(spec)
