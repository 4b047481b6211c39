"""What a scene is made of: cut-outs, cloth, backgrounds, lines.

Everything is a function of a scene's key and of its draws in [0, 1), without
a generator (see `helpers.lab.scenes.hashing`). Not a texture library: the
backgrounds are mild, so that the garment remains what a scene is about.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.lab.scenes.fabrics import Fabric
from helpers.lab.scenes.hashing import uniform, words

SIDE = 64
"""Pixels along the sides of a scene."""


def _axis(device: torch.device) -> Tensor:
    """Centres of the pixels of a row, in [-1, 1]."""
    return (torch.arange(SIDE, device=device) + 0.5) * (2 / SIDE) - 1


def coordinates(factors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Give every pixel its place on the photograph, [-1, 1] inside.

    Sine and cosine are power series, exact enough for 25 degrees, since
    devices and vector widths disagree on the last bit of the library's.
    """
    t = factors["tilt"] * (torch.pi / 180)
    t2 = t * t
    sin = t * (1 - t2 / 6 * (1 - t2 / 20))
    cos = 1 - t2 / 2 * (1 - t2 / 12 * (1 - t2 / 30))
    x, y = (factors[name][:, None, None] for name in "xy")
    c, s = ((w / factors["size"])[:, None, None] for w in (cos, sin))
    p = _axis(t.device)
    return (
        c * (p - x) + s * (p[:, None] - y),
        c * (p[:, None] - y) - s * (p - x),
    )


def cut_out(image: Tensor, q_x: Tensor, q_y: Tensor) -> tuple[Tensor, Tensor]:
    """Cut out garments and find their shading.

    Args:
        image: (n, 28, 28) uint8 photographs.
        q_x: (n, 64, 64) places on them.
        q_y: the same.

    Returns:
        Opacity in [0, 1] and the factor that multiplies the fabric, both
        (n, 64, 64). Shading is standardised within the photograph (the sums
        are whole numbers, so exact), so black garments show it as well.
    """
    value = image[:, None].float()
    mask = F.max_pool2d((value > 4).float(), 3, 1, 1)
    mask = 1 - F.max_pool2d(1 - mask, 3, 1, 1)
    inside = image.long() * mask[:, 0].long()
    area = mask.sum((1, 2, 3)).clamp(min=1)
    mean = inside.sum((1, 2)).float() / area
    spread = (inside * inside).sum((1, 2)).float() / area - mean * mean
    spread = spread.clamp(min=20.0**2).sqrt()
    mean, spread = mean[:, None, None, None], spread[:, None, None, None]
    light = ((value - mean) / spread).clamp(-2, 1.5) * mask
    planes = torch.cat((F.avg_pool2d(mask, 3, 1, 1), light), 1)
    grid = torch.stack((q_x, q_y), -1)
    cover, light = F.grid_sample(planes, grid, align_corners=False).unbind(1)
    alpha = (4 * cover - 1.3).clamp(0, 1)
    rim = (1.25 * cover - 0.15).clamp(0, 1)
    return alpha, (0.86 + 0.28 * light) * rim


def _rgb(
    hue: Tensor, saturation: Tensor, low: float, high: float, u: Tensor
) -> Tensor:
    """Turn hue, saturation and lightness, all (n,), into (n, 3, 1, 1)."""
    lightness = low + (high - low) * u
    chroma = saturation * torch.minimum(lightness, 1 - lightness)
    k = torch.tensor([0.0, 8.0, 4.0], device=hue.device) + 12 * hue[:, None]
    k = k - 12 * (k / 12).floor()
    wave = torch.minimum(k - 3, 9 - k).clamp(-1, 1)
    return (lightness[:, None] - chroma[:, None] * wave)[:, :, None, None]


def cloth(
    u: dict[str, Tensor],
    fabric: Tensor,
    q_x: Tensor,
    q_y: Tensor,
    weaves: Sequence[Fabric],
) -> Tensor:
    """Weave fabrics in two contrasting colours: (n, 3, 64, 64) in [0, 1].

    Args:
        u: draws (n,) in [0, 1).
        fabric: (n,) places in `weaves`.
        q_x: (n, 64, 64) places on the garment, [-1, 1] inside.
        q_y: the same.
        weaves: the fabrics to choose from.
    """
    turn = 2 * u["turn"] - 1
    scale = (2 + 1.2 * u["frequency"]) / (1 + turn * turn)
    c, s = (1 - turn * turn) * scale, 2 * turn * scale
    c, s = c[:, None, None], s[:, None, None]
    along = c * q_x + s * q_y + (2 * u["phase_u"] - 1)[:, None, None]
    across = c * q_y - s * q_x + (2 * u["phase_v"] - 1)[:, None, None]
    pattern = torch.empty_like(along)
    for number, weave in enumerate(weaves):
        rows = (fabric == number).nonzero()[:, 0]
        pattern[rows] = weave(along[rows], across[rows])
    light = _rgb(
        u["hue_1"], 0.6 + 0.4 * u["saturation_1"], 0.62, 0.85, u["light_1"]
    )
    dark = _rgb(
        u["hue_2"], 0.4 + 0.6 * u["saturation_2"], 0.12, 0.35, u["light_2"]
    )
    swap = (u["swap"] < 0.5)[:, None, None, None]
    one, two = torch.where(swap, light, dark), torch.where(swap, dark, light)
    return one + pattern[:, None] * (two - one)


def _field(
    key: Tensor, ratio: Tensor, sizes: Sequence[int], salt: int
) -> Tensor:
    """Sum octaves of smoothed noise: (n, 1, last size, last size).

    Args:
        key: (n,) keys.
        ratio: (n,) amplitude of an octave, as a share of the one before.
        sizes: cells along the sides of the octaves, each twice the last.
        salt: sets apart the fields of one scene.
    """
    total, weight = torch.zeros(1, device=key.device), torch.ones_like(ratio)
    power = torch.zeros_like(ratio)
    for octave, size in enumerate(sizes):
        if octave:
            total = F.interpolate(
                total, scale_factor=2, mode="bilinear", align_corners=False
            )
            weight, power = weight * ratio, power * 0.6
        noise = uniform(words(key, size * size, salt + octave)) - 0.5
        noise = noise.view(-1, 1, size, size)
        total = total + weight[:, None, None, None] * noise
        power = power + weight * weight
    return total / power.sqrt()[:, None, None, None]


def _ground_colours(u: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Three colours of a background, each (n, 3, 1, 1)."""
    saturation = 0.1 + 0.35 * u["saturation"]
    side = 0.12 * (2 * u["sides"] - 1)
    far = u["hue"] + 0.35 + 0.3 * u["hue_far"]
    return (
        _rgb(u["hue"], saturation, 0.3, 0.6, u["light"]),
        _rgb(u["hue"] + side, saturation, 0.45, 0.8, u["depth"]),
        _rgb(far, saturation, 0.3, 0.7, u["light"]),
    )


def clouds(key: Tensor, u: dict[str, Tensor]) -> Tensor:
    """Coloured noise of falling spectrum: (n, 3, 64, 64) in about [0, 1]."""
    one, two, three = _ground_colours(u)
    ratio = 0.95 - 0.55 * u["coarseness"]
    fine = _field(key, ratio, (4, 8, 16, 32), 8)
    fine = F.interpolate(fine, SIDE, mode="bilinear", align_corners=False)
    broad = _field(key, ratio, (2, 4), 16)
    broad = F.interpolate(broad, SIDE, mode="bilinear", align_corners=False)
    return (
        one
        + (two - one) * (0.5 + 1.1 * fine)
        + (three - one) * (broad + 0.3).clamp(0, 1)
    )


def shapes(key: Tensor, u: dict[str, Tensor]) -> Tensor:
    """A colour gradient with discs, boxes: (n, 3, 64, 64) in [0, 1]."""
    one, two, three = _ground_colours(u)
    draw = uniform(words(key, 16, 24))[:, :, None, None]
    x = _axis(key.device)
    y = x[:, None]
    slope, tip = 2 * draw[:, 0:1] - 1, 2 * draw[:, 1:2] - 1
    ground = one + (two - one) * (0.5 + 0.4 * (slope * x + tip * y))
    for start, colour in ((2, three), (6, two), (10, one)):
        c_x, c_y, wide, kind = (draw[:, start + j, None] for j in range(4))
        a, b = (x - 2 * c_x + 1).abs(), (y - 2 * c_y + 1).abs()
        reach = torch.where(kind < 0.5, (a * a + b * b).sqrt(), a.maximum(b))
        cover = (16 * (0.25 + 0.4 * wide - reach)).clamp(0, 1)
        ground = ground + cover * (colour - ground) * 0.8
    return ground


def sketch(scene: Tensor, alpha: Tensor) -> Tensor:
    """Dark lines on white where the garment's colour changes."""

    def slope(planes: Tensor) -> Tensor:
        padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
        across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
        down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
        return across.abs().maximum(down.abs()).amax(1, keepdim=True)

    inner = 1.6 * slope(scene) * alpha[:, None]
    line = inner.maximum(slope(alpha[:, None])).clamp(0, 1)
    return (1 - 0.9 * line).expand(-1, 3, -1, -1)
