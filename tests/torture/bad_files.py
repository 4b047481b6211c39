"""Files that are no editions, no images and no weights."""

import gzip
import os
from pathlib import Path

DEEP = "[" * 3000 + "]" * 3000
BOMB = (
    "[&a [x, x, x, x, x, x, x, x, x], "
    + ", ".join(
        f"&{new} [{', '.join([f'*{old}'] * 9)}]"
        for old, new in zip("abcdefghi", "bcdefghij", strict=True)
    )
    + "]"
)
EDITIONS: dict[str, str | bytes] = {
    "empty": "",
    "list": "- title: X",
    "no_title": "pages: {}",
    "unknown_key": "title: X\nparameter: {num_images: 3}",
    "unknown_page": "title: X\npages: {frist: {}}",
    "unknown_parameter": "title: X\npages: {first: {num_image: 3}}",
    "wrong_type": "title: X\npages: {first: {num_images: many}}",
    "out_of_range": "title: X\nparameters: {num_images: 0}",
    "left_out_page": "title: X\nleft_out: {frist: it is not wanted}",
    "left_out_list": "title: X\nleft_out: [first]",
    "page_number": "title: X\npages: {first: 3}",
    "pages_text": "title: X\npages: first",
    "deep_value": f"title: X\npages: {{first: {{names: {DEEP}}}}}",
    "bomb_value": f"title: X\npages: {{first: {{names: {BOMB}}}}}",
    "cycle": "title: X\npages: &a {first: *a}",
    "zipped": gzip.compress(b"title: X"),
    "picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "date": "title: X\npages: {first: {num_images: 2024-01-01}}",
    "spec_number": "title: X\npages: {kinds: {model: 5}}",
    "spec_unknown": "title: X\npages: {kinds: {model: lab/vit_clz}}",
    "spec_list": "title: X\npages: {kinds: {beside: [lab/mae, lab/mea]}}",
}


def make(folder: Path) -> Path:
    """Write all of them into a folder, and return it."""
    folder.mkdir(parents=True)
    for name, content in EDITIONS.items():
        raw = content if isinstance(content, bytes) else content.encode()
        (folder / f"{name}.yaml").write_bytes(raw)
    os.mkfifo(folder / "pipe.yaml")
    os.mkfifo(folder / "pipe")
    (folder / "folder.yaml").mkdir()
    (folder / "a name").mkdir()
    (folder / "a name" / "vit_cls.safetensors").touch()
    (folder / "nothing").mkdir()
    (folder / "text.txt").write_text("no picture")
    (folder / "text.parquet").write_text("no table")
    (folder / "short.parquet").write_bytes(b"PAR1")
    (folder / "text.pth").write_text("no weights")
    (folder / "empty.pth").touch()
    (folder / "empty.safetensors").touch()
    (folder / "short.safetensors").write_bytes(b"\xff" * 8)
    for part in ("train", "val"):
        for kind in ("pictures", "piped", "folders"):
            cats = folder / kind / part / "cats"
            cats.mkdir(parents=True)
        (folder / "pictures" / part / "cats" / "a.png").write_text("none")
        os.mkfifo(folder / "piped" / part / "cats" / "a.png")
        (folder / "folders" / part / "cats" / "a.png").mkdir()
    return folder
