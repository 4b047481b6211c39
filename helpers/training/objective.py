"""What every training objective has in common.

An objective is one module: the encoder that is kept, what else it needs to
learn (heads, teacher, decoder), and a loss. The loop knows nothing more.
"""

import copy
import math
from collections.abc import Sequence

import torch
from timm.layers import PatchDropout
from torch import Tensor, nn

from helpers.lab.architectures import PREPROCESSING
from helpers.models import zoo
from helpers.training.augment import augment
from helpers.training.settings import Recipe

ALL_SEEN = 0.9
"""From this share of the steps on, ViTs see every patch."""


def normalise(x: Tensor) -> Tensor:
    """Bring images in [0, 1] to what the lab models expect."""
    mean = torch.tensor(PREPROCESSING["mean"], device=x.device)
    std = torch.tensor(PREPROCESSING["std"], device=x.device)
    return (x - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def to_pixels(x: Tensor) -> Tensor:
    """Bring what the lab models expect back to pictures, uint8."""
    mean = torch.tensor(PREPROCESSING["mean"], device=x.device)
    std = torch.tensor(PREPROCESSING["std"], device=x.device)
    unit = x * std.view(3, 1, 1) + mean.view(3, 1, 1)
    return (unit * 255).round().clamp(0, 255).to(torch.uint8)


class Objective(nn.Module):
    """A loss with the modules it trains.

    Attributes:
        encoder: the module that goes into the zoo.
        recipe: the settings.
        pictures: of one scene that are shown in a step, by their area.
        tokens: mean share of their patches that the encoder is shown.
    """

    def __init__(self, name: str, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.encoder = zoo.build(name)
        self.pictures = float(len(recipe.views))
        self.tokens = 1.0
        prefix = getattr(self.encoder, "num_prefix_tokens", None)
        if recipe.keep < 1 and prefix is not None:
            self.encoder.patch_drop = PatchDropout(
                1 - recipe.keep, num_prefix_tokens=prefix
            )
            self.tokens = 1 - ALL_SEEN * (1 - recipe.keep)

    def views(self, images: Tensor, partners: Tensor) -> list[Tensor]:
        """Augment and normalise images (n, 3, 64, 64) in [0, 1].

        The first view is one of the images; a second, where the objective
        compares views, is one of their partners (`data.Batch`).
        """
        sources = (images, partners)
        return [
            normalise(augment(source, view))
            for source, view in zip(sources, self.recipe.views, strict=False)
        ]

    def show_all(self) -> None:
        """Let the encoder see every patch from now on."""
        if hasattr(self.encoder, "patch_drop"):
            self.encoder.patch_drop = nn.Identity()

    def forward(self, views: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        raise NotImplementedError

    def update(self, progress: float) -> None:
        """Do what follows an optimiser step.

        Args:
            progress: through the fall of the rate, from 0 to 1; 0 before.
        """


def average_of(module: nn.Module) -> nn.Module:
    """Copy a module into a moving average that no gradient reaches.

    An average of an encoder always sees every patch.
    """
    average = copy.deepcopy(module).requires_grad_(False)
    for name, part in list(average.named_modules()):
        if isinstance(part, PatchDropout):
            average.set_submodule(name, nn.Identity())
    return average


@torch.no_grad()
def follow(average: nn.Module, module: nn.Module, momentum: float) -> None:
    """Move an average towards a module: a <- m a + (1 - m) w.

    Parameters only: batch statistics are the average's own, as in the code
    of MoCo-v3.
    """
    torch._foreach_lerp_(
        list(average.parameters()), list(module.parameters()), 1 - momentum
    )


def rising(start: float, progress: float) -> float:
    """Return a momentum that rises from `start` to 1 on a half cosine."""
    return 1 - (1 - start) * (1 + math.cos(math.pi * progress)) / 2


def sine_positions(vit: nn.Module) -> None:
    """Set the position embedding to fixed sines and cosines of row, column.

    MoCo-v3 and MAE use it (Chen et al. 2021, section 4; He et al. 2022,
    appendix A); prefix tokens get zeros.
    """
    rows, columns = vit.patch_embed.grid_size  # type: ignore[union-attr, misc]
    positions: nn.Parameter = vit.pos_embed  # type: ignore[assignment]
    quarter = positions.shape[-1] // 4
    rate = 10_000.0 ** (-torch.arange(quarter) / quarter)
    y, x = torch.meshgrid(
        torch.arange(rows), torch.arange(columns), indexing="ij"
    )
    waves = [a.flatten()[:, None] * rate for a in (y, x)]
    table = torch.cat([f(w) for w in waves for f in (torch.sin, torch.cos)], 1)
    with torch.no_grad():
        positions.zero_()
        positions[0, -rows * columns :] = table
    positions.requires_grad_(False)
