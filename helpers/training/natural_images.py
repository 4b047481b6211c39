"""The file of photographs that the natural models are trained on.

`prepare` decodes an image set once, by its spec, into small squares of bytes,
which `helpers.lab.photographs` reads.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from helpers.lab.architectures import NATURAL_CLASSES, SIZE
from helpers.lab.photographs import DEFAULT, SPLITS, content_digest, load, path
from helpers.runtime import paths


def prepare(spec: str = "") -> Path:
    """Make the file of photographs, unless it is there.

    Each picture is cropped to its middle square and brought to the side of
    the first one, at most 64 pixels. They are stored in random order, so the
    first rows are a sample.

    Args:
        spec: of the image set (`helpers.images`); CIFAR-10 by default.

    Raises:
        ValueError: a set without exactly ten classes, or a file that is there
            and was made of another set.
        FileNotFoundError, ConnectionError: as `images.load`.
    """
    file = path()
    if file.is_file():
        made_of = load().facts["spec"]
        if spec not in ("", made_of):
            raise ValueError(
                f"{file} was made of {made_of!r}, and the models beside it "
                f"learn from that; to train on {spec!r}, move {file.parent} "
                "away first"
            )
        return file
    from PIL import Image, ImageOps
    from tqdm import tqdm

    from helpers import images

    spec = spec or DEFAULT
    sets = {split: images.load(spec, split) for split in SPLITS}
    names = sets["train"].class_names
    if len(names) != NATURAL_CLASSES:
        raise ValueError(
            f"{spec} has {len(names)} classes; the natural models "
            f"are made for {NATURAL_CLASSES}, as cifar10 and imagenette have"
        )
    side = min(SIZE, *sets["train"][0].size)
    parts = {}
    for split, found in sets.items():
        pixels = np.empty((len(found), 3, side, side), np.uint8)
        labels = np.empty(len(found), np.int64)
        places = np.random.default_rng(0).permutation(len(found))
        for i, place in enumerate(tqdm(places, split, disable=None)):
            square = ImageOps.fit(
                found[i], (side, side), Image.Resampling.BICUBIC
            )
            pixels[place] = np.asarray(square).transpose(2, 0, 1)
            labels[place] = found.labels[i]
        parts[f"{split}.pixels"] = torch.from_numpy(pixels)
        parts[f"{split}.labels"] = torch.from_numpy(labels)
    facts = {
        "spec": spec,
        "classes": names,
        "licence": found.licence,
        "source": found.source,
        "sha256": content_digest(parts),
    }
    with paths.whole(file) as part:
        save_file(parts, part, {"facts": json.dumps(facts)})
    return file
