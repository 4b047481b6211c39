"""From an author's file to a timm model, with no key dropped silently.

Files are read without executing anything in them. Keys are renamed and left
out as `helpers.models.releases` lists, and what remains must fit the
architecture exactly. Do not use it for files with timm's own names:
`helpers.models` takes those as `architecture@file`.
"""

import re
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

import helpers.models.downloads as downloads
import helpers.models.weights as weights
from helpers.models.release_files import File
from helpers.models.releases import get


class InterleavedHead(nn.Module):
    """DINO's linear head for ViT-B: class token and mean patch token.

    Both are taken after the final norm and stand channel by channel in turn:
    class 0, mean 0, class 1, mean 1 ... (Caron et al. 2021, the order of
    `eval_linear.py` in their repository). It takes all tokens, so the model
    must have no pooling of its own.
    """

    def __init__(self, width: int, classes: int, prefix_tokens: int) -> None:
        """Make a head for tokens of `width` channels."""
        super().__init__()
        self.prefix_tokens = prefix_tokens
        self.linear = nn.Linear(2 * width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (n, tokens, width) to logits (n, classes)."""
        mean = tokens[:, self.prefix_tokens :].mean(dim=1)
        pairs = torch.stack([tokens[:, 0], mean], dim=-1)
        logits: Tensor = self.linear(pairs.flatten(1))
        return logits


def build(name: str) -> nn.Module:
    """Build the architecture of a release, untrained.

    Raises:
        ValueError: no such release.
    """
    release = get(name)
    model: Any = timm.create_model(
        release.architecture,
        pretrained=False,
        pretrained_cfg_overlay=release.preprocessing,
        **release.arguments,
    )
    if release.interleaved:
        model.head = InterleavedHead(
            model.embed_dim, model.num_classes, model.num_prefix_tokens
        )
    module: nn.Module = model
    return module


def load(name: str) -> nn.Module:
    """Build a release with its weights, fetched when they are not here.

    Raises:
        ValueError: no such release; a file that is damaged, changed, holds
            code, or does not fit (all missing and unexpected keys listed).
        ConnectionError: a file could not be fetched.
    """
    state: dict[str, Tensor] = {}
    paths = []
    for file in get(name).files:
        path = downloads.fetch(file.url, file.published)
        paths.append(str(path))
        state |= convert(weights.content(path), file, path)
    return weights.fit(build(name), state, " + ".join(paths))


def convert(content: object, file: File, path: Path) -> dict[str, Tensor]:
    """Give the tensors of a file timm's names.

    A key that is neither dropped nor kept stays under its own name, where a
    strict comparison with the architecture finds it.

    Args:
        content: what the file holds.
        file: its layout.
        path: its place, for messages.

    Raises:
        ValueError: the state dict or the prefix is not where it should be.
    """
    state: Any = content
    if file.top:
        state = content.get(file.top) if isinstance(content, dict) else None
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(value, Tensor) for value in state.values())
    ):
        found = sorted(content) if isinstance(content, dict) else []
        raise ValueError(
            f"{path} has no state dict of tensors "
            f"{f'under {file.top!r}' if file.top else 'at its top'}; "
            f"it holds {found[:8]}"
        )
    if not any(key.startswith(file.keep) for key in state):
        raise ValueError(
            f"no key of {path} begins with {file.keep!r}; the first are "
            f"{list(state)[:4]}"
        )
    kept: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith(file.drop):
            continue
        short = key
        if key.startswith(file.keep):
            short = key.removeprefix(file.keep)
            for pattern, replacement in file.renames:
                short = re.sub(pattern, replacement, short)
        if short in kept:
            raise ValueError(f"{path} has two keys for {short!r}")
        kept[short] = value
    return kept
