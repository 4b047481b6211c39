"""What an edition would fetch, and what of it is here already.

Sizes are those published or recorded in the tables of the helpers; weights of
timm count four bytes a parameter. Nothing is fetched and nobody is asked.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from helpers import models
from helpers.images import hub
from helpers.images.specs import parse
from helpers.models import VisionModel, hub_models, releases, vision_model

GB = 1e9
BYTES = 4  # of a weight in single precision
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Item:
    """Something to fetch.

    Attributes:
        what: a model or image spec.
        size: in bytes; None where it is not known.
        here: bytes of it that are here.
        note: what to know of it.
    """

    what: str
    size: float | None
    here: float = 0.0
    note: str = ""

    @property
    def missing(self) -> float:
        """Bytes to fetch, as far as the size is known."""
        return max(0.0, (self.size or 0.0) - self.here)


@cache
def bare(spec: str) -> VisionModel:
    """Build a model without memory for its weights, on torch's `meta` device.

    Raises:
        ValueError: an unknown spec.
    """
    with torch.device("meta"):
        return models.load(models.untrained(spec), "meta")


def of_model(spec: str) -> Item | None:
    """Say what the weights of a model are to fetch; None where none are."""
    name = spec.partition("?")[0]
    if spec == models.untrained(spec) or "@" in name:
        return None
    if name.startswith(vision_model.LAB):
        return None
    if name.startswith(vision_model.RELEASE):
        return _release(spec, name.removeprefix(vision_model.RELEASE))
    if name.startswith(hub_models.PREFIX):
        return Item(spec, None, note="a model of the hub, size not known here")
    import timm
    from huggingface_hub import try_to_load_from_cache

    size = float(BYTES * bare(spec).num_parameters)
    repo = getattr(timm.get_pretrained_cfg(name), "hf_hub_id", None)
    kept = repo and any(
        isinstance(try_to_load_from_cache(repo, file), str) for file in WEIGHTS
    )
    return Item(spec, size, size if kept else 0.0)


def _release(spec: str, name: str) -> Item:
    from helpers.models import downloads

    release = releases.get(name)
    here = [
        file.megabytes * 1e6
        for file in release.files
        if downloads.place(file.url).is_file()
    ]
    return Item(spec, release.megabytes * 1e6, sum(here), release.terms)


def of_images(spec: str) -> Item | None:
    """Say what an image set is to fetch; None where it is here.

    Of a set that is not fetched whole it depends on the images drawn how much
    is fetched: its size is not known then, and the note says the most.
    """
    try:
        source = parse(spec)
    except FileNotFoundError:  # a folder of one's own
        return None
    if source.gigabytes == 0:
        return None
    here = _in_hub_cache(source.repo) if source.repo else 0.0
    if source.gigabytes is None:
        return Item(spec, None, here, source.note)
    if spec in hub.ALIASES and source.gigabytes * GB > hub.WHOLE:
        return Item(spec, None, here, f"a part of {source.gigabytes} GB")
    return Item(spec, source.gigabytes * GB, here, source.note)


def _in_hub_cache(repo: str) -> float:
    """Sum what the hub's cache has of a data set."""
    from huggingface_hub import constants, file_download

    folder = Path(
        constants.HF_HUB_CACHE,
        file_download.repo_folder_name(repo_id=repo, repo_type="dataset"),
    )
    blobs = folder / "blobs"
    if not blobs.is_dir():
        return 0.0
    return float(sum(entry.stat().st_size for entry in os.scandir(blobs)))
