"""The image sets of the lab: its scenes, and the pictures beside them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from helpers.images.found import Found, Index, Source, rows_of
from helpers.lab import photographs, wardrobe
from helpers.runtime.errors import unknown


def source(spec: str) -> Source:
    """Parse the name of a set of the lab.

    Raises:
        ValueError: an unknown variant, or no set of this name.
        FileNotFoundError: the photographs were not prepared.
    """
    name, _, variant = spec.partition(":")
    if name == "wardrobe":
        if variant not in ("", *wardrobe.VARIANTS):
            raise unknown("variant of wardrobe", variant, wardrobe.VARIANTS)
        return Source(lambda split, *_: scenes(variant or "none", split))
    if spec == photographs.SPEC:
        photographs.check()
    return Source(lambda split, *_: SETS[spec](split))


def digits(split: str) -> Found:
    """Find scikit-learn's handwritten digits, 8 by 8 pixels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = np.round(data.images * (255 / 16)).astype(np.uint8)
    return Found(
        rows_of(len(grey), split),
        data.target.astype(np.int64),
        tuple(map(str, data.target_names)),
        lambda rows: [Image.fromarray(grey[i]).convert("RGB") for i in rows],
        "CC BY 4.0",
        "Optical Recognition of Handwritten Digits (UCI), scikit-learn",
    )


def fashion_mnist(split: str) -> Found:
    """Find the photographs the lab's scenes are composed from, 28 by 28.

    They are grey, without fabric or background; the part of Fashion-MNIST
    that `data/make_garments.py` keeps.
    """
    pixels, first = wardrobe.photographs(split)
    grey = pixels.numpy()
    return Found(
        np.arange(len(grey)),
        np.repeat(np.arange(len(first) - 1), np.diff(first)),
        wardrobe.GARMENTS,
        lambda rows: [Image.fromarray(grey[i]).convert("RGB") for i in rows],
        "MIT",
        "Fashion-MNIST (Zalando SE), its clear part",
    )


def natural(split: str) -> Found:
    """Find the photographs of a split, as other image sets are found.

    Raises:
        FileNotFoundError, ValueError: as `photographs.load`.
    """
    known = photographs.load()
    pixels = known.pixels[split].permute(0, 2, 3, 1)
    return Found(
        np.arange(len(pixels)),
        known.labels[split].numpy(),
        tuple(known.facts["classes"]),
        lambda rows: [Image.fromarray(pixels[i].numpy()) for i in rows],
        known.facts["licence"],
        known.facts["source"],
    )


def scenes(variant: str, split: str) -> Found:
    """Find the lab's composed scenes, with the truth about each of them.

    Args:
        variant: one of `wardrobe.VARIANTS`.
        split: `train` or `test`.
    """

    def read(where: Index) -> list[Image.Image]:
        scenes = wardrobe.compose(split, where, variant=variant)
        pixels = scenes.pixels.permute(0, 2, 3, 1).numpy()
        return [Image.fromarray(picture) for picture in pixels]

    rows = np.arange(wardrobe.SIZES[split])
    known = wardrobe.factors(split, rows, variant=variant)
    targets = {name: values.numpy() for name, values in known.items()}
    fabrics = (
        wardrobe.UNSEEN_FABRICS
        if variant == "unseen_fabrics"
        else wardrobe.FABRICS
    )
    classes = tuple(f"{g}, {f}" for g in wardrobe.GARMENTS for f in fabrics)
    return Found(
        rows,
        targets["class"],
        classes,
        read,
        "MIT (photographs: Fashion-MNIST, Zalando SE)",
        "composed by helpers.lab.wardrobe from Fashion-MNIST",
        targets,
        {"garment": wardrobe.GARMENTS, "fabric": fabrics, "class": classes},
    )


BUNDLED = {"digits": digits, "fashion_mnist": fashion_mnist}
SETS = BUNDLED | {photographs.SPEC: natural}
