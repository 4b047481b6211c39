"""Large files from the web: cached, resumable, and checked at every use.

A download that broke off goes on where it stopped. A file appears under its
name only when it is whole and has the hash that its authors published; where
they published none, its sha256 is written beside it at the first use and
must be the same ever after.

`pooch` is not used: it cannot resume. Over a line that breaks after each
third of a file it never has the file (here three requests are enough), and it
wants whole hashes, where authors publish the first digits of them.

Files lie in `checkpoints` in torch's hub folder, so that what `torch.hub`
has fetched is found; the environment variable `VITSCOPE_CACHE` names another
folder. Do not use it for the models of timm, which fetches its own.
"""

import errno
import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from tqdm.auto import tqdm

from helpers.runtime.paths import whole

CHUNK = 1 << 20
TIMEOUT_S = 30.0
PARTIAL, BEYOND_END = 206, 416


def folder() -> Path:
    """Return where files are kept: `$VITSCOPE_CACHE`, or torch's hub."""
    given = os.environ.get("VITSCOPE_CACHE")
    return Path(given or Path(torch.hub.get_dir(), "checkpoints"))


def place(url: str) -> Path:
    """Return where the file of an address is kept, or would be."""
    return folder() / url.rsplit("/", 1)[-1]


def fetch(url: str, published: str = "") -> Path:
    """Return the local copy of a file, fetched if it is not here.

    Args:
        url: its address; the last part is its name.
        published: the algorithm and the first digits of its hash, such as
            `md5:8cad7c`; empty where the authors give none.

    Raises:
        ValueError: its hash is not the published or the recorded one.
        ConnectionError: it could not be fetched, or not to its end; what has
            come is kept, and the message says where to put the file.
        OSError: the disk is too full.
    """
    path = place(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.is_file():
            _verify(path, path, published)
            return path
        part = path.with_name(f"{path.name}.part")
        while True:
            before = _size(part)
            try:
                _download(url, part)
                break
            except (OSError, http.client.HTTPException) as error:
                have = _size(part)
                if getattr(error, "errno", None) == errno.ENOSPC:
                    raise OSError(
                        errno.ENOSPC,
                        f"the disk is full: {url} ({error.args[1]}; {have} "
                        "bytes are kept for the next attempt; VITSCOPE_CACHE "
                        "names another folder)",
                        str(path.parent),
                    ) from error
                refused = isinstance(error, urllib.error.HTTPError)
                if refused or have <= before:
                    raise ConnectionError(
                        f"{url} could not be fetched ({error}); {have} bytes "
                        "are kept for the next attempt. Or put the file at "
                        f"{path}"
                    ) from error
        try:
            _verify(part, path, published)
        except ValueError:
            part.unlink()
            raise
        finally:
            _tag(part).unlink(missing_ok=True)
        os.replace(part, path)
    return path


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tag(part: Path) -> Path:
    """Name the file with the version of what a partial download holds."""
    return part.with_name(f"{part.name}.etag")


def _download(url: str, part: Path) -> None:
    """Fetch what is missing of a file; start again if it has changed."""
    have, tag = _size(part), _tag(part)
    request = urllib.request.Request(url, headers={"User-Agent": "vitscope"})
    if have and tag.is_file():
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", tag.read_text("utf-8"))
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != BEYOND_END:
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return None
        part.unlink()
        return _download(url, part)
    with response:
        resumed = response.status == PARTIAL
        begin = have if resumed else 0
        version = response.headers.get("ETag", "")
        if version and not version.startswith("W/"):
            tag.write_text(version, "utf-8")
        else:
            tag.unlink(missing_ok=True)
        length = response.headers.get("Content-Length")
        total = begin + int(length) if length else None
        _need(part.parent, total - begin if total else 0)
        with (
            part.open("ab" if resumed else "wb") as file,
            _progress(url, begin, total) as bar,
        ):
            while block := response.read(CHUNK):
                file.write(block)
                bar.update(len(block))
    if total is not None and _size(part) != total:
        raise ConnectionResetError(f"{_size(part)} bytes of {total} came")
    return None


def _progress(url: str, begin: int, total: int | None) -> Any:
    return tqdm(
        desc=url.rsplit("/", 1)[-1],
        total=total,
        initial=begin,
        unit="B",
        unit_scale=True,
    )


def _need(where: Path, size: int) -> None:
    free = shutil.disk_usage(where).free
    if free < size:
        raise OSError(
            errno.ENOSPC,
            f"{size / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB free",
        )


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _verify(file: Path, path: Path, published: str) -> None:
    """Compare a file with its published and its recorded hash."""
    sha256 = _digest(file, "sha256")
    note = path.with_name(f"{path.name}.sha256")
    known = note.read_text("utf-8").split()[0] if note.is_file() else ""
    algorithm, _, digits = published.partition(":")
    found = sha256
    if digits and algorithm != "sha256":
        found = _digest(file, algorithm)
    if digits and not found.startswith(digits):
        raise ValueError(
            f"{path} is not the published file: its {algorithm} is {found}, "
            f"the published one begins with {digits}; remove it to fetch it "
            "again"
        )
    if known and known != sha256:
        raise ValueError(
            f"{path} has changed since its first use: its sha256 is "
            f"{sha256}, {note.name} says {known}; remove both to fetch it "
            "again"
        )
    if not known:
        with whole(note) as part:
            part.write_text(f"{sha256}  {path.name}\n", "utf-8")
