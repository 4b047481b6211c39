"""Augmentations for whole batches, on the device where the batch lies.

Every image of a batch gets its own draw; all draws come from torch's global
generator, so a seeded step is a repeatable step.

Do not use it for evaluation: measured images are never augmented.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.training.settings import Augmentation

_YIQ = torch.tensor(
    [
        [0.299, 0.587, 0.114],
        [0.5959, -0.2746, -0.3213],
        [0.2115, -0.5227, 0.3112],
    ]
)
"""RGB to brightness and two colour axes (NTSC)."""

TAPS = 7


def _uniform(x: Tensor, low: float, high: float) -> Tensor:
    """Draw one number per image, shape (n,)."""
    return torch.empty(len(x), device=x.device).uniform_(low, high)


def _chance(x: Tensor, probability: float) -> Tensor:
    """Draw one coin an image, shape (n,), bool."""
    return torch.rand(len(x), device=x.device) < probability


def crop(
    x: Tensor, scale: tuple[float, float], flip: float, size: int
) -> Tensor:
    """Cut a random part of each image and resize it.

    Args:
        x: images (n, c, h, w).
        scale: smallest and largest share of the area; the sides keep a ratio
            between 3/4 and 4/3 as far as the image allows.
        flip: chance of a mirror image.
        size: side of the result, pixels.

    Returns:
        Images (n, c, size, size), bilinear.
    """
    area = _uniform(x, *scale)
    ratio = torch.exp(_uniform(x, math.log(3 / 4), math.log(4 / 3)) / 2)
    height = (area.sqrt() * ratio).clamp(max=1.0)
    height = torch.maximum(height, area)
    width = area / height
    down = _uniform(x, -1, 1) * (1 - height)
    right = _uniform(x, -1, 1) * (1 - width)
    mirrored = torch.where(_chance(x, flip), -width, width)
    zero = torch.zeros_like(area)
    rows = [mirrored, zero, right, zero, height, down]
    theta = torch.stack(rows, dim=1).view(-1, 2, 3)
    shape = (len(x), x.shape[1], size, size)
    grid = F.affine_grid(theta, list(shape), align_corners=False)
    return F.grid_sample(
        x, grid, padding_mode="reflection", align_corners=False
    )


def colours(x: Tensor, how: Augmentation) -> Tensor:
    """Change brightness, contrast, saturation and hue; sometimes to grey.

    Saturation and hue scale and turn the two colour axes of YIQ, so all of it
    but contrast and clipping is one 3 x 3 matrix an image.
    """
    on = _chance(x, how.colour).float()
    light = 1 + on * _uniform(x, -how.brightness, how.brightness)
    contrast = 1 + on * _uniform(x, -how.contrast, how.contrast)
    chroma = 1 + on * _uniform(x, -how.saturation, how.saturation)
    chroma = chroma * (~_chance(x, how.grey))
    angle = on * _uniform(x, -how.hue, how.hue) * 2 * math.pi
    turn = torch.zeros(len(x), 3, 3, device=x.device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = chroma * angle.cos()
    turn[:, 2, 1] = chroma * angle.sin()
    turn[:, 1, 2] = -turn[:, 2, 1]
    yiq = _YIQ.to(x.device)
    matrix = light[:, None, None] * (yiq.inverse() @ turn @ yiq)
    out = torch.bmm(matrix, x.flatten(2)).view_as(x)
    grey = (out * yiq[0].view(3, 1, 1)).sum(1, keepdim=True)
    middle = grey.mean((2, 3), keepdim=True)
    out = middle + contrast.view(-1, 1, 1, 1) * (out - middle)
    return out.clamp(0, 1)


def blur(x: Tensor, chance: float, sigma: tuple[float, float]) -> Tensor:
    """Blur some images, each with its own Gaussian of 7 taps a side."""
    width = _uniform(x, *sigma)
    offset = torch.arange(TAPS, device=x.device) - TAPS // 2
    weight = torch.exp(-0.5 * (offset / width[:, None]) ** 2)
    weight = weight / weight.sum(1, keepdim=True)
    identity = (offset == 0).float().expand_as(weight)
    weight = torch.where(_chance(x, chance)[:, None], weight, identity)
    half = TAPS // 2
    for axis, pad in ((3, (half, half, 0, 0)), (2, (0, 0, half, half))):
        padded = F.pad(x, pad, mode="reflect")
        length = x.shape[axis]
        x = torch.zeros_like(x)
        for tap in range(TAPS):
            part = padded.narrow(axis, tap, length)
            x = torch.addcmul(x, part, weight[:, tap].view(-1, 1, 1, 1))
    return x


def solarise(x: Tensor, chance: float) -> Tensor:
    """Invert the values above one half in some images."""
    some = _chance(x, chance).view(-1, 1, 1, 1)
    return torch.where(some & (x > 0.5), 1 - x, x)


def augment(x: Tensor, how: Augmentation, size: int = 64) -> Tensor:
    """Draw one view of each image.

    Args:
        x: images (n, 3, h, w) with values in [0, 1].
        how: the settings.
        size: side of the view, pixels.

    Returns:
        Views (n, 3, size, size) with values in [0, 1].
    """
    if how.scale != (1.0, 1.0) or how.flip or size != x.shape[-1]:
        x = crop(x, how.scale, how.flip, size)
    if how.colour or how.grey:
        x = colours(x, how)
    if how.blur:
        x = blur(x, how.blur, how.sigma)
    if how.solarise:
        x = solarise(x, how.solarise)
    return x
