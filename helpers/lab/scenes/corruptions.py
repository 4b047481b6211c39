"""Five corruptions of five severities, for scenes and other pictures.

After ImageNet-C (Hendrycks and Dietterich 2019, arXiv:1903.12261): contrast,
noise and speckle with its constants, motion blur and snow in its manner but
for small pictures (their lengths are a share of the shorter side; snow is
drawn directly). Do not compare the accuracies with those on ImageNet-C.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.lab.scenes.hashing import normal, uniform, words
from helpers.lab.scenes.scenery import SIDE


def _normal(key: Tensor, scene: Tensor) -> Tensor:
    """Standard normal noise of the scene's shape."""
    size = scene[0].numel()
    drawn = normal(words(key, (size + 1) // 2, 64))
    return drawn[:, :size].view_as(scene)


def _smear(planes: Tensor, key: Tensor, length: float, taps: int) -> Tensor:
    """Average along a line of random direction.

    Args:
        planes: (n, c, h, w).
        key: (n,) keys that choose the direction.
        length: of the line, in pixels.
        taps: points of the line.
    """
    n, _, height, width = planes.shape
    t = 2 * uniform(words(key, 1, 65))[:, :1] - 1
    heading = torch.cat((1 - t * t, 2 * t), 1) / (1 + t * t)
    still = torch.eye(2, 3, device=planes.device).expand(n, 2, 3).contiguous()
    total = torch.zeros_like(planes)
    for tap in range(taps):
        where = still.clone()
        offset = length * (tap / (taps - 1) - 0.5)
        where[:, :, 2] = heading * (2 * offset / width)
        grid = F.affine_grid(where, [n, 1, height, width], False)
        total += F.grid_sample(
            planes, grid, padding_mode="border", align_corners=False
        )
    return total / taps


def contrast(scene: Tensor, key: Tensor, severity: int) -> Tensor:
    """Pull every channel towards its mean."""
    kept = (0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1]
    whole = (scene * 255).round().long().sum((2, 3), keepdim=True)
    mean = whole.float() / (255 * scene[0, 0].numel())
    return mean + kept * (scene - mean)


def gaussian_noise(scene: Tensor, key: Tensor, severity: int) -> Tensor:
    """Add noise."""
    spread = (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1]
    return scene + spread * _normal(key, scene)


def speckle_noise(scene: Tensor, key: Tensor, severity: int) -> Tensor:
    """Add noise in proportion to brightness."""
    spread = (0.15, 0.2, 0.35, 0.45, 0.6)[severity - 1]
    return scene + spread * scene * _normal(key, scene)


def motion_blur(scene: Tensor, key: Tensor, severity: int) -> Tensor:
    """Average along a line."""
    share = (4, 6, 9, 12, 16)[severity - 1] / SIDE
    length = round(share * min(scene.shape[2:]))
    return _smear(scene, key, length, length + 1)


def snow(scene: Tensor, key: Tensor, severity: int) -> Tensor:
    """Whiten, and add flakes that fall in one direction."""
    share, veil = (
        (0.02, 0.15),
        (0.035, 0.2),
        (0.05, 0.3),
        (0.07, 0.35),
        (0.09, 0.4),
    )[severity - 1]
    n, _, *size = scene.shape
    height, width = (round(SIDE * side / min(size)) for side in size)
    draw = uniform(words(key, height * width, 66)).view(n, 1, height, width)
    flakes = F.max_pool2d((draw < share).float(), 2, 1)
    flakes = _smear(F.pad(flakes, (0, 1, 0, 1)), key, 6, 7)
    flakes = F.interpolate(flakes, size, mode="bilinear")
    grey = (scene[:, :1] + scene[:, 1:2] + scene[:, 2:]) / 3
    misty = scene + veil * ((1.5 * grey + 0.5).clamp(max=1) - scene).clamp(
        min=0
    )
    return misty + (1.5 * flakes).clamp(max=1) * (1 - misty)


CORRUPTIONS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    f.__name__: f
    for f in (contrast, gaussian_noise, motion_blur, snow, speckle_noise)
}


def corrupt(scene: Tensor, key: Tensor, name: str, severity: int) -> Tensor:
    """Corrupt scenes.

    Args:
        scene: (n, 3, h, w) in [0, 1].
        key: (n,) keys of the scenes: the same key, the same corruption.
        name: one of CORRUPTIONS.
        severity: 1 to 5.

    Returns:
        (n, 3, h, w), which may leave [0, 1].
    """
    return CORRUPTIONS[name](scene, key, severity)
