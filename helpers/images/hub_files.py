"""The parquet files of a repository of the hub: listed, and fetched.

A listing is kept beside the cache, so that what was loaded once can be loaded
again without a network.
"""

import errno
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from helpers.runtime.paths import whole

MAIN, CONVERTED = "main", "refs/convert/parquet"
PAGE = "https://huggingface.co/datasets/"
TIMEOUT_S = 20.0  # for a hub that takes the call and says nothing


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


def is_parquet(name: str) -> bool:
    """Tell a parquet file by its name."""
    return name.endswith(".parquet")


def list_files(want: Address) -> Listing:
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
        if listing and any(map(is_parquet, listing.sizes)):
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
            repo, revision=revision, timeout=TIMEOUT_S, files_metadata=True
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
    from huggingface_hub import errors, snapshot_download

    try:
        found = snapshot_download(
            repo, repo_type="dataset", revision=revision, local_files_only=True
        )
    except errors.LocalEntryNotFoundError:
        return None
    top = Path(found)
    sizes = {
        f.relative_to(top).as_posix(): f.stat().st_size
        for f in top.rglob("*.parquet")
    }
    for name, size in list(sizes.items()):
        if of := re.fullmatch(r"(.*)-(\d+)-of-(\d+)(.*)", name):
            for i in range(int(of[3])):
                number = str(i).zfill(len(of[2]))
                sizes.setdefault(f"{of[1]}-{number}-of-{of[3]}{of[4]}", size)
    return Listing(top.name, "as on the hub", sizes) if sizes else None


def fetch_file(repo: str, name: str, listing: Listing) -> Path:
    """Fetch a file of a repository, or find it in the cache.

    Raises:
        ValueError: the terms of the repository are not accepted.
        ConnectionError: neither the hub nor a copy in the cache is there.
        OSError: the disk is full.
    """
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
