"""Take skip connections from a trained network, for a while.

`remove_skip` says how a trained network uses its skips, not what they are
for: a network that is built without them (`helpers.lab.skipless_blocks`)
never learned to rely on them (Raghu et al. 2021, section 6, figure 8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from helpers.features.arguments import checked
from helpers.features.layer_selection import names
from helpers.features.record import hook
from helpers.lab.skipless_blocks import BOTH
from helpers.measures.residual_sums import sums_of
from helpers.runtime.errors import unknown

if TYPE_CHECKING:
    from helpers.models.families.family import Sum
    from helpers.models.vision_model import VisionModel

BRANCHES = {
    "both": BOTH,
    "attn": frozenset({"attn"}),
    "mlp": frozenset({"mlp"}),
}
_BRANCH_OF = {"attention": "attn", "token mixing": "attn", "MLP": "mlp"}


@checked
@contextmanager
def remove_skip(
    model: VisionModel, blocks: str, branch: str = "both"
) -> Iterator[None]:
    """Remove skip connections of a trained model, inside a `with`.

    The weights stay, and after the `with` the model is as before. This is a
    test of a trained model; for models trained without a skip see
    `SkiplessBlock`.

    Args:
        model: a model of a family whose residual sums are known.
        blocks: which blocks, as in a layer selection: `blocks.6`,
            `blocks.0-3`, `stages.2.*`, or `all`.
        branch: around which sublayer: `attn` (in a Mixer token mixing),
            `mlp` or `both`. A block of a CNN has one skip: `both`.

    Raises:
        ValueError: unknown blocks or branch, a branch that the model does
            not have, or sums that are not known; names the valid ones.
    """
    if branch not in BRANCHES:
        raise unknown("branch", branch, BRANCHES)
    sums = sums_of(model)
    have = {_BRANCH_OF.get(each.kind, "both") for each in sums.values()}
    if branch != "both" and branch not in have:
        raise ValueError(
            f"a block of {model.spec} has one skip connection; the only "
            f"valid branch is 'both', not {branch!r}"
        )
    patterns = [f"{p.strip()}.out" for p in blocks.split(",")]
    chosen = names(model, "out" if blocks == "all" else ",".join(patterns))
    with ExitStack() as undo:
        for name in chosen:
            block: Any = model.module.get_submodule(model.taps[name].path)
            undo.callback(_restore, block, dict(vars(block)))
            block.without = getattr(block, "without", BOTH - BOTH)
            block.without |= BRANCHES[branch]
            for layer, each in sums.items():
                own = layer.rpartition(".")[0] == name.removesuffix(".out")
                if not own or branch not in (
                    "both",
                    _BRANCH_OF.get(each.kind),
                ):
                    continue
                if each.inner:
                    raise ValueError(
                        f"the skip around {layer} of {model.spec} is made "
                        "inside the block and cannot be taken out; choose "
                        "another block, or the branch 'attn' or 'mlp'"
                    )
                _remove(model.module, each, undo)
        yield


def skipless_blocks(model: VisionModel) -> list[int]:
    """Number the blocks of a ViT or Mixer that have no skip connection.

    Returns:
        Blocks, from 0, in which a skip connection is missing around either
        branch or both, whether built so or made so by `remove_skip`.
    """
    blocks = getattr(model.module, "blocks", [])
    return [i for i, b in enumerate(blocks) if getattr(b, "without", None)]


def _remove(module: nn.Module, each: Sum, undo: ExitStack) -> None:
    """Take z out of one sum, until `undo` closes."""
    if each.entry:
        block: Any = module.get_submodule(each.skip.path)
        word = each.entry.removeprefix(f"{each.skip.path}.")
        block.forward = partial(_fed_apart, block, block.forward, word)
        return
    held: list[Tensor] = []
    branch = module.get_submodule(each.branch.path)
    # Maps are read out of the order that both sides of the sum share.
    read = None if each.total.read else each.branch.read

    def hold(x: Tensor) -> None:
        x = read(branch, x) if read else x
        held[:] = [x.clone()]  # some networks add in place

    def replace(x: Tensor) -> Tensor:
        return held.pop().reshape(x.shape)

    for tap, use in ((each.branch, hold), (each.total, replace)):
        hooked = module.get_submodule(tap.path)
        undo.callback(hook(hooked, tap.is_input, use, first=True).remove)


def _fed_apart(
    block: nn.Module,
    forward: Callable[..., Tensor],
    entry: str,
    x: Tensor,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """Run a block whose branch is given x while its skip is given zeros."""
    first: Any = getattr(block, entry)
    with ExitStack() as undo:
        if isinstance(first, nn.Module):
            handle = first.register_forward_pre_hook(
                lambda _, given: (x, *given[1:])
            )
            undo.callback(handle.remove)
        else:  # a method, for the while hidden by an attribute
            setattr(block, entry, lambda _: first(x))
            undo.callback(delattr, block, entry)
        return forward(torch.zeros_like(x), *args, **kwargs)


def _restore(block: nn.Module, before: dict[str, Any]) -> None:
    for name in ("forward", "without"):
        vars(block).pop(name, None)
        if name in before:
            vars(block)[name] = before[name]
