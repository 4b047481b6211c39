"""Sets of the hub, of torchvision and ImageNet's folder, without a network.

The hub is a small server on this machine that speaks as much of its protocol
as huggingface_hub asks for.
"""

import errno
import hashlib
import inspect
import io
import json
import re
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torchvision
from huggingface_hub import constants
from PIL import Image
from timm.data import ImageNetInfo

from helpers import images
from helpers.images import hub, hub_files, row_groups, specs
from helpers.images.torchvision import READERS

SHARED = Path(__file__).resolve().parents[3] / "shared"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAMES = ("bird", "cat", "dog")


def encoded(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (level, 255 - level, 7)).save(file, "PNG")
    return file.getvalue()


def shard(
    levels: range, names: tuple[str, ...] | None = NAMES, **more: Any
) -> bytes:
    """A parquet file as the hub's; level i has label i % 3."""
    cells = [{"bytes": encoded(i), "path": f"{i}.png"} for i in levels]
    table = pa.table({"img": cells, "label": [i % 3 for i in levels], **more})
    kinds: dict[str, Any] = {"img": {"_type": "Image"}}
    if names:
        kinds["label"] = {"_type": "ClassLabel", "names": names}
        note = json.dumps({"info": {"features": kinds}})
        table = table.replace_schema_metadata({"huggingface": note})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=4)
    return file.getvalue()


class Hub(BaseHTTPRequestHandler):
    files: ClassVar[dict[str, bytes]] = {}
    sizes: ClassVar[dict[str, int]] = {}
    converted: ClassVar[bool] = False
    gated: ClassVar[str] = ""
    breaks: ClassVar[int] = 0
    silent: ClassVar[float] = 0.0
    fetched: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        time.sleep(self.silent)
        path = self.path.split("?")[0]
        at = "refs%2Fconvert%2Fparquet" if self.converted else "main"
        if self.gated and self.gated in path:
            self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif path == f"/api/datasets/me/pets/revision/{at}":
            self.answer(200, json.dumps(self.card()).encode())
        elif path == "/api/datasets/me/pets/revision/main":
            self.answer(200, json.dumps({"id": "me/pets"}).encode())
        elif found := re.fullmatch(rf".*/resolve/{COMMIT}/(.*)", path):
            body = self.files[found[1]]
            if self.command == "GET":
                self.fetched.append(found[1])
            etag = hashlib.sha256(body).hexdigest()
            self.answer(
                200, body, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
            )
        elif "/revision/" in path and "me/pets" in path:
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    def card(self) -> dict[str, Any]:
        return {
            "id": "me/pets",
            "sha": COMMIT,
            "cardData": {"license": "cc0-1.0"},
            "siblings": [
                {"rfilename": n, "size": self.sizes.get(n, len(body))}
                for n, body in self.files.items()
            ],
        }

    def answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            broken = bool(self.breaks) and "ETag" in (headers or {})
            type(self).breaks -= broken
            self.wfile.write(body[: len(body) // 2] if broken else body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def pets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[type[Hub]]:
    Hub.files = {
        "README.md": b"pets",
        "data/train-00000-of-00002.parquet": shard(range(10)),
        "data/train-00001-of-00002.parquet": shard(range(10, 20)),
        "data/validation-00000-of-00001.parquet": shard(range(30, 36)),
    }
    Hub.sizes, Hub.fetched = {}, []
    Hub.converted, Hub.gated, Hub.breaks, Hub.silent = False, "", 0, 0.0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", here)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        here + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    own = partial(
        huggingface_hub.cached_assets_path, assets_dir=tmp_path / "own"
    )
    monkeypatch.setattr(huggingface_hub, "cached_assets_path", own)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    api = huggingface_hub.HfApi(endpoint=here, token=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    yield Hub
    server.shutdown()
    server.server_close()


@pytest.fixture
def offline(pets: type[Hub], monkeypatch: pytest.MonkeyPatch) -> Any:
    def cut() -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    return cut


def levels(found: images.Images) -> list[int]:
    return [found[i].getpixel((0, 0))[0] for i in range(len(found))]


def test_a_set_of_the_hub(pets: type[Hub]) -> None:
    train = images.load("hf:me/pets", "train")
    assert levels(train) == list(range(20))
    assert train.labels.tolist() == [i % 3 for i in range(20)]
    assert train.class_names == NAMES
    assert train.licence == "cc0-1.0"
    assert COMMIT[:12] in train.source
    test = images.load("hf:me/pets")
    assert levels(test) == [30, 31, 32, 33, 34, 35]
    assert "validation" in test.source


def test_a_draw_is_of_the_whole_split_where_it_is_small(
    pets: type[Hub],
) -> None:
    drawn = images.load("hf:me/pets", "train", limit=8, seed=3)
    again = images.load("hf:me/pets", "train", limit=8, seed=3)
    other = images.load("hf:me/pets", "train", limit=8, seed=4)
    assert levels(drawn) == drawn.index.tolist() == levels(again)
    assert levels(drawn) != levels(other)
    assert {i // 10 for i in drawn.index} == {0, 1}


def test_of_a_large_split_only_the_files_needed_are_fetched(
    pets: type[Hub],
) -> None:
    pets.files = {
        f"data/train-{k:05}-of-00009.parquet": shard(
            range(10 * k, 10 * k + 10)
        )
        for k in range(9)
    }
    pets.sizes = dict.fromkeys(pets.files, hub.WHOLE // 8)
    drawn = images.load("hf:me/pets", "train", limit=5, seed=1)
    assert len(pets.fetched) == 2  # 4 spare * 5 images / 10 a file
    assert len(set(levels(drawn))) == 5
    assert "2 of 9 files" in drawn.source
    files = {re.findall(r"-(\d+)-", name)[0] for name in pets.fetched}
    assert {level // 10 for level in levels(drawn)} <= set(map(int, files))
    again = images.load("hf:me/pets", "train", limit=5, seed=1)
    assert levels(again) == levels(drawn)
    assert len(pets.fetched) == 2
    with pytest.raises(ValueError, match="cannot draw 91"):
        images.load("hf:me/pets", "train", limit=91)


def test_the_hubs_own_conversion_is_read(
    pets: type[Hub], offline: Any
) -> None:
    pets.converted = True
    pets.files = {"default/test/0000.parquet": shard(range(6))}
    assert levels(images.load("hf:me/pets")) == list(range(6))
    offline()
    assert levels(images.load("hf:me/pets")) == list(range(6))


def test_offline_the_same_images_come_from_the_cache(
    pets: type[Hub], offline: Any
) -> None:
    online = levels(images.load("hf:me/pets", limit=3))
    offline()
    assert levels(images.load("hf:me/pets", limit=3)) == online
    with pytest.raises(ConnectionError, match=r"train-00000.*hf download"):
        images.load("hf:me/pets", "train")
    with pytest.raises(ConnectionError, match="not in the cache"):
        images.load("cifar10")
    assert images.check("cifar10") == "cifar10"


def test_offline_a_copy_made_by_hand_will_do(
    pets: type[Hub], offline: Any
) -> None:
    for name in pets.files:
        huggingface_hub.hf_hub_download(
            "me/pets", name, repo_type="dataset", revision=COMMIT
        )
    folder = Path(constants.HF_HUB_CACHE) / "datasets--me--pets"
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    offline()
    assert levels(images.load("hf:me/pets", "train")) == list(range(20))
    second = f"snapshots/{COMMIT}/data/train-00001-of-00002.parquet"
    (folder / second).unlink()
    with pytest.raises(ConnectionError, match="train-00001"):
        images.load("hf:me/pets", "train")


@pytest.mark.parametrize(
    ("spec", "split", "message"),
    [
        ("hf:me/nothing", "test", "no data set 'me/nothing'"),
        ("hf:me/pets?revision=v2", "test", "no revision 'v2'"),
        ("hf:me/pets:small", "test", "unknown config"),
        ("hf:me/pets?test=train&label=lable", "test", "nearest: 'label'"),
    ],
)
def test_what_the_hub_does_not_have(
    pets: type[Hub], spec: str, split: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        images.load(spec, split)


def test_a_missing_split_and_several_configs(pets: type[Hub]) -> None:
    name = "data/train-00000-of-00002.parquet"
    pets.files = {name: pets.files[name]}
    with pytest.raises(ValueError, match=r"'test' in its name.*1 for train"):
        images.load("hf:me/pets")
    body = pets.files[name]
    pets.files = {f"{k}/test/0000.parquet": body for k in ("big", "small")}
    with pytest.raises(ValueError, match="configs big, small"):
        images.load("hf:me/pets")
    assert len(images.load("hf:me/pets:small")) == 10
    pets.files = {"pets.zip": b""}
    with pytest.raises(ValueError, match="has not converted it"):
        images.load("hf:me/pets")


def test_a_broken_download_goes_on(pets: type[Hub]) -> None:
    pets.breaks = 1
    assert levels(images.load("hf:me/pets")) == [30, 31, 32, 33, 34, 35]
    assert len(pets.fetched) == 2


def test_a_full_disk(pets: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    with pytest.raises(OSError, match=r"No space.*HF_HOME"):
        images.load("hf:me/pets")


def test_a_hub_that_does_not_answer(
    pets: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_files, "TIMEOUT_S", 0.2)
    online = levels(images.load("hf:me/pets"))
    pets.silent = 2.0
    start = time.monotonic()
    assert levels(images.load("hf:me/pets")) == online  # from the cache
    with pytest.raises(ConnectionError, match="hub cannot be reached"):
        images.load("hf:me/others")
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("where", ["/api/", "/resolve/"])
def test_a_gated_set_asks_for_a_token(pets: type[Hub], where: str) -> None:
    pets.gated = where
    with pytest.raises(ValueError, match=r"gated.*hf auth login"):
        images.load("hf:me/pets")


@pytest.mark.parametrize(
    "spec", ["hf:", "hf:a/b/c", "hf:../x", "hf:a/b?lable=x", "hf:a/b?label="]
)
def test_specs_that_are_none(spec: str) -> None:
    with pytest.raises(ValueError, match=r"names no repo|nearest|needs a val"):
        images.check(spec)


def saved(path: Path, body: bytes) -> str:
    path.write_bytes(body)
    return f"parquet:{path}"


def test_columns_are_never_guessed(tmp_path: Path) -> None:
    more = {"coarse": [i % 2 for i in range(10)]}
    body = shard(range(10), names=None, **more)
    assert images.load(saved(tmp_path / "a", body)).class_names == tuple("012")
    table = pq.read_table(io.BytesIO(body)).rename_columns(
        ["img", "fine", "coarse"]
    )
    pq.write_table(table, tmp_path / "b")
    spec = f"parquet:{tmp_path / 'b'}"
    with pytest.raises(ValueError, match="2 label columns: fine, coarse"):
        images.load(spec)
    assert images.load(f"{spec}?label=coarse").labels.tolist() == [0, 1]
    with pytest.raises(ValueError, match="nearest: 'coarse'"):
        images.load(f"{spec}?label=corse")
    pq.write_table(table.append_column("mask", table["img"]), tmp_path / "c")
    with pytest.raises(ValueError, match="2 image columns: img, mask"):
        images.load(f"parquet:{tmp_path / 'c'}?label=fine")


def test_labels_of_text_become_sorted_names(tmp_path: Path) -> None:
    words = [("dog", "ant", "cat")[i % 3] for i in range(10)]
    table = pq.read_table(io.BytesIO(shard(range(10), None)))
    table = table.set_column(1, "label", pa.array(words))
    pq.write_table(table, tmp_path / "a")
    found = images.load(f"parquet:{tmp_path / 'a'}", "train")
    assert found.class_names == ("ant", "cat", "dog")
    names = [found.class_names[i] for i in found.labels]
    assert names == [words[i] for i in found.index]


def test_withheld_labels_and_empty_cells(tmp_path: Path) -> None:
    table = pq.read_table(io.BytesIO(shard(range(10), None)))
    for label, message in ((-1, "withheld"), (None, "lacks 10 labels")):
        column = pa.array([label] * 10, pa.int64())
        pq.write_table(table.set_column(1, "label", column), tmp_path / "a")
        with pytest.raises(ValueError, match=message):
            images.load(f"parquet:{tmp_path / 'a'}")
    cells = [{"bytes": None, "path": "http://x/a.png"}] * 10
    kind = table.schema.field("img").type
    gone = table.set_column(0, "img", pa.array(cells, kind))
    pq.write_table(gone, tmp_path / "a")
    with pytest.raises(ValueError, match="no image in row 4 of"):
        images.load(f"parquet:{tmp_path / 'a'}")[0]


def test_a_damaged_row_group_is_an_error_when_read(tmp_path: Path) -> None:
    body = bytearray(shard(range(10)))
    note = pq.read_metadata(io.BytesIO(body)).row_group(1)
    start = note.column(0).dictionary_page_offset
    start = start or note.column(0).data_page_offset
    body[start : start + 40] = b"\xff" * 40
    found = images.load(saved(tmp_path / "a", bytes(body)), "train")
    assert found[0].getpixel((0, 0))[0] == 0
    with pytest.raises(ValueError, match="damaged"):
        found[5]


def test_pictures_are_read_a_group_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, str]] = []
    column = row_groups._column

    def noted(path: Path, note: Any, groups: list[int], name: str) -> Any:
        read.extend((group, name) for group in groups)
        return column(path, note, groups, name)

    monkeypatch.setattr(row_groups, "_column", noted)
    monkeypatch.setattr(row_groups, "HELD", 1)  # one group at a time
    path = tmp_path / "a"
    saved(path, shard(range(10)))
    found = row_groups.find([path, path], "twice")
    assert read == [(g, "label") for g in (0, 1, 2) * 2]
    read.clear()
    order = np.array([19, 0, 11, 8, 1, 10, 5])
    pictures = found.read(order)
    assert [p.getpixel((0, 0))[0] for p in pictures] == [9, 0, 1, 8, 1, 0, 5]
    assert read == [(g, "img") for g in (0, 1, 2, 0, 2)]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    fine = np.array([[0, 257, 20_000, 65_535]], dtype=np.uint16)
    (tmp_path / "grey").mkdir()
    Image.fromarray(fine).save(tmp_path / "grey" / "a.png")
    found = images.load(f"folder:{tmp_path}", "train")
    np.testing.assert_array_equal(
        np.asarray(found[0])[0], np.repeat([[0], [1], [77], [255]], 3, axis=1)
    )


def test_imagenet_in_a_folder_has_the_labels_of_its_heads(
    tmp_path: Path,
) -> None:
    ids = ImageNetInfo().label_names()
    for split in ("train", "val"):
        for i in (217, 0):
            folder = tmp_path / split / ids[i]
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(folder / "a.JPEG")
    found = images.load(f"imagenet:{tmp_path}")
    assert sorted(found.labels) == [0, 217]
    assert len(found.class_names) == 1000
    assert found.class_names[0].startswith("tench")
    (tmp_path / "val" / "fish").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "val" / "fish" / "a.png")
    with pytest.raises(ValueError, match="class folder 'fish'"):
        images.load(f"imagenet:{tmp_path}")


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "datasets"


def test_sets_of_torchvision(torch_home: Path) -> None:
    for part in ("train", "valid", "test"):
        for k, kind in enumerate(("AD", "ZW")):
            folder = torch_home / "country211" / part / kind
            folder.mkdir(parents=True)
            Image.new("L", (8, 8), 50 * k).save(folder / "a.jpg")
    found = images.load("torchvision:Country211")
    assert found.class_names == ("AD", "ZW")
    assert found.labels.tolist() == [0, 1]
    assert found[1].getpixel((0, 0)) == (50, 50, 50)
    spoilt = torch_home / "country211" / "test" / "ZW" / "a.jpg"
    spoilt.write_bytes(b"no picture")
    with pytest.raises(ValueError, match="number 1 of Country211"):
        found[1]


def test_a_set_of_torchvision_without_splits(torch_home: Path) -> None:
    for kind in ("Forest", "River"):
        folder = torch_home / "eurosat" / "2750" / kind
        folder.mkdir(parents=True)
        for i in range(5):
            Image.new("RGB", (8, 8)).save(folder / f"{i}.jpg")
    train, test = (
        images.load("torchvision:EuroSAT", split) for split in specs.SPLITS
    )
    assert (len(train), test.index.tolist()) == (8, [4, 9])
    assert test.class_names == ("Forest", "River")


def test_torchvision_offline_and_unknown(torch_home: Path) -> None:
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE"):
        images.load("torchvision:Flowers102")
    with pytest.raises(ValueError, match="nearest: 'Flowers102'"):
        images.check("torchvision:Flowers")
    with pytest.raises(ValueError, match=r"can execute code; use 'cifar10'"):
        images.check("torchvision:CIFAR10")


@pytest.mark.parametrize("name", READERS)
def test_no_reader_of_torchvision_unpickles(name: str) -> None:
    reader = READERS[name]
    kind = getattr(torchvision.datasets, name)
    source = inspect.getsource(inspect.getmodule(kind))
    assert not re.search(r"pickle|torch\.load|allow_pickle", source)
    assert reader.labels in source or reader.labels == "targets"
    own = "split" in inspect.signature(kind).parameters
    assert own == bool(reader.train) == bool(reader.test)
    for split in filter(None, (reader.train, reader.test)):
        assert f'"{split}"' in source


def test_aliases_are_specs() -> None:
    for name in hub.ALIASES:
        assert images.check(name) == name
        assert hub.parse(name) == hub.parse(hub.ALIASES[name].spec)


def test_cifar10_by_its_name(pets: type[Hub], tmp_path: Path) -> None:
    kept = SHARED / "data" / "cifar10_test.parquet"
    if not kept.is_file():
        pytest.skip("the CIFAR-10 parquet files are not here")
    top = Path(constants.HF_HUB_CACHE) / "datasets--uoft-cs--cifar10"
    folder = top / "snapshots" / COMMIT / "plain_text"
    folder.mkdir(parents=True)
    (folder / "test-00000-of-00001.parquet").symlink_to(kept)
    (top / "refs").mkdir()
    (top / "refs" / "main").write_text(COMMIT)
    constants.HF_HUB_OFFLINE = True  # the fixture puts it back
    found = images.load("cifar10")
    assert np.bincount(found.labels).tolist() == [1000] * 10
    drawn = images.load("cifar10", limit=40, seed=2)
    whole = pq.read_table(kept)["img"]
    for i in (0, 39):
        data = io.BytesIO(whole[int(drawn.index[i])].as_py()["bytes"])
        np.testing.assert_array_equal(drawn[i], Image.open(data))
