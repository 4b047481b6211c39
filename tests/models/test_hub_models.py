"""`hf:` specs: loaded from a folder, or refused with the way to go on."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from helpers import models
from helpers.editions import required_files
from helpers.models import hub_models

transformers = pytest.importorskip("transformers")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small DINOv2 with its image processor, as the hub has them."""
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=3,
        image_size=56,
        patch_size=14,
    )
    transformers.Dinov2Model(config).save_pretrained(tmp_path)
    transformers.BitImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}
    ).save_pretrained(tmp_path)
    return tmp_path


def test_weights_and_preprocessing_are_those_of_the_repository(
    folder: Path,
) -> None:
    model = models.load(f"hf:{folder}", "cpu")
    assert model.family.name == "hugging_face"
    assert model.spec == f"hf:{folder}"
    assert (model.grid, model.patch) == ((2, 2), (14, 14))
    theirs = transformers.Dinov2Model.from_pretrained(folder).eval()
    x = torch.rand(2, 3, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(model(x), theirs(x).last_hidden_state)
    bare = models.load(f"hf:{folder}?random=1", "cpu")
    other = models.load(f"hf:{folder}?random=2", "cpu")
    again = models.load(f"hf:{folder}?random=1", "cpu")
    assert list(bare.taps) == list(model.taps)
    assert torch.equal(bare(x), again(x))
    assert not torch.equal(bare(x), other(x))


def test_weights_that_are_not_whole(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"num_hidden_layers": 3}
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"not whole; missing keys.*layer\.2"):
        models.load(f"hf:{folder}", "cpu")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hf:dinov2", "names no repository; expected hf:<owner>/<name>"),
        ("hf:", "names no repository"),
        ("hf:timm/vit_tiny_patch16_224", "give 'vit_tiny_patch16_224'"),
        ("hf:a/b?img_size=64", "takes neither a size nor a file"),
        ("hf:a/b@file.safetensors", "takes neither a size nor a file"),
        ("hf:a/b?rnd", "unknown option.*'rnd'; nearest: 'random'"),
    ],
)
def test_specs_that_are_refused(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.check(spec)


def test_transformers_that_is_too_old_or_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_models, "version", lambda _: "4.41.2")
    with pytest.raises(ValueError, match=r"5\.0 or newer, here is 4\.41\.2"):
        models.check("hf:facebook/dinov2-small")
    monkeypatch.setattr(hub_models, "version", missing)
    with pytest.raises(ValueError, match=r"vitscope\[transformers\]"):
        models.check("hf:facebook/dinov2-small")


def missing(name: str) -> str:
    raise hub_models.PackageNotFoundError(name)


def test_a_type_of_model_that_this_version_does_not_know(
    folder: Path,
) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"model_type": "dinov9_vit"}
    path.write_text(json.dumps(config))
    with pytest.raises(
        ValueError, match=r"'dinov9_vit'; nearest: .*'dinov3_vit'"
    ) as told:
        models.load(f"hf:{folder}", "cpu")
    assert transformers.__version__ in str(told.value)
    assert hub_models.INSTALL in str(told.value)


def test_a_model_of_text(tmp_path: Path) -> None:
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="type bert, could not be loaded as"):
        models.load(f"hf:{tmp_path}?random", "cpu")


class Hub(BaseHTTPRequestHandler):
    """A hub that refuses everything, for the reason in the repository."""

    def do_HEAD(self) -> None:
        status, code = REFUSALS[self.path.split("/")[2]]
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


REFUSALS = {
    "gated": (403, "GatedRepo"),
    "none": (404, "RepoNotFound"),
    "empty": (404, "EntryNotFound"),
    "down": (503, "Down"),
}


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "gated",
            ValueError,
            "me/gated is gated: accept its terms at https://huggingface.co/me",
        ),
        ("none", ValueError, "no model 'me/none' on the hub"),
        ("empty", ValueError, "me/empty has no config.json"),
        ("down", ConnectionError, "hf download me/down"),
    ],
)
def test_what_the_hub_answers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kind: type[Exception],
    message: str,
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    try:
        with pytest.raises(kind, match=message):
            models.load(f"hf:me/{name}", "cpu")
    finally:
        server.shutdown()
        server.server_close()


def test_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set"):
        models.load("hf:nobody/has-this", "cpu")


def test_editions_take_them(folder: Path) -> None:
    spec = f"hf:{folder}"
    assert models.untrained(spec) == f"{spec}?random"
    bare = required_files.bare(spec)
    assert bare.device.type == "meta"
    assert bare.grid == (2, 2)
    item = required_files.of_model(spec)
    assert item
    assert item.size is None
