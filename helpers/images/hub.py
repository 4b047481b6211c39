"""Image sets of the Hugging Face hub, read from their parquet files.

`hf:<owner>/<name>`, or `hf:<owner>/<name>:<config>` with the folder of the
files as config; options follow a question mark: `image` and `label` name the
columns, `test` the split to test on, `revision` a commit.

The `datasets` library is not used, though it reads the same files: of CIFAR-10
(48 MB) it writes a second copy (46 MB); the first picture takes it 0.2 s (here
0.02 s), 1,000 at random 0.7 s (0.3 s), and it caps other packages. Parquet
files, one named commit and a seed give the same images again.
Repositories of other files are read from the hub's own conversion to
parquet (`refs/convert/parquet`); where there is none, save them with
`datasets.Dataset.to_parquet` and name the folder (`parquet:<path>`).

What is exact: a split of up to a gigabyte is fetched whole, and `limit` then
draws every image with the same chance. Of a larger one, files are drawn by
the seed until they hold four times `limit` images, and the images from these:
exact where the order of the files is by chance, as it is in ImageNet's, and a
cluster sample where it is not. Without a limit everything is fetched.
"""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

import helpers.images.parquet as parquet
import helpers.images.row_groups as row_groups
from helpers.images.found import Found, Source
from helpers.images.hub_files import (
    PAGE,
    Address,
    fetch_file,
    is_parquet,
    list_files,
)
from helpers.runtime.errors import unknown

OPTIONS = (*parquet.OPTIONS, "test", "revision")
WHOLE = 2**30  # bytes of a split that are fetched whole
SPARE = 4  # images in the files drawn, for each image drawn


@dataclass(frozen=True)
class Alias:
    """A short name, and what is known of the set before it is fetched."""

    spec: str
    classes: int
    train: int
    test: int
    gigabytes: float
    licence: str


ALIASES = {
    "cifar10": Alias(
        *("hf:uoft-cs/cifar10", 10, 50_000, 10_000, 0.15),
        "none stated (Krizhevsky 2009)",
    ),
    "cifar100": Alias(
        *("hf:uoft-cs/cifar100?label=fine_label", 100, 50_000, 10_000),
        *(0.15, "none stated (Krizhevsky 2009)"),
    ),
    "imagenette": Alias(
        *("hf:frgfm/imagenette:320px", 10, 9_469, 3_925, 0.35),
        "Apache-2.0; photographs: ImageNet's terms",
    ),
    "imagenet": Alias(
        *("hf:ILSVRC/imagenet-1k?test=validation", 1000, 1_281_167, 50_000),
        *(150, "research and education, not commercial; gated"),
    ),
}


def source(spec: str) -> Source:
    """Parse an `hf:` spec or an alias, without the network.

    Raises:
        ValueError: as `parse`.
    """
    repo, known = parse(spec).repo, ALIASES.get(spec)
    return Source(
        partial(find, spec),
        known.gigabytes if known else None,
        known.licence if known else "size not known here",
        repo,
    )


def parse(spec: str) -> Address:
    """Take an `hf:` spec or an alias apart, without the network.

    Raises:
        ValueError: not a repository's name, or an unknown option.
    """
    full = ALIASES[spec].spec if spec in ALIASES else spec
    base, _, query = full.removeprefix("hf:").partition("?")
    repo, _, config = base.partition(":")
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", repo):
        raise ValueError(
            f"{spec!r} names no repository; expected hf:<owner>/<name>, like "
            f"{ALIASES['cifar10'].spec}"
        )
    return Address(repo, config, parquet.options(query, OPTIONS, spec))


def find(
    spec: str, split: str, limit: int | None = None, seed: int = 0
) -> Found:
    """Find the pictures of a split, fetching the files that are needed.

    Args:
        spec: see the module's description; or an alias.
        split: `train` or `test`.
        limit: how many will be drawn; all by default.
        seed: which files to draw of a large split.

    Returns:
        The rows of the files fetched, in the order of their names.

    Raises:
        ValueError: unknown repository, config, split or column, terms not
            accepted, or a damaged file.
        ConnectionError: neither the hub nor a copy in the cache is there.
    """
    want = parse(spec)
    listing = list_files(want)
    names = _of_config(want, [n for n in listing.sizes if is_parquet(n)])
    if split == "test" and "test" in want.options:
        split = want.options["test"]
    names = parquet.of_split(names, split, want.repo)
    chosen = dict.fromkeys(names, Path())
    if limit is not None and sum(listing.sizes[n] for n in names) > WHOLE:
        chosen, rows = {}, 0
        for i in np.random.default_rng(seed).permutation(len(names)):
            chosen[names[i]] = path = fetch_file(want.repo, names[i], listing)
            rows += row_groups.num_rows(path)
            if rows >= SPARE * limit:
                break
    paths = [fetch_file(want.repo, name, listing) for name in sorted(chosen)]
    part = "" if len(chosen) == len(names) else f"{len(chosen)} of "
    return row_groups.find(
        paths,
        f"{PAGE}{want.repo} at {listing.commit[:12]}, "
        f"{part}{len(names)} files of {parquet.split_of(names[0])}",
        want.options.get("image", ""),
        want.options.get("label", ""),
        ALIASES[spec].licence if spec in ALIASES else listing.licence,
    )


def _of_config(want: Address, names: list[str]) -> list[str]:
    """Keep the files of one config: of one folder, splits and `data` aside."""
    folders: dict[str, list[str]] = {}
    for name in names:
        parts = PurePosixPath(name).parts[:-1]
        own = [p for p in parts if p != "data" and not parquet.split_of(p)]
        folders.setdefault("/".join(own), []).append(name)
    usual = [c for c in folders if c in ("", "default")]
    config = want.config or [*usual, *folders, ""][0]
    if config not in folders:
        raise unknown(f"config of {want.repo}", config, folders)
    if not want.config and not usual and len(folders) > 1:
        raise ValueError(
            f"{want.repo} has the configs {', '.join(sorted(folders))}; "
            f"choose one, like hf:{want.repo}:{config}"
        )
    return folders[config]
