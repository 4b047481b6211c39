"""The optimisers of a training: Muon for matrices inside blocks, AdamW else.

Muon (Jordan et al. 2024, scaled as in Liu et al. 2025) replaces the step of a
matrix by the nearest orthogonal one. A small ViT needs about a third of the
scenes with it. timm's Muon treats one matrix at a time; here all matrices of
one shape share their Newton-Schulz iterations (timm's own), which halves the
cost on a CPU and changes nothing else.
"""

import re
from collections.abc import Iterable
from typing import Any

import torch
from timm.optim.muon import get_lr_scale, zeropower_via_newtonschulz
from torch import Tensor, nn

QUINTIC = [
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
]
"""Coefficients of the iterations: timm's default."""


class BatchedMuon(torch.optim.Optimizer):
    """Muon without Nesterov momentum, batched over matrices of one shape.

    Args:
        params: matrices (m, n) or kernels (m, ...), taken as matrices.
        lr: learning rate.
        weight_decay: decoupled.
        momentum: of the moving average of the gradient.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault(p.shape, []).append(p)
            for shape, alike in shapes.items():
                self._move(alike, shape, group)

    def _move(
        self, alike: list[Tensor], shape: torch.Size, group: dict[str, float]
    ) -> None:
        """Move parameters of one shape, k matrices (m, n) at once."""
        averages = []
        for p in alike:
            state = self.state[p]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(p)
            averages.append(state["momentum_buffer"])
        gradients = [p.grad for p in alike if p.grad is not None]
        torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
        stack = torch.stack([a.flatten(1) for a in averages])  # (k, m, n)
        steps = zeropower_via_newtonschulz(stack, 5, QUINTIC)
        rate = group["lr"] * get_lr_scale(stack.shape[1:], "match_rms_adamw")
        torch._foreach_mul_(alike, 1 - group["lr"] * group["weight_decay"])
        moves = [
            s.view(shape).to(p) for s, p in zip(steps, alike, strict=True)
        ]
        torch._foreach_add_(alike, moves, alpha=-rate)


class Optimisers:
    """Both optimisers of an objective, used as one.

    Only weights with two or more axes decay, but for tokens, positions and
    prototypes.

    Args:
        objective: what is trained.
        lr: highest rate of AdamW.
        block_lr: highest rate of Muon.
        weight_decay: of both.
    """

    def __init__(
        self,
        objective: nn.Module,
        lr: float,
        block_lr: float,
        weight_decay: float,
    ) -> None:
        still = ("pos_embed", "positions", "token", "prototypes")
        blocks, others, plain = [], [], []
        for name, parameter in objective.named_parameters():
            if not parameter.requires_grad:
                continue
            if parameter.ndim < 2 or name.endswith(still):
                plain.append(parameter)
            elif re.search(r"(blocks|layer\d)\.\d", name):
                blocks.append(parameter)
            else:
                others.append(parameter)
        groups: list[dict[str, Any]] = [
            {"params": others},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.muon = BatchedMuon(blocks, block_lr, weight_decay)
        self.adamw = torch.optim.AdamW(
            groups,
            lr=lr,
            betas=(0.9, 0.95),
            weight_decay=weight_decay,
        )
        self.peaks = {self.muon: block_lr, self.adamw: lr}

    def step(self, share: float) -> None:
        """Take a step at a share of the highest rates, and drop gradients."""
        for optimiser, peak in self.peaks.items():
            for group in optimiser.param_groups:
                group["lr"] = peak * share
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both, by name."""
        return {
            "muon": self.muon.state_dict(),
            "adamw": self.adamw.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state that `state_dict` returned."""
        self.muon.load_state_dict(state["muon"])
        self.adamw.load_state_dict(state["adamw"])
