"""MAE: draw the three quarters of a scene that were not shown.

He et al. 2022, *Masked Autoencoders Are Scalable Vision Learners*. The
encoder sees only the visible patches, a small decoder predicts the pixels of
the others.
"""

from collections.abc import Sequence

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from helpers.lab.architectures import HEAD_WIDTH, PATCH, SIZE
from helpers.models import zoo
from helpers.training.objective import Objective, sine_positions
from helpers.training.recipes import recipe
from helpers.training.settings import Recipe


def patchify(x: Tensor, patch: int = PATCH) -> Tensor:
    """Cut images (n, 3, h, w) into patches (n, t, patch * patch * 3)."""
    n, c, h, w = x.shape
    x = x.view(n, c, h // patch, patch, w // patch, patch)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(n, -1, patch * patch * c)


def unpatchify(x: Tensor, side: int, patch: int = PATCH) -> Tensor:
    """Put patches (n, t, patch * patch * 3) back into square images."""
    n, _, values = x.shape
    grid, c = side // patch, values // patch**2
    x = x.view(n, grid, grid, patch, patch, c)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(n, c, side, side)


def shuffle(n: int, patches: int, device: torch.device) -> Tensor:
    """Draw an order of the patches for each image, (n, patches) indices."""
    return torch.rand(n, patches, device=device).argsort(dim=1)


class MaskedPixelLoss(nn.Module):
    """Squared error of the normalised pixels of the hidden patches.

    He et al. 2022, section 3 ("Reconstruction target"): each target patch is
    brought to mean 0 and variance 1, and only hidden patches count.
    """

    def forward(
        self, guess: Tensor, patches: Tensor, hidden: Tensor
    ) -> Tensor:
        """Return the mean error.

        Args:
            guess: predicted patches (n, t, p).
            patches: true patches (n, t, p).
            hidden: which of them count, bool (n, t).
        """
        mean = patches.mean(-1, keepdim=True)
        variance = patches.var(-1, keepdim=True)
        target = (patches - mean) / (variance + 1e-6).sqrt()
        error = (guess.float() - target).square().mean(-1)
        return (error * hidden).sum() / hidden.sum()


class Decoder(nn.Module):
    """A few narrow blocks from visible tokens to all pixels.

    Args:
        inputs: width of the encoder.
        width: width of the decoder.
        depth: number of blocks.
    """

    def __init__(self, inputs: int, width: int, depth: int) -> None:
        super().__init__()
        side = SIZE // PATCH
        self.embed = nn.Linear(inputs, width)
        self.mask_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(
            torch.randn(1, side * side + 1, width) * 0.02
        )
        heads = width // HEAD_WIDTH
        self.blocks = nn.Sequential(
            *(Block(width, heads, qkv_bias=True) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.pixels = nn.Linear(width, PATCH**2 * 3)

    def forward(self, tokens: Tensor, order: Tensor) -> Tensor:
        """Predict all patches (n, t, p).

        Args:
            tokens: encoded CLS and visible patches (n, 1 + v, inputs).
            order: of the patches, visible ones first (n, t).
        """
        tokens = self.embed(tokens)
        cls, seen = tokens[:, :1], tokens[:, 1:]
        lacking = order.shape[1] - seen.shape[1]
        blank = self.mask_token.to(seen).expand(len(seen), lacking, -1)
        place = order.argsort(1)[..., None].expand(-1, -1, seen.shape[-1])
        patches = torch.cat([seen, blank], 1).gather(1, place)
        x = torch.cat([cls, patches], 1) + self.positions
        out: Tensor = self.pixels(self.norm(self.blocks(x)))[:, 1:]
        return out


def encode(vit: nn.Module, x: Tensor, keep: Tensor) -> Tensor:
    """Run a timm ViT on some patches only.

    Args:
        vit: with a CLS token.
        x: images (n, 3, 64, 64), normalised.
        keep: indices of the visible patches (n, v).

    Returns:
        Normed tokens (n, 1 + v, d), CLS first.
    """
    tokens = vit.patch_embed(x) + vit.pos_embed[:, 1:]  # type: ignore
    index = keep[..., None].expand(-1, -1, tokens.shape[-1])
    cls = vit.cls_token + vit.pos_embed[:, :1]  # type: ignore
    tokens = torch.cat(
        [cls.expand(len(x), -1, -1), tokens.gather(1, index)], 1
    )
    out: Tensor = vit.norm(vit.blocks(tokens))  # type: ignore
    return out


class MAE(Objective):
    """The encoder of the zoo and the decoder it learns with."""

    def __init__(self, name: str, how: Recipe) -> None:
        super().__init__(name, how)
        sine_positions(self.encoder)
        self.tokens = 1 - how.mask_ratio
        width: int = self.encoder.embed_dim  # type: ignore[assignment]
        self.decoder = Decoder(width, *how.decoder)
        self.loss = MaskedPixelLoss()

    def shown(self, patches: int) -> int:
        """Count the visible ones among so many patches."""
        return round(patches * (1 - self.recipe.mask_ratio))

    def hides(self, order: Tensor) -> Tensor:
        """Tell which patches an order hides: all but its first, (n, t)."""
        return order.argsort(1) >= self.shown(order.shape[1])

    def reconstruct(self, x: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """Predict all patches of normalised images from the visible ones.

        Args:
            x: images (n, 3, 64, 64).
            order: of the patches (n, t), the visible ones first.

        Returns:
            The predicted normalised patches (n, t, p), and which patches were
            hidden (n, t).
        """
        keep = order[:, : self.shown(order.shape[1])]
        tokens = encode(self.encoder, x, keep)
        return self.decoder(tokens, order), self.hides(order)

    def forward(self, views: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Return the error on the hidden patches, a scalar."""
        patches = patchify(views[0])
        order = shuffle(len(patches), patches.shape[1], patches.device)
        guess, hidden = self.reconstruct(views[0], order)
        loss: Tensor = self.loss(guess, patches, hidden)
        return loss


def load(name: str = "mae") -> MAE:
    """Load a masked autoencoder of the zoo with its decoder.

    Raises:
        ValueError, FileNotFoundError: as `zoo.load` and `zoo.state` do.
    """
    with torch.random.fork_rng(devices=[]):
        model = MAE(name, recipe(name))
    model.encoder = zoo.load(name)
    zoo.fit(model.decoder, zoo.state(name, "decoder"), f"{name}.decoder")
    return model.eval()
