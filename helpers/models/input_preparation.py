"""From what people have of a model's preprocessing to six settings.

The settings are those of timm: input size, mean, std, interpolation, and how
the image is cropped. Not for transforms of training, which draw at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL.Image import Resampling

from helpers.runtime.errors import unknown

SETTINGS = (
    *("input_size", "mean", "std"),
    *("interpolation", "crop_pct", "crop_mode"),
)
NEEDED = SETTINGS[:3]
USUAL = {"interpolation": "bicubic", "crop_pct": 0.875, "crop_mode": "center"}
HINT = (
    "give preprocessing={'input_size': 224, 'mean': (0.485, 0.456, 0.406), "
    "'std': (0.229, 0.224, 0.225)} with its own numbers, the transforms() of "
    "torchvision's weights, or the image processor of transformers"
)


def settings(given: Any, what: str) -> dict[str, Any]:
    """Read the preprocessing that a model needs.

    Args:
        given: a mapping with `input_size` (pixels, or (3, h, w)), `mean` and
            `std`, and if wanted `interpolation` (bicubic by default),
            `crop_pct` (0.875) and `crop_mode` (`center`); or the transforms
            of torchvision's weights; or an image processor of `transformers`.
        what: the model, for errors.

    Returns:
        One value for each of SETTINGS.

    Raises:
        ValueError: a setting that is missing, unknown or of a wrong form, or
            an object that is none of these.
    """
    if isinstance(given, Mapping):
        found = dict(given)
    elif hasattr(given, "image_mean"):
        found = _of_processor(given, what)
    elif hasattr(given, "crop_size") and hasattr(given, "mean"):
        found = _of_torchvision(given)
    else:
        kind = "nothing" if given is None else f"a {type(given).__name__}"
        raise ValueError(
            f"{what} does not tell how its pictures are prepared, and "
            f"preprocessing is {kind}; {HINT}"
        )
    for name in found:
        if name not in SETTINGS:
            raise unknown(
                f"setting of the preprocessing of {what}:", name, SETTINGS
            )
    if lacking := [name for name in NEEDED if name not in found]:
        raise ValueError(
            f"the preprocessing of {what} lacks {', '.join(lacking)}; {HINT}"
        )
    size = found["input_size"]
    size = (3, size, size) if isinstance(size, int) else tuple(size)
    if len(size) != 3 or size[0] != 3 or not all(n >= 1 for n in size):
        raise ValueError(
            f"input_size of {what} is {found['input_size']!r}; expected a "
            "number of pixels, or (3, height, width)"
        )
    for name in ("mean", "std"):
        found[name] = tuple(map(float, found[name]))
        if len(found[name]) != 3:
            raise ValueError(
                f"{name} of {what} has {len(found[name])} numbers; expected "
                "one for each of red, green and blue"
            )
    return USUAL | found | {"input_size": size}


def _of_torchvision(given: Any) -> dict[str, Any]:
    """Read torchvision's transforms for evaluation: resize, then crop."""
    (crop,), (resize,) = given.crop_size, given.resize_size
    return {
        "input_size": crop,
        "mean": given.mean,
        "std": given.std,
        "interpolation": given.interpolation.value,
        "crop_pct": _share(crop, resize),
    }


def _of_processor(given: Any, what: str) -> dict[str, Any]:
    """Read an image processor of `transformers`."""
    scale = getattr(given, "rescale_factor", 1 / 255)
    if abs(scale * 255 - 1) > 1e-6:
        raise ValueError(
            f"the image processor of {what} multiplies pixels by {scale}; "
            "only 1/255 can be read: give the settings as a mapping"
        )
    normal = given.do_normalize
    size = dict(given.size)
    crop = dict(given.crop_size) if _crops(given) else size
    if not {"height", "width"} <= crop.keys():
        raise ValueError(
            f"the image processor of {what} keeps no fixed size "
            f"({size}), so that images have varying numbers of tokens; "
            "choose a model of one size, or give the settings as a mapping"
        )
    high, wide = crop["height"], crop["width"]
    shape = {"crop_mode": "squash", "crop_pct": 1.0}
    if edge := size.get("shortest_edge"):
        shape = {"crop_mode": "center", "crop_pct": _share(high, edge)}
    return shape | {
        "input_size": (3, high, wide),
        "mean": given.image_mean if normal else (0, 0, 0),
        "std": given.image_std if normal else (1, 1, 1),
        "interpolation": Resampling(int(given.resample)).name.lower(),
    }


def _crops(given: Any) -> bool:
    return bool(getattr(given, "do_center_crop", False) and given.crop_size)


def _share(crop: int, resize: int) -> float:
    """Say which share of the resized image is kept.

    timm divides by it and rounds down: half a pixel keeps it from losing one.
    """
    return crop / (resize + 0.5)
