"""What a result was made from, as digests that can be compared.

`inputs` names the parts, so that a reader learns which one changed. It finds
the data of a page by the names in its text and parameters: a mention too many
costs a needless run, a file that is named nowhere is not noticed.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from helpers.editions import notebooks
from helpers.editions.jobs import Job
from helpers.editions.parameters import MODEL
from helpers.editions.used import closure
from helpers.runtime.paths import DATA, runs

VERSIONS = ("torch", "timm")
WORDS = {
    r"\bwardrobe\b": ["garments.npz"],
    r"\bzoo\b|\blab/(?!\w)": ["zoo/*.safetensors", "zoo/zoo.json"],
    r"\bclaims\b": [
        "claims.yaml",
        *("results/*/claims.csv", "results/*/provenance.json"),
        "results/controls/{page}.json",
        *("results/seeds/{page}.json", "results/lengths/{page}.json"),
    ],
    r"published": ["published.csv"],
    r"\bcurves\.published\b": ["results/*.csv"],
    r"\bmany_images\b": ["results/many_images/*.csv"],
    r"\beditions\b": ["editions/*.yaml"],
    r"\bmeasurable\b": ["backbones.yaml"],
}
"""What a page mentions, and the data that it then depends on; `{page}` is the
page itself, or every one for a page that reads the ledger."""
BESIDE_NUMBERS = (
    *("charts/*", "claims/*", "explorers/*"),
    *(f"runtime/{name}.py" for name in ("errors", "lazy", "markup", "paths")),
    "runtime/yaml_files.py",
)
"""What draws, judges and asks, finds files and tells mistakes: it does not
move a measured number."""


def inputs(job: Job, rows: Mapping[str, Any]) -> dict[str, str]:
    """Digest all that the result of a page depends on.

    Args:
        job: the page.
        rows: the ledger's rows of the pages before it (`results.front`),
            which the pages at the back depend on.

    Returns:
        Part (source, parameters, helpers, data, versions, ledger) to digest.
    """
    source = job.source.read_text("utf-8")
    code = notebooks.code(job.notebook)
    values = json.dumps(job.parameters, sort_keys=True)
    parts = {
        "source": _digest([source]),
        "parameters": _digest([values]),
        "helpers": _digest(map(_content, closure(code))),
        "data": _digest(_data(source + values, job)),
        "versions": " ".join(
            f"{name} {importlib.metadata.version(name)}" for name in VERSIONS
        ),
    }
    if job.is_back:
        parts["ledger"] = _digest([json.dumps(rows, sort_keys=True)])
    return parts


def numbers(job: Job) -> dict[str, str]:
    """Digest what the numbers of a page depend on, on any machine.

    Returns:
        `code` of the page and of the modules that it measures with, and
        `data`: the bundled images, and the weights of its models.
    """
    code = notebooks.code(job.notebook)
    used = [
        module
        for module in closure(code)
        if not any(map(module.match, BESIDE_NUMBERS))
    ]
    files = [weights(spec) for spec in job.specs(MODEL)]
    found = {path for path in (DATA / "garments.npz", *files) if path}
    return {
        "code": _digest([code, *map(_content, used)]),
        "data": _digest(_content(p) for p in sorted(found) if p.is_file()),
    }


def weights(spec: str) -> Path | None:
    """Find the file of weights of a model of the lab; None for another."""
    name, _, options = spec.partition("?")
    own, _, file = name.partition("@")
    if not own.startswith("lab/") or "random" in options:
        return None
    bundled = DATA / "zoo" / f"{own.removeprefix('lab/')}.safetensors"
    return Path(file) if file else bundled


def key(parts: Mapping[str, str]) -> str:
    """Join digests into one."""
    return _digest(f"{name} {digest}" for name, digest in parts.items())


def _digest(texts: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text.encode() + b"\0")
    return whole.hexdigest()


def _content(path: Path) -> str:
    """Name a file and digest its bytes."""
    status = path.stat()
    return path.name + _hashed(path, status.st_size, status.st_mtime_ns)


@cache
def _hashed(path: Path, size: int, modified: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _data(text: str, job: Job) -> list[str]:
    """List the data that a page names, each with a digest."""
    whose = "*" if job.is_back else job.page
    named = [found for word, found in WORDS.items() if re.search(word, text)]
    patterns = [p.format(page=whose) for found in named for p in found]
    patterns += [
        f"zoo/{n}.*safetensors" for n in re.findall(r"\blab/(\w+)", text)
    ]
    files = {path for p in patterns for path in DATA.glob(p)}
    for name in re.findall(r"\bnatural/(\w+)", text):
        files |= set(runs().glob(f"natural/zoo/{name}.*safetensors"))
    found = [_content(path) for path in sorted(files) if path.is_file()]
    for value in job.parameters.values():
        for spec in value if isinstance(value, list) else [value]:
            if isinstance(spec, str):
                found += _outside(spec)
    return found


def _outside(spec: str) -> list[str]:
    """List the reader's own files: photographs, `folder:<path>`, `name@...`.

    They may be large, so their sizes and times stand for their bytes.
    """
    if spec == "natural":
        spec = f"folder:{runs() / 'natural' / 'images.safetensors'}"
    rest = re.split(r"[:@]", spec, maxsplit=1)[1:]
    path = Path(rest[0].split("?")[0]) if rest else None
    if path is None or not path.exists():
        return []
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [f"{f} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in files]


@cache
def environment() -> dict[str, str]:
    """Describe what pages run on: versions, device, cores."""
    from helpers.runtime import devices  # brings torch, which takes seconds

    versions = {
        name: importlib.metadata.version(name)
        for name in (*VERSIONS, "numpy", "altair")
    }
    return {
        "python": platform.python_version(),
        **versions,
        "device": devices.name(devices.pick()),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
    }
