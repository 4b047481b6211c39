"""Labelled pictures in parquet files: a file, or a folder of files.

The split of a file is told from its name. Do not use it for files without
pictures in them, such as tables of addresses.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from helpers.images.found import Found, Source, rows_of
from helpers.images.row_groups import find
from helpers.runtime.errors import unknown

OPTIONS = ("image", "label")
SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("validation", "valid", "val", "dev"),
}


def source(spec: str) -> Source:
    """Parse `parquet:<path>`, with options behind a question mark.

    Raises:
        ValueError: an unknown option.
        FileNotFoundError: there is no such file or folder.
    """
    path, _, query = spec.removeprefix("parquet:").partition("?")
    columns = options(query, OPTIONS, spec)
    if not path or not (Path(path).is_file() or Path(path).is_dir()):
        raise FileNotFoundError(
            f"no images at {path!r} (from {spec!r}): neither a file nor a "
            "folder"
        )
    return Source(lambda split, *_: parquet(Path(path), split, **columns))


def options(query: str, allowed: Sequence[str], spec: str) -> dict[str, str]:
    """Read `a=b&c=d`, the options behind the `?` of a spec.

    Raises:
        ValueError: an option that is not allowed, or without a value.
    """
    given = {}
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if key not in allowed:
            raise unknown(f"option of the image spec {spec!r}:", key, allowed)
        if not value:
            raise ValueError(f"option {key} of {spec!r} needs a value")
        given[key] = value
    return given


def split_of(name: str) -> str | None:
    """Tell the split from a file's name, or else from its folders'."""
    for part in reversed(PurePosixPath(name).parts):
        for word in re.split(r"[^a-z]+", part.lower()):
            for split, words in SPLITS.items():
                if word in words:
                    return split
    return None


def of_split(names: Sequence[str], split: str, where: str) -> list[str]:
    """Choose the files of a split; `test` falls back on `validation`.

    Raises:
        ValueError: there are none; names the splits that there are.
    """
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        found.setdefault(split_of(name) or "none", []).append(name)
    for wanted in (split, "validation") if split == "test" else (split,):
        if wanted in found:
            return found[wanted]
    raise ValueError(
        f"no parquet file with {split!r} in its name in {where}; it has "
        + (", ".join(f"{len(n)} for {s}" for s, n in found.items()) or "none")
    )


def parquet(path: Path, split: str, image: str = "", label: str = "") -> Found:
    """Find the pictures of a parquet file, or of a folder of such files.

    Args:
        path: a file, of which every fifth picture is for testing, or a
            folder of files with the split in their names.
        split: `train` or `test`.
        image: the column of pictures; by default the one there is.
        label: the column of labels, likewise.

    Raises:
        ValueError: no such file or column, or a damaged file.
    """
    if not path.is_dir():
        found = find([path], str(path), image, label)
        return replace(found, rows=rows_of(len(found.labels), split))
    names = [f.name for f in path.glob("*.parquet") if f.is_file()]
    chosen = [path / name for name in of_split(names, split, str(path))]
    return find(chosen, str(path), image, label)
