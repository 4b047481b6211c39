"""The models trained here: their files and their cards.

A model of the zoo is a name, an architecture (`build`), one file
`data/zoo/<name>.safetensors` (half precision) and one entry (its card) in
`data/zoo/zoo.json`: recipe, seed, loss curve, accuracies, sha256. Models named
`natural/<name>` are kept likewise, in the reader's own `runs/natural/zoo`.

Do not use it for models from elsewhere: `helpers.models` loads those.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from helpers.lab.architectures import NAMES, NATURAL, build, plain
from helpers.models.weights import fit
from helpers.runtime.paths import DATA, runs, whole

__all__ = ["NAMES", "build", "cards", "fit", "load", "save", "state"]

FOLDER: Path = DATA / "zoo"
MAX_BYTES = 2_800_000


def folder(name: str) -> Path:
    """Return where a model, or all of a family, is kept."""
    return runs() / "natural" / "zoo" if name.startswith(NATURAL) else FOLDER


def cards(prefix: str = "") -> dict[str, dict[str, Any]]:
    """Return the card of every model that has a file, by name.

    Args:
        prefix: what the names begin with: nothing, or `natural/`.
    """
    index = folder(prefix) / "zoo.json"
    if not index.is_file():
        return {}
    found: dict[str, dict[str, Any]] = json.loads(index.read_text("utf-8"))
    names = [prefix + name for name in NAMES]
    return {name: found[name] for name in names if name in found}


def family(name: str) -> str:
    """Return what the name of a model begins with: nothing, or `natural/`."""
    return NATURAL if name.startswith(NATURAL) else ""


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, where the system has such (not on Windows)."""
    if os.name == "nt":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _half(module: nn.Module) -> bytes:
    state = {
        key: (value.half() if value.is_floating_point() else value)
        .cpu()
        .contiguous()
        for key, value in module.state_dict().items()
    }
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{key} is not finite in half precision")
    content: bytes = to_bytes(state)
    return content


def save(
    name: str,
    module: nn.Module,
    card: Mapping[str, Any],
    decoder: nn.Module | None = None,
) -> dict[str, Any]:
    """Store a trained model in half precision, and its card.

    Each file is replaced whole; the card comes last, so a model and its
    sha256 never disagree for longer than it takes to write one line. Several
    processes may save at once.

    Args:
        name: one of `NAMES`, or of these with `natural/` before it.
        module: a trained module that fits `build(name)`.
        card: facts to keep (JSON); `sha256`, `bytes`, `parameters` are added.
        decoder: what a masked autoencoder needs to draw; kept beside the
            model as `<name>.decoder.safetensors`.

    Returns:
        The card as stored.

    Raises:
        ValueError: for an unknown name, a module of another architecture, a
            weight that half precision cannot hold, or a file above 2.8 MB.
    """
    fit(build(name), module.state_dict(), f"the module given for {name!r}")
    parts = {"": module} | ({".decoder": decoder} if decoder else {})
    home, full = folder(name), dict(card)
    for suffix, part in parts.items():
        content = _half(part)
        if len(content) > MAX_BYTES:
            raise ValueError(
                f"{name}{suffix} takes {len(content)} bytes; a file of the "
                f"zoo has at most {MAX_BYTES}"
            )
        with whole(home / f"{plain(name)}{suffix}.safetensors") as place:
            place.write_bytes(content)
        facts = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "parameters": sum(p.numel() for p in part.parameters()),
        }
        full |= {suffix[1:]: facts} if suffix else facts
    prefix = family(name)
    with _alone(home):
        merged = cards(prefix) | {name: full}
        names = [prefix + key for key in NAMES]
        ordered = {key: merged[key] for key in names if key in merged}
        text = json.dumps(ordered, indent=1, ensure_ascii=False)
        with whole(home / "zoo.json") as place:
            place.write_text(text + "\n", "utf-8")
    return full


def state(name: str, part: str = "") -> dict[str, Tensor]:
    """Read the stored weights of a lab model, as checked fp32 tensors.

    Args:
        name: one of `NAMES`, or of these with `natural/` before it.
        part: "" for the model, "decoder" for the decoder of `mae`.

    Raises:
        ValueError: for an unknown name, or a file that is truncated or whose
            sha256 is not the one on the card.
        FileNotFoundError: for a model that has not been trained yet.
    """
    tail = f".{part}" if part else ""
    file = folder(name) / f"{plain(name)}{tail}.safetensors"
    known = cards(family(name))
    card = known.get(name, {})
    facts = card.get(part, {}) if part else card
    if "sha256" not in facts or not file.is_file():
        raise FileNotFoundError(
            f"{name}{tail}.safetensors is not in the zoo: train it with "
            f"`vitscope train {name}`; trained so far: "
            f"{', '.join(known) or 'none'}"
        )
    content = file.read_bytes()
    if len(content) < facts["bytes"]:
        raise ValueError(
            f"{file} is truncated: {len(content)} bytes of {facts['bytes']}"
        )
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != facts["sha256"]:
        raise ValueError(
            f"{file} is not the file on its card: sha256 {sha256}, "
            f"expected {facts['sha256']}"
        )
    try:
        tensors = from_bytes(content)
    except (SafetensorError, struct.error) as error:
        raise ValueError(
            f"{file} is not a safetensors file: {error}"
        ) from error
    return {
        key: value.float() if value.is_floating_point() else value
        for key, value in tensors.items()
    }


def load(name: str) -> nn.Module:
    """Load a trained lab model.

    Args:
        name: one of `NAMES` that has a card.

    Returns:
        The fp32 module in evaluation mode, on the CPU.

    Raises:
        ValueError: for an unknown name, a damaged file, or weights that do
            not fit (every missing and unexpected key is listed).
        FileNotFoundError: for a model that has not been trained yet.
    """
    tensors = state(name)
    with torch.random.fork_rng(devices=[]):
        model = build(name)
    return fit(model, tensors, f"{name}.safetensors").eval()
