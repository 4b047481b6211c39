"""MoCo-v3: two views of a scene must find each other among all others.

Chen, Xie and He 2021, *An Empirical Study of Training Self-Supervised Vision
Transformers*. The query goes through encoder, projector and predictor, the
key through a moving average of encoder and projector, without gradient.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.training.objective import (
    Objective,
    average_of,
    follow,
    rising,
    sine_positions,
)
from helpers.training.settings import Recipe


class InfoNCE(nn.Module):
    """The contrastive loss of MoCo-v3, for one direction.

    Chen et al. 2021, equation 1 and algorithm 1 (`ctr`): cross-entropy of
    the cosines q k' / tau, whose right answer is the diagonal, times 2 tau.

    Args:
        temperature: tau, above 0.
    """

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, not {temperature}")
        self.temperature = temperature

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return the loss of queries and keys (n, d); keys get no gradient."""
        q = F.normalize(queries.float(), dim=1)
        k = F.normalize(keys.detach().float(), dim=1)
        with torch.autocast(q.device.type, enabled=False):
            logits = q @ k.T / self.temperature
        target = torch.arange(len(q), device=q.device)
        return 2 * self.temperature * F.cross_entropy(logits, target)


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Make a head: linear and batch norm, with ReLU between the layers.

    As in the authors' code, linear layers have no bias and the last batch
    norm has no scale or shift.
    """
    parts: list[nn.Module] = []
    last = len(widths) - 2
    for i in range(last + 1):
        parts.append(nn.Linear(widths[i], widths[i + 1], bias=False))
        parts.append(nn.BatchNorm1d(widths[i + 1], affine=i < last))
        if i < last:
            parts.append(nn.ReLU(inplace=True))
    return nn.Sequential(*parts)


class MoCoV3(Objective):
    """Encoder, projector and predictor, and the momentum encoder."""

    def __init__(self, name: str, recipe: Recipe) -> None:
        super().__init__(name, recipe)
        sine_positions(self.encoder)
        self.encoder.patch_embed.requires_grad_(False)
        width: int = self.encoder.embed_dim  # type: ignore[assignment]
        hidden, out = recipe.hidden, recipe.outputs
        self.projector = mlp((width, hidden, hidden, out))
        self.predictor = mlp((out, hidden, out))
        self.slow = average_of(nn.Sequential(self.encoder, self.projector))
        self.loss = InfoNCE(recipe.temperature)

    def forward(self, views: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Return the symmetric loss of two views (n, 3, 64, 64)."""
        first, second = views
        q1 = self.predictor(self.projector(self.encoder(first)))
        q2 = self.predictor(self.projector(self.encoder(second)))
        with torch.no_grad():
            k1, k2 = self.slow(first), self.slow(second)
        loss: Tensor = self.loss(q1, k2) + self.loss(q2, k1)
        return loss

    def update(self, progress: float) -> None:
        """Let the momentum encoder follow."""
        fast = nn.Sequential(self.encoder, self.projector)
        follow(self.slow, fast, rising(self.recipe.momentum, progress))
