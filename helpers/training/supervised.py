"""Learning from labels: cross-entropy on the 100 classes.

The label of a scene is 10 * garment + fabric, so one head learns both.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from helpers.training.objective import Objective
from helpers.training.settings import Recipe


class SmoothedCrossEntropy(nn.Module):
    """Cross-entropy against smoothed labels.

    Szegedy et al. 2016, *Rethinking the Inception Architecture*, section 7:
    (1 - e) H(y, p) + e H(u, p) with u uniform over the K classes.

    Args:
        smoothing: e, in [0, 1).
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must be in [0, 1), not {smoothing}")
        self.smoothing = smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of logits (n, K) and labels (n,)."""
        log_p = torch.log_softmax(logits.float(), dim=-1)
        hit = log_p.gather(1, labels[:, None])[:, 0]
        uniform = log_p.mean(dim=-1)
        loss = (1 - self.smoothing) * hit + self.smoothing * uniform
        return -loss.mean()


class Supervised(Objective):
    """A classifier and its labels."""

    def __init__(self, name: str, recipe: Recipe) -> None:
        super().__init__(name, recipe)
        self.loss = SmoothedCrossEntropy(recipe.smoothing)

    def forward(self, views: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        loss: Tensor = self.loss(self.encoder(views[0]), labels)
        return loss
