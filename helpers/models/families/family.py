"""What the book must know of a family of models, as one record.

A family file fills a `Family` with facts and small functions of tensors;
measures ask the record and know no architecture. What a family cannot do is
told by a reason in place of the facts: a sentence without its subject, such as
"has no attention: it is a ResNet", which errors and pages show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Grid = tuple[int, int]


@dataclass(frozen=True)
class Tap:
    """One measurable tensor of a model.

    Attributes:
        path: the module to hook, as timm names it.
        is_input: whether the tensor is that module's input, not its output.
        read: from the module and that tensor to the tensor that is measured,
            (n, tokens, width), (n, channels, h, w) or (n, width); by default
            the tensor itself.
    """

    path: str
    is_input: bool = False
    read: Callable[[nn.Module, Tensor], Tensor] | None = None


Layers = dict[str, Tap]


@dataclass(frozen=True)
class Layout:
    """How the tokens of a model are laid out.

    Attributes:
        prefix_tokens: class and register tokens before the patch tokens.
        has_class_token: whether token 0 is a class token.
        grid: patch tokens (rows, columns), None where there are none.
        patch: patch size in pixels (height, width), None likewise.
    """

    prefix_tokens: int = 0
    has_class_token: bool = False
    grid: Grid | None = None
    patch: Grid | None = None


@dataclass(frozen=True)
class Sum:
    """A residual sum, skip + branch.

    Attributes:
        skip: z, as it is added.
        branch: f(z), as it is added.
        total: z + f(z).
        into: the last part of the sum's canonical name.
        kind: what the branch is: `attention`, `token mixing`, `MLP` or
            `convolutions`.
        entry: path of the first module of the branch, or of a method of the
            block, where z goes into the branch, for a sum from which the
            block goes on; empty where nothing but `total` holds the sum.
        inner: whether z is itself made inside the block, and the block goes
            on from the sum; then no hook can take z out.
    """

    skip: Tap
    branch: Tap
    total: Tap
    into: str
    kind: str
    entry: str = ""
    inner: bool = False


Sums = dict[str, Sum]


@dataclass(frozen=True, eq=False)
class AttentionLayer:
    """How the attention weights of one block are read.

    Attributes:
        layer: canonical name of the layer that holds what its heads pass on.
        source: the tensor that the weights are computed from, (n, tokens, d).
        heads: number of heads.
        weights: from that tensor to (n, heads, queries, keys) in float32;
            each row, the keys of one query, sums to 1.
        grid: rows and columns of the patches that are attended to.
        patch: their height and width in pixels.
        queries: (queries,) the patch that each query stands for, row by row;
            -1 for class and register tokens and for padding.
        keys: (keys,), or (queries, keys) where queries have keys of their
            own, the patch that each key stands for; -1 as in `queries`. In
            the first case the tokens that are no patch come first.
        query_grid: rows and columns of the queries, where they are coarser.
        tokens: number of tokens of `source`, where there are more of them
            than queries.
    """

    layer: str
    source: Tap
    heads: int
    weights: Callable[[Tensor], Tensor]
    grid: Grid
    patch: Grid
    queries: Tensor
    keys: Tensor
    query_grid: Grid | None = None
    tokens: int = 0

    @property
    def size(self) -> int:
        """How many weights one image has."""
        return self.heads * len(self.queries) * self.keys.shape[-1]


def middle(module: Any, stride: float) -> float:
    """Return the pixel that position 0 lies over, if patches do not overlap.

    Args:
        module: the model.
        stride: pixels from one position of a layer to the next.
    """
    return (stride - 1) / 2


def corner(module: Any, stride: float) -> float:
    """Return that pixel for strided convolutions with padding.

    They put position i over pixel i * stride.
    """
    return 0.0


def size_of_parts(module: Any) -> Grid | None:
    """Return the size of image that a part of a model was built for, if any.

    Args:
        module: the model; its patch embedding knows.
    """
    sizes = (getattr(part, "img_size", None) for part in module.children())
    return next((size for size in sizes if isinstance(size, tuple)), None)


@dataclass(frozen=True)
class Family:
    """A family of architectures.

    Functions take the timm model, and `layers` what the function of that name
    returned; a string in place of a value is the reason why there is none.

    Attributes:
        name: a short word.
        words: last parts of the names of its layers, in forward order.
        recognises: whether a model is of this family.
        layers: canonical name -> where the layer is, in forward order.
        sums: canonical name of each branch -> the sum it goes into, in
            forward order.
        attention: the attention of each block.
        layout: its tokens.
        centre: with the stride of a layer in pixels, the pixel that its
            position 0 lies over.
        image_size: height and width that the model was built for, None where
            timm's entry for it is right.
    """

    name: str
    words: tuple[str, ...]
    recognises: Callable[[Any], bool]
    layers: Callable[[Any], Layers]
    sums: Callable[[Any, Layers], Sums | str]
    attention: Callable[[Any], list[AttentionLayer] | str]
    layout: Callable[[Any], Layout] = lambda module: Layout()
    centre: Callable[[Any, float], float] = middle
    image_size: Callable[[Any], Grid | None] = size_of_parts


def softmax(
    q: Tensor, k: Tensor, scale: Tensor | float, bias: Tensor | float = 0.0
) -> Tensor:
    """Compute softmax attention in float32.

    Args:
        q: (..., queries, width).
        k: (..., keys, width).
        scale: factor of the queries, one number or one each head.
        bias: what is added to the logits.

    Returns:
        (..., queries, keys) weights.
    """
    logits = q.float() * scale @ k.float().transpose(-2, -1)
    if isinstance(bias, Tensor):  # adding nothing would copy all weights
        logits = logits + bias
    return logits.softmax(-1)


def split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Split (n, tokens, 3 * width) into q, k and v, (n, heads, tokens, d)."""
    n, count, _ = qkv.shape
    parts = qkv.reshape(n, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
    q, k, v = parts.unbind(0)
    return q, k, v


def patches_after(prefix: int, grid: Grid) -> Tensor:
    """Number tokens by their patches: (tokens,), -1 for prefix tokens."""
    return torch.arange(-prefix, grid[0] * grid[1]).clamp(-1)
