"""Downloads from a server in this process: whole, broken off, wrong."""

import errno
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from helpers.models import downloads

CONTENT = np.random.default_rng(4).bytes(3_000_000)
HASHES = {
    kind: hashlib.new(kind, CONTENT).hexdigest() for kind in ("md5", "sha256")
}


class Server(ThreadingHTTPServer):
    """Serves one file; breaks off after `give` bytes, `breaks` times."""

    daemon_threads = True
    content = CONTENT
    version: str | None = '"first"'
    breaks = 0
    give = 1_000_000

    def handle_error(self, *_):
        pass


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        self.server.asked.append(dict(self.headers))
        if self.path != "/model.pth":
            self.send_error(404)
            return
        begin, content = 0, server.content
        same = self.headers.get("If-Range") == server.version
        if "Range" in self.headers and same:
            begin = int(self.headers["Range"][len("bytes=") : -1])
            past = begin >= len(content)
            self.send_response(416 if past else 206)
            self.send_header(
                "Content-Range",
                f"bytes */{len(content)}"
                if past
                else f"bytes {begin}-{len(content) - 1}/{len(content)}",
            )
        else:
            self.send_response(200)
        if server.version:
            self.send_header("ETag", server.version)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        rest = content[begin:]
        if server.breaks:
            server.breaks -= 1
            rest = rest[: server.give]
        self.wfile.write(rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("VITSCOPE_CACHE", str(tmp_path / "kept"))
    monkeypatch.setenv("no_proxy", "*")
    server = Server(("127.0.0.1", 0), Handler)
    server.asked = []
    server.url = f"http://127.0.0.1:{server.server_port}/model.pth"
    threading.Thread(
        target=server.serve_forever, args=(0.01,), daemon=True
    ).start()
    yield server
    server.shutdown()
    server.server_close()


def left():
    return sorted(
        path.name.removeprefix("model.pth")
        for path in downloads.folder().iterdir()
        if path.suffix != ".lock"
    )


def test_fetched_once_and_its_hash_recorded(server, capsys):
    path = downloads.fetch(server.url)
    assert path.read_bytes() == CONTENT
    assert left() == ["", ".sha256"]
    note = path.with_name("model.pth.sha256").read_text()
    assert note == f"{HASHES['sha256']}  model.pth\n"
    assert "model.pth: 100%" in capsys.readouterr().err
    assert downloads.fetch(server.url) == path
    assert len(server.asked) == 1


def test_a_broken_download_goes_on_by_itself(server):
    server.breaks = 2
    assert downloads.fetch(server.url).read_bytes() == CONTENT
    ranges = [headers.get("Range") for headers in server.asked]
    assert ranges == [None, "bytes=1000000-", "bytes=2000000-"]
    assert left() == ["", ".sha256"]


def test_the_next_attempt_goes_on_where_the_last_stopped(server):
    server.breaks, server.give = 2, 0
    folder = downloads.folder()
    folder.mkdir()
    (folder / "model.pth.part").write_bytes(CONTENT[:70_000])
    (folder / "model.pth.part.etag").write_text('"first"')
    with pytest.raises(ConnectionError, match="70000 bytes are kept") as error:
        downloads.fetch(server.url)
    assert str(folder / "model.pth") in str(error.value)
    assert ".part" in left()
    assert "" not in left()
    server.breaks = 0
    assert downloads.fetch(server.url).read_bytes() == CONTENT
    assert server.asked[-1]["Range"] == "bytes=70000-"


@pytest.mark.parametrize("tag", ['"older"', None])
def test_parts_of_another_version_are_not_joined(server, tag):
    folder = downloads.folder()
    folder.mkdir()
    (folder / "model.pth.part").write_bytes(b"x" * 70_000)
    if tag:
        (folder / "model.pth.part.etag").write_text(tag)
    assert downloads.fetch(server.url).read_bytes() == CONTENT


def test_a_server_without_versions(server):
    server.version, server.breaks = None, 1
    assert downloads.fetch(server.url).read_bytes() == CONTENT
    assert [h.get("Range") for h in server.asked] == [None, None]


@pytest.mark.parametrize("surplus", [b"", b"more"])
def test_stopped_between_the_last_byte_and_the_name(server, surplus):
    folder = downloads.folder()
    folder.mkdir()
    (folder / "model.pth.part").write_bytes(CONTENT + surplus)
    (folder / "model.pth.part.etag").write_text('"first"')
    assert downloads.fetch(server.url).read_bytes() == CONTENT
    assert len(server.asked) == (2 if surplus else 1)


@pytest.mark.parametrize("kind", HASHES)
def test_published_hashes(server, kind):
    digits = HASHES[kind][:6]
    downloads.fetch(server.url, f"{kind}:{digits}")
    wrong = "0" * 6 if digits[0] != "0" else "f" * 6
    with pytest.raises(ValueError, match=f"begins with {wrong}") as error:
        downloads.fetch(server.url, f"{kind}:{wrong}")
    assert HASHES[kind] in str(error.value)


def test_a_wrong_file_is_refused_and_not_kept(server):
    with pytest.raises(ValueError, match="not the published file"):
        downloads.fetch(server.url, "md5:zzz")
    assert not left()


@pytest.mark.parametrize("damage", [CONTENT[:-1], CONTENT[:-1] + b"?"])
def test_a_file_that_changed_after_its_first_use(server, damage):
    path = downloads.fetch(server.url)
    path.write_bytes(damage)
    with pytest.raises(ValueError, match="has changed") as error:
        downloads.fetch(server.url)
    assert HASHES["sha256"] in str(error.value)
    assert hashlib.sha256(damage).hexdigest() in str(error.value)
    assert path.exists()


def test_offline(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match="put the file at") as error:
        downloads.fetch(server.url)
    assert str(downloads.place(server.url)) in str(error.value)
    downloads.place(server.url).write_bytes(CONTENT)
    assert downloads.fetch(server.url).read_bytes() == CONTENT


def test_an_address_that_is_gone(server):
    url = server.url.replace("model", "gone")
    with pytest.raises(ConnectionError, match="404"):
        downloads.fetch(url)
    assert len(server.asked) == 1


def test_a_full_disk(server, monkeypatch):
    usage = downloads.shutil.disk_usage("/")
    monkeypatch.setattr(
        downloads.shutil, "disk_usage", lambda _: usage._replace(free=1000)
    )
    with pytest.raises(OSError, match=r"disk is full.*3 MB are") as error:
        downloads.fetch(server.url)
    assert error.value.errno == errno.ENOSPC


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_disk_that_fills_up_on_the_way(server):
    folder = downloads.folder()
    folder.mkdir()
    (folder / "model.pth.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left.*are kept") as error:
        downloads.fetch(server.url)
    assert error.value.errno == errno.ENOSPC
    assert server.url in str(error.value)


def test_the_folder_is_torch_s_unless_named(monkeypatch, tmp_path):
    monkeypatch.delenv("VITSCOPE_CACHE", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / "a.pth"
    assert downloads.place("https://example.org/x/a.pth") == place
