"""What many families share: layers of blocks, and tokens on one grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from helpers.models.families.family import (
    AttentionLayer,
    Layers,
    Layout,
    Sum,
    Sums,
    Tap,
)

TOKEN_WORDS = (
    *("embed", "ln1", "qkv", "heads", "attn", "mid"),
    *("ln2", "gate", "fc1", "act", "fc2", "out", "norm"),
)
"""The layers of a transformer whose MLP may be gated, in forward order."""


def inside(
    module: nn.Module, path: str, name: str, parts: Mapping[str, Tap]
) -> Layers:
    """List the layers of one block.

    Args:
        module: the model.
        path: of the block.
        name: canonical name of the block.
        parts: last part of a layer's name -> the tap, its path as seen from
            the block. Where the block has no such module there is no layer.
            Its output is `out` and is told only where it must be read.
    """
    present = dict(module.get_submodule(path).named_modules())
    every = {**parts, "out": parts.get("out", Tap(""))}
    return {
        f"{name}.{word}": Tap(
            f"{path}.{tap.path}".rstrip("."), tap.is_input, tap.read
        )
        for word, tap in every.items()
        if tap.path in present
    }


def blocks(module: nn.Module, parts: Mapping[str, Tap]) -> Layers:
    """List the layers of a model whose blocks are `blocks.0`, `blocks.1` ...

    They lie between `embed`, what the first block takes, and `norm`, the norm
    after the last block where there is one.
    """
    found = {"embed": Tap("blocks.0", is_input=True)}
    for i, _ in enumerate(module.get_submodule("blocks").children()):
        found |= inside(module, f"blocks.{i}", f"blocks.{i}", parts)
    if not isinstance(module.get_submodule("norm"), nn.Identity):
        found["norm"] = Tap("norm")
    return found


def without_class_token(_: nn.Module, x: Tensor) -> Tensor:
    """Leave out the class token of (n, tokens, width)."""
    return x[:, 1:]


def token_layout(module: Any) -> Layout:
    """Find the tokens of a model whose patches stay on one grid."""
    kind = timm.layers.PatchEmbed
    embed: Any = next(
        (m for m in module.children() if isinstance(m, kind)), None
    )
    return Layout(
        int(getattr(module, "num_prefix_tokens", 0)),
        getattr(module, "cls_token", None) is not None,
        tuple(embed.grid_size) if embed else None,
        tuple(embed.patch_size) if embed else None,
    )


def two_sums(
    layers: Layers, first: str, kind: str, entry: str = "norm1"
) -> Sums:
    """List the sums of blocks that add two branches one after the other.

    Args:
        layers: of the model; a block has `mid` and `fc2`.
        first: the layer that is the first branch.
        kind: what that branch is.
        entry: the first module of the first branch, as seen from the block.
    """
    found: Sums = {}
    for name, out in layers.items():
        block, _, word = name.rpartition(".")
        if word == "out":
            mid, branch = layers[f"{block}.mid"], layers[f"{block}.{first}"]
            skip, start = replace(out, is_input=True), f"{out.path}.{entry}"
            found[f"{block}.{first}"] = Sum(
                skip, branch, mid, "mid", kind, start
            )
            last = layers[f"{block}.fc2"]
            found[f"{block}.fc2"] = Sum(mid, last, out, "out", "MLP")
    return found


def attention_sums(module: nn.Module, layers: Layers) -> Sums:
    """List the sums of a transformer: `Family.sums` of most of them."""
    return two_sums(layers, "attn", "attention")


def project(attention: Any, x: Tensor) -> Tensor:
    """Compute queries, keys and values where no module gives them as one.

    Args:
        attention: timm's attention of a block.
        x: (n, tokens, width) what it takes.

    Returns:
        (n, tokens, widths of q, k and v).
    """
    if attention.qkv is None:
        return separately(attention, x)
    bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    return linear(x, attention.qkv.weight, bias)


def separately(attention: Any, x: Tensor) -> Tensor:
    """Compute what `project` does by the attention's three projections."""
    each = attention.q_proj, attention.k_proj, attention.v_proj
    return torch.cat([part(x) for part in each], -1)


def qkv(attention: Any, path: str) -> Tap:
    """Find queries, keys and values, (n, tokens, widths of q, k and v).

    Args:
        attention: a module with `qkv`, or with `q_proj`, `k_proj`, `v_proj`;
            its biases may be its own parameters.
        path: of that module.
    """
    fused = getattr(attention, "qkv", None) is not None
    if fused and getattr(attention, "q_bias", None) is None:
        return Tap(f"{path}.qkv")
    return Tap(path, is_input=True, read=project)


def token_parts(block: Any, norm_first: bool = True) -> dict[str, Tap]:
    """List the parts of a block whose branches enter `drop_path1` and `2`.

    In a gated MLP (SwiGLU) `gate` is what goes through the activation, `fc1`
    what it multiplies, and `act` their product.

    Args:
        block: a block of the model.
        norm_first: whether a branch begins with its norm.
    """
    split = hasattr(block.mlp, "fc1_x")
    parts = {
        "qkv": qkv(block.attn, "attn"),
        "heads": Tap("attn.proj", is_input=True),
        "attn": Tap("drop_path1"),
        "mid": Tap("norm2" if norm_first else "mlp", is_input=True),
        "gate": Tap("mlp.fc1_g"),
        "fc1": Tap("mlp.fc1_x" if split else "mlp.fc1"),
        "act": Tap("mlp.norm", is_input=True),
        "fc2": Tap("drop_path2"),
    }
    if isinstance(block.mlp, timm.layers.GluMlp):  # fc1 makes both halves
        parts["gate"] = Tap("mlp.fc1", read=partial(_half, 0))
        parts["fc1"] = Tap("mlp.fc1", read=partial(_half, 1))
    if norm_first:
        parts |= {"ln1": Tap("norm1"), "ln2": Tap("norm2")}
    return {word: parts[word] for word in TOKEN_WORDS if word in parts}


def _half(i: int, _: nn.Module, x: Tensor) -> Tensor:
    return x.chunk(2, -1)[i]


def one_sum(
    layers: Layers,
    skip: Callable[[str], Tap],
    total: Callable[[Tap], Tap],
    branch: Callable[[str], Tap] = lambda path: Tap(f"{path}.drop_path"),
) -> Sums:
    """List the sums of CNNs, which have one branch a block.

    Args:
        layers: of the model.
        skip: path of a block -> what is added to its branch.
        total: output of a block -> the sum.
        branch: path of a block -> its branch, which enters `drop_path` by
            default.

    Returns:
        Name of the last layer of each branch -> its sum.
    """
    names = list(layers)
    return {
        names[i - 1]: Sum(
            skip(out.path),
            branch(out.path),
            total(out),
            "out",
            "convolutions",
        )
        for i, (name, out) in enumerate(layers.items())
        if name.endswith(".out")
    }


def no_attention(
    kind: str,
) -> Callable[[nn.Module], list[AttentionLayer] | str]:
    """Say of a whole family that it has no attention.

    Args:
        kind: what its members are, such as `a resnet`.
    """
    return lambda module: f"has no attention: it is {kind}"
