"""How well a masked autoencoder draws, against two simple painters."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.lab.architectures import PATCH, SIZE
from helpers.probes.checks import exact
from helpers.runtime import devices
from helpers.training.data import shown
from helpers.training.mae import MAE, patchify, shuffle, unpatchify
from helpers.training.objective import normalise, to_pixels

FIT, TEST = 2_000, 1_000
PENALTY = 10.0
CHUNK = 250


def surroundings(patches: Tensor, hidden: Tensor) -> Tensor:
    """Describe what is visible around each patch.

    Args:
        patches: (n, t, p), in square grids.
        hidden: bool (n, t).

    Returns:
        (n, t, 9 p + 9): the eight neighbours, zero where hidden or outside,
        and whether each is visible; the mean of the image's visible patches;
        a one.
    """
    n, t, p = patches.shape
    side = round(t**0.5)
    shown = (~hidden).to(patches)[..., None]
    seen = torch.cat([patches * shown, shown], -1)
    maps = seen.transpose(1, 2).reshape(n, p + 1, side, side)
    around = F.unfold(maps, 3, padding=1).view(n, p + 1, 9, t)
    around = torch.cat([around[:, :, :4], around[:, :, 5:]], 2)
    mean = (patches * shown).sum(1) / shown.sum(1)
    columns = [
        around.flatten(1, 2).transpose(1, 2),
        mean[:, None].expand(-1, t, -1),
        torch.ones_like(shown),
    ]
    return torch.cat(columns, -1)


def targets(patches: Tensor) -> Tensor:
    """Bring each patch (..., p) to mean 0 and variance 1."""
    mean = patches.mean(-1, keepdim=True)
    return (patches - mean) / (patches.var(-1, keepdim=True) + 1e-6).sqrt()


def _parts(model: MAE, split: str, n: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield parts of a split: normalised images, and orders of patches."""
    device = next(model.parameters()).device
    pixels, _ = shown(model.recipe, split, n, device)
    t = (SIZE // PATCH) ** 2
    for part in torch.split(pixels, CHUNK):
        yield normalise(part.float() / 255), shuffle(len(part), t, device)


@torch.no_grad()
def reconstruction(model: MAE) -> dict[str, float]:
    """Measure errors on the hidden patches of test images.

    Returns:
        Mean squared error of normalised pixels: `model`; `mean_patch`, which
        always draws the mean normalised patch of training images; `linear`, a
        ridge regression from a patch's visible neighbours and the mean
        visible patch, fitted on training images.
    """
    like = next(model.parameters())
    inputs = 9 * (PATCH**2 * 3 + 1)
    moments = exact(torch.zeros(inputs, inputs, device=like.device))
    cross = moments[:, : PATCH**2 * 3].clone()
    errors = []
    with devices.own_draws(like.device):
        torch.manual_seed(0)
        for x, order in _parts(model, "train", FIT):
            patches, hidden = patchify(x), model.hides(order)
            rows = exact(surroundings(patches, hidden)[hidden])
            moments += rows.T @ rows
            cross += rows.T @ exact(targets(patches)[hidden])
        mean = cross[-1] / moments[-1, -1]
        moments.diagonal().add_(PENALTY)
        weight = torch.linalg.solve(moments, cross)
        for x, order in _parts(model, "test", TEST):
            guess, hidden = model.reconstruct(x, order)
            patches = patchify(x)
            target = exact(targets(patches)[hidden])
            rows = exact(surroundings(patches, hidden)[hidden])
            drawn = (exact(guess[hidden]), mean, rows @ weight)
            errors.append([(d - target).square().mean() for d in drawn])
    means = torch.tensor(errors).mean(0).tolist()
    names = ("model", "mean_patch", "linear")
    return {k: round(v, 4) for k, v in zip(names, means, strict=True)}


@torch.no_grad()
def drawings(model: MAE, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Let a masked autoencoder draw scenes of which it sees a quarter.

    The model predicts patches of mean 0 and variance 1; each is shown with
    the mean and variance of the true patch, as in figure 2 of He et al. 2022.

    Args:
        model: in evaluation mode.
        pixels: scenes (n, 3, 64, 64), uint8.

    Returns:
        The scenes with grey in place of the hidden patches, and with what the
        model draws there; as `pixels`.
    """
    patches = patchify(normalise(pixels.float() / 255))
    order = shuffle(len(patches), patches.shape[1], patches.device)
    guess, hidden = model.reconstruct(unpatchify(patches, SIZE), order)
    mean = patches.mean(-1, keepdim=True)
    spread = patches.std(-1, keepdim=True)
    grey, drawn = (
        unpatchify(torch.where(hidden[..., None], filler, patches), SIZE)
        for filler in (torch.zeros_like(guess), guess * spread + mean)
    )
    return to_pixels(grey), to_pixels(drawn)
