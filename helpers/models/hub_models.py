"""Models of the Hugging Face hub that the library `transformers` builds.

`hf:<owner>/<name>`, or `hf:<folder>` for one on this disk, with its weights,
its configuration and its image processor as `transformers` reads them. The
library is an extra of this package, and is imported when such a model is
asked for. Models of timm on the hub are loaded by their timm name.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from helpers.runtime.errors import unknown

PREFIX = "hf:"
OLDEST = (5, 0)
"""The version from which the parts of a model have the names read here."""
INSTALL = "pip install --upgrade 'vitscope[transformers]'"
PAGE = "https://huggingface.co/"


def check(repo: str) -> None:
    """Refuse what names no repository, or a library that is not here.

    Args:
        repo: `<owner>/<name>`, or a folder with `config.json`.

    Raises:
        ValueError: neither, a model of timm, or no `transformers` that is
            recent enough.
    """
    if repo.startswith("timm/"):
        name = repo.removeprefix("timm/")
        raise ValueError(f"{PREFIX}{repo} is a model of timm: give {name!r}")
    folder = Path(repo, "config.json").is_file()
    if not folder and not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repo):
        raise ValueError(
            f"{PREFIX}{repo} names no repository; expected "
            "hf:<owner>/<name>, like hf:facebook/dinov2-small, or a folder "
            "with its config.json"
        )
    try:
        here = version("transformers")
    except PackageNotFoundError:
        raise ValueError(
            f"{PREFIX}{repo} needs the library transformers: {INSTALL}"
        ) from None
    if tuple(map(int, re.findall(r"\d+", here)[:2])) < OLDEST:
        least = ".".join(map(str, OLDEST))
        raise ValueError(
            f"{PREFIX}{repo} needs transformers {least} or newer, here is "
            f"{here}: {INSTALL}"
        )


def load(repo: str, trained: bool = True) -> tuple[nn.Module, Any]:
    """Build a model and its image processor.

    Args:
        repo: as `check` takes it.
        trained: whether to load its weights; else they are drawn.

    Raises:
        ValueError: a repository that is not there, is gated, holds no model of
            images that this `transformers` knows, or not all its weights.
        ConnectionError: neither the hub nor a copy in the cache is there.
    """
    import transformers  # takes seconds to load

    library: Any = transformers
    kind = json.loads(_configuration(repo).read_text("utf-8")).get(
        "model_type", "none"
    )
    if kind not in library.CONFIG_MAPPING:
        raise unknown(
            f"type of model in {repo}, for transformers "
            f"{library.__version__} ({INSTALL}):",
            kind,
            list(library.CONFIG_MAPPING),
        )
    try:
        config = library.AutoConfig.from_pretrained(repo)
        prepared = library.AutoImageProcessor.from_pretrained(repo)
        if not trained:
            return library.AutoModel.from_config(config), prepared
        model, found = library.AutoModel.from_pretrained(
            repo, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{PREFIX}{repo}, a model of type {kind}, could not be loaded as "
            f"a model of images: {error}"
        ) from error
    # The pooler of a backbone is often drawn at random; no measure reads it.
    missing = [key for key in found["missing_keys"] if "pooler" not in key]
    if missing:
        raise ValueError(
            f"the weights of {PREFIX}{repo} are not whole; missing keys: "
            f"{missing}"
        )
    return model, prepared


def _configuration(repo: str) -> Path:
    """Fetch the configuration, which tells whether we may have the rest."""
    from huggingface_hub import errors, hf_hub_download

    if Path(repo, "config.json").is_file():
        return Path(repo, "config.json")
    try:
        return Path(hf_hub_download(repo, "config.json"))
    except errors.GatedRepoError as error:
        raise ValueError(
            f"{repo} is gated: accept its terms at {PAGE}{repo}, then give "
            "your token with `hf auth login` or HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ValueError(
            f"no model {repo!r} on the hub, or it is private: {PAGE}{repo}"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise ConnectionError(
            f"{repo} is not in the cache, and the hub cannot be reached or "
            "HF_HUB_OFFLINE is set; load it once with a network, or run: "
            f"hf download {repo}"
        ) from error
    except errors.EntryNotFoundError as error:
        raise ValueError(
            f"{repo} has no config.json, so it holds no model that "
            f"transformers builds: {PAGE}{repo}"
        ) from error
