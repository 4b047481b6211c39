"""DINO: a student must guess what its own moving average sees.

Caron et al. 2021, *Emerging Properties in Self-Supervised Vision
Transformers*. The teacher sees two large views, the student also small ones;
centring and sharpening of the teacher's output keep it from collapsing.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from helpers.lab.architectures import PATCH, SIZE
from helpers.training.augment import augment
from helpers.training.objective import (
    Objective,
    average_of,
    follow,
    normalise,
    rising,
)
from helpers.training.settings import Recipe

LOCAL_SIZE = 32


class DINOLoss(nn.Module):
    """Cross-entropy between sharpened teacher and student, over view pairs.

    Caron et al. 2021, equations 1, 3 and 4 and algorithm 1:
    H(softmax((t - c) / tau_t), softmax(s / tau_s)), averaged over all pairs
    of different views; the centre c is a moving average of the mean t.

    Args:
        outputs: number of prototypes K.
        student: temperature tau_s.
        teacher: temperature tau_t.
        momentum: of the centre, in [0, 1].
    """

    centre: Tensor

    def __init__(
        self, outputs: int, student: float, teacher: float, momentum: float
    ) -> None:
        super().__init__()
        if min(student, teacher) <= 0:
            raise ValueError(f"temperatures must be > 0: {student}, {teacher}")
        self.student, self.teacher = student, teacher
        self.momentum = momentum
        self.register_buffer("centre", torch.zeros(outputs))

    def forward(
        self, students: list[Tensor], teachers: list[Tensor]
    ) -> Tensor:
        """Return the loss of logits (n, K) a view, then move the centre.

        Views come in the same order on both sides; the teacher's come first.
        """
        logits = torch.stack(teachers).detach().float()
        targets = torch.softmax((logits - self.centre) / self.teacher, -1)
        guesses = [
            torch.log_softmax(s.float() / self.student, -1) for s in students
        ]
        pairs = [
            -(target * guess).sum(-1).mean()
            for t, target in enumerate(targets)
            for s, guess in enumerate(guesses)
            if s != t
        ]
        self.centre.lerp_(logits.mean((0, 1)), 1 - self.momentum)
        return torch.stack(pairs).mean()


class Head(nn.Module):
    """A 3-layer MLP, a unit-length bottleneck and K unit-length prototypes."""

    def __init__(self, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, width),
        )
        self.prototypes = nn.Parameter(torch.randn(outputs, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map features (n, d) to logits (n, K), which are cosines."""
        x = F.normalize(self.mlp(x).float(), dim=-1)
        with torch.autocast(x.device.type, enabled=False):
            return x @ F.normalize(self.prototypes, dim=-1).T


def features(vit: nn.Module, x: Tensor) -> Tensor:
    """Return the normed CLS token (n, d) of a timm ViT at any image size.

    The position embedding is interpolated to the patches there are.
    """
    grid = [side // PATCH for side in x.shape[2:]]
    tokens = vit.patch_embed.proj(x).flatten(2).transpose(1, 2)  # type: ignore
    positions = resample_abs_pos_embed(vit.pos_embed, grid)
    cls = vit.cls_token.expand(len(x), -1, -1)  # type: ignore
    tokens = torch.cat([cls, tokens], dim=1) + positions
    out: Tensor = vit.norm(vit.blocks(tokens))[:, 0]  # type: ignore
    return out


class DINO(Objective):
    """Student and teacher: encoder and head each."""

    def __init__(self, name: str, recipe: Recipe) -> None:
        super().__init__(name, recipe)
        width: int = self.encoder.embed_dim  # type: ignore[assignment]
        self.head = Head(width, recipe.hidden, recipe.outputs)
        self.pictures = 2 + recipe.local_crops * (LOCAL_SIZE / SIZE) ** 2
        self.teacher = average_of(self.encoder)
        self.teacher_head = average_of(self.head)
        self.loss = DINOLoss(
            recipe.outputs,
            recipe.temperature,
            recipe.teacher_temperature,
            recipe.centre_momentum,
        )

    def views(self, images: Tensor, partners: Tensor) -> list[Tensor]:
        """Draw two views of 64 px and, as one batch, the local ones.

        Local views are cut from the images and their partners in turn.
        """
        sources, crops = (images, partners), self.recipe.local_crops
        many = torch.cat([sources[i % 2] for i in range(crops)])
        small = augment(many, self.recipe.views[2], LOCAL_SIZE)
        return [*super().views(images, partners), normalise(small)]

    def forward(self, views: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Return the loss of a batch, a scalar."""
        both, small = torch.cat(list(views[:2])), views[2]
        with torch.no_grad():
            seen = self.teacher_head(self.teacher(both))
        large = self.head(self.encoder(both))
        local = self.head(features(self.encoder, small))
        students = large.chunk(2) + local.chunk(self.recipe.local_crops)
        loss: Tensor = self.loss(list(students), list(seen.chunk(2)))
        return loss

    def update(self, progress: float) -> None:
        """Let the teacher follow."""
        momentum = rising(self.recipe.momentum, progress)
        follow(self.teacher, self.encoder, momentum)
        follow(self.teacher_head, self.head, momentum)
