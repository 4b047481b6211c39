"""Image sets of the Hugging Face hub, read from their parquet files.

`hf:<owner>/<name>`, or `hf:<owner>/<name>:<config>` with the folder of the
files as config; options follow a question mark: `image` and `label` name the
columns, `test` the split to test on, `revision` a commit.

The `datasets` library is not used, though it reads the same files. It would
copy them into a second cache, its streaming draws from a shuffle buffer that
cannot be read at random afterwards, and it has executed scripts of a
repository. Parquet files, one named commit and a seed give the same images
again. Repositories of other files are read from the hub's own conversion to
parquet (`refs/convert/parquet`); where there is none, save them with
`datasets.Dataset.to_parquet` and name the folder (`parquet:<path>`).

What is exact: a split of up to a gigabyte is fetched whole, and `limit` then
draws every image with the same chance. Of a larger one, files are drawn by
the seed until they hold four times `limit` images, and the images from these:
exact where the order of the files is by chance, as it is in ImageNet's, and a
cluster sample where it is not. Without a limit everything is fetched.
"""

import errno
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from helpers import files, shards
from helpers.choices import unknown
from helpers.paths import whole

OPTIONS = (*shards.OPTIONS, "test", "revision")
WHOLE = 2**30  # bytes of a split that are fetched whole
SPARE = 4  # images in the files drawn, for each image drawn
MAIN, CONVERTED = "main", "refs/convert/parquet"
PAGE = "https://huggingface.co/datasets/"


@dataclass(frozen=True)
class Alias:
    """A short name, and what is known of the set before it is fetched."""

    spec: str
    classes: int
    train: int
    test: int
    size: str
    licence: str


ALIASES = {
    "cifar10": Alias(
        *("hf:uoft-cs/cifar10", 10, 50_000, 10_000, "0.15 GB"),
        "none stated (Krizhevsky 2009)",
    ),
    "cifar100": Alias(
        *("hf:uoft-cs/cifar100?label=fine_label", 100, 50_000, 10_000),
        *("0.15 GB", "none stated (Krizhevsky 2009)"),
    ),
    "imagenette": Alias(
        *("hf:frgfm/imagenette:320px", 10, 9_469, 3_925, "0.35 GB"),
        "Apache-2.0; photographs: ImageNet's terms",
    ),
    "imagenet": Alias(
        *("hf:ILSVRC/imagenet-1k?test=validation", 1000, 1_281_167, 50_000),
        *("150 GB", "research and education, not commercial; gated"),
    ),
}


@dataclass(frozen=True)
class Address:
    """A spec in its parts; see the module's description."""

    repo: str
    config: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Listing:
    """The files of a repository at one commit, with their sizes in bytes."""

    commit: str
    licence: str
    sizes: Mapping[str, int]


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
    return Address(repo, config, shards.options(query, OPTIONS, spec))


def find(
    spec: str, split: str, limit: int | None = None, seed: int = 0
) -> files.Found:
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
    listing = _listing(want)
    names = _of_config(want, [n for n in listing.sizes if _is_parquet(n)])
    if split == "test" and "test" in want.options:
        split = want.options["test"]
    names = shards.of_split(names, split, want.repo)
    chosen = dict.fromkeys(names, Path())
    if limit is not None and sum(listing.sizes[n] for n in names) > WHOLE:
        chosen, rows = {}, 0
        for i in np.random.default_rng(seed).permutation(len(names)):
            chosen[names[i]] = path = _fetch(want.repo, names[i], listing)
            rows += shards.num_rows(path)
            if rows >= SPARE * limit:
                break
    paths = [_fetch(want.repo, name, listing) for name in sorted(chosen)]
    part = "" if len(chosen) == len(names) else f"{len(chosen)} of "
    return shards.find(
        paths,
        f"{PAGE}{want.repo} at {listing.commit[:12]}, "
        f"{part}{len(names)} files of {shards.split_of(names[0])}",
        want.options.get("image", ""),
        want.options.get("label", ""),
        ALIASES[spec].licence if spec in ALIASES else listing.licence,
    )


def _is_parquet(name: str) -> bool:
    return name.endswith(".parquet")


def _of_config(want: Address, names: list[str]) -> list[str]:
    """Keep the files of one config: of one folder, splits and `data` aside."""
    folders: dict[str, list[str]] = {}
    for name in names:
        parts = PurePosixPath(name).parts[:-1]
        own = [p for p in parts if p != "data" and not shards.split_of(p)]
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


def _listing(want: Address) -> Listing:
    """List the files at a commit that has parquet files."""
    asked = want.options.get("revision")
    revisions = [asked] if asked else [MAIN, CONVERTED]
    for revision in revisions:
        try:
            listing = _ask(want.repo, revision)
        except ConnectionError:
            if revision == revisions[-1]:
                raise
            continue
        if listing and any(map(_is_parquet, listing.sizes)):
            return listing
    raise ValueError(
        f"{want.repo} has no parquet files, and the hub has not converted "
        "it; save it with datasets.Dataset.to_parquet and use parquet:<path>"
    )


def _ask(repo: str, revision: str) -> Listing | None:
    from huggingface_hub import HfApi, cached_assets_path, errors

    record = cached_assets_path("vitscope", repo, revision) / "listing.json"
    try:
        info = HfApi().dataset_info(
            repo, revision=revision, files_metadata=True
        )
    except errors.RevisionNotFoundError as error:
        if revision == CONVERTED:
            return None
        raise ValueError(f"{repo} has no revision {revision!r}") from error
    except errors.GatedRepoError as error:
        raise _gated(repo) from error
    except errors.RepositoryNotFoundError as error:
        raise ValueError(
            f"no data set {repo!r} on the hub, or it is private: {PAGE}{repo}"
        ) from error
    except Exception as error:  # offline; its type varies by version
        if record.is_file():
            return Listing(**json.loads(record.read_text("utf-8")))
        if found := _in_cache(repo, revision):
            return found
        raise _unreachable(repo) from error
    card: Any = info.card_data or {}
    listing = Listing(
        info.sha or revision,
        str(card.get("license") or "none stated"),
        {f.rfilename: f.size or 0 for f in info.siblings or []},
    )
    with whole(record) as part:
        part.write_text(json.dumps(asdict(listing)), "utf-8")
    return listing


def _in_cache(repo: str, revision: str) -> Listing | None:
    """List what `hf download` left, and the files missing by their count."""
    from huggingface_hub import constants, file_download

    folder = Path(
        constants.HF_HUB_CACHE,
        file_download.repo_folder_name(repo_id=repo, repo_type="dataset"),
    )
    ref = folder / "refs" / revision
    commit = ref.read_text("utf-8").strip() if ref.is_file() else revision
    top = folder / "snapshots" / commit
    sizes = {
        f.relative_to(top).as_posix(): f.stat().st_size
        for f in top.rglob("*.parquet")
    }
    for name, size in list(sizes.items()):
        if of := re.fullmatch(r"(.*)-(\d+)-of-(\d+)(.*)", name):
            for i in range(int(of[3])):
                number = str(i).zfill(len(of[2]))
                sizes.setdefault(f"{of[1]}-{number}-of-{of[3]}{of[4]}", size)
    return Listing(commit, "as on the hub", sizes) if sizes else None


def _fetch(repo: str, name: str, listing: Listing) -> Path:
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(
            hf_hub_download(
                repo, name, repo_type="dataset", revision=listing.commit
            )
        )
    except errors.GatedRepoError as error:
        raise _gated(repo) from error
    except errors.LocalEntryNotFoundError as error:
        raise _unreachable(repo, name) from error
    except Exception as error:  # broken off; its type varies by version
        full = getattr(error, "errno", None) == errno.ENOSPC
        raise (OSError if full else ConnectionError)(
            f"{name} of {repo} could not be fetched ({error}); what has come "
            "is kept for the next attempt"
            + "; HF_HOME names another folder"
            * full
        ) from error


def _gated(repo: str) -> ValueError:
    return ValueError(
        f"{repo} is gated: accept its terms at {PAGE}{repo}, then give your "
        "token with `hf auth login` or HF_TOKEN"
    )


def _unreachable(repo: str, name: str = "") -> ConnectionError:
    return ConnectionError(
        f"{name or 'the list of files'} of {repo} is not in the cache, and "
        "the hub cannot be reached or HF_HUB_OFFLINE is set; load it once "
        f"with a network, or run: hf download --repo-type dataset {repo} "
        f"{name}".rstrip()
    )
