"""Choose the photographs of `garments.npz` from Fashion-MNIST.

Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747) holds 70,000
grey photographs of 28 x 28 pixels. Many of its labels cannot be told from
the picture (shirt, T-shirt, pullover and coat look alike), so a network could
not reach high accuracy on them, however good it is. We keep the photographs
whose label the other photographs confirm:

- Every photograph is compared with all of the *train* split but itself, by
  Euclidean distance between pixels, and must have the label that at least
  VOTES of its NEIGHBOURS nearest ones have (all that are as near as the last
  of them vote, and VOTES is then a share).
- Of those that remain the first PER_CLASS of each class are taken, in the
  order of the files: train photographs from the train split, test photographs
  from the test split, so that no photograph is in both.
- Brightness is rounded to 6 bits (0, 4, ..., 252), and pixels up to 4 of 255
  are taken for background. This makes the file a third smaller, and the
  distances exact integers in float32: every machine chooses the same.

So accuracy on these photographs is not comparable with accuracy on
Fashion-MNIST: they are its clearer part.

The file holds `train_images` (n, 28, 28) uint8, `train_labels` (n,) uint8,
`test_images` and `test_labels`, sorted by class.

    python data/make_garments.py [FOLDER] [OUT]

FOLDER holds the four files of Debian's package dataset-fashion-mnist.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path("/usr/share/datasets/fashion-mnist")
OUT = Path(__file__).resolve().parent / "garments.npz"
PER_CLASS = {"train": 1600, "test": 400}
NEIGHBOURS = 10
VOTES = 7
SPLITS = {"train": "train", "test": "t10k"}

Bytes = NDArray[np.uint8]


def read(folder: Path, split: str) -> tuple[Bytes, Bytes]:
    """Read one split: images (n, 28, 28) and labels (n,), both uint8."""
    stem = folder / SPLITS[split]
    with gzip.open(f"{stem}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16)
    with gzip.open(f"{stem}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images.reshape(-1, 28, 28), labels


def six_bits(images: Bytes) -> Bytes:
    """Round to multiples of 4, dark background to 0."""
    rounded = (np.minimum(images, 253) + 2) // 4 * 4
    return np.where(images <= 4, 0, rounded).astype(np.uint8)


def confirmed(
    images: Bytes, labels: Bytes, bank: Bytes, names: Bytes, itself: bool
) -> NDArray[np.bool_]:
    """Tell which labels the nearest photographs of the bank confirm.

    Args:
        images: (n, 28, 28) photographs in question.
        labels: (n,) their labels.
        bank: (m, 28, 28) photographs that vote.
        names: (m,) their labels.
        itself: whether image i is also entry i of the bank, which then
            does not vote.

    Returns:
        (n,) booleans.
    """
    x, y = (
        (a.reshape(len(a), -1) // 4).astype(np.float32) for a in (images, bank)
    )
    length = np.square(y).sum(1)
    kept = np.zeros(len(x), bool)
    for start in range(0, len(x), 1000):
        rows = slice(start, min(start + 1000, len(x)))
        far = length - 2 * (x[rows] @ y.T)
        if itself:
            far[np.arange(len(far)), np.arange(len(x))[rows]] = np.inf
        last = np.partition(far, NEIGHBOURS - 1)[:, NEIGHBOURS - 1]
        row, voter = np.nonzero(far <= last[:, None])
        agree = names[voter] == labels[rows][row]
        share = np.bincount(row, agree) / np.bincount(row)
        kept[rows] = share >= VOTES / NEIGHBOURS
    return kept


def choose(folder: Path, split: str) -> tuple[Bytes, Bytes]:
    """Choose the photographs of one split: images and labels."""
    bank, names = read(folder, "train")
    images, labels = read(folder, split)
    bank, images = six_bits(bank), six_bits(images)
    kept = confirmed(images, labels, bank, names, split == "train")
    count = PER_CLASS[split]
    rows = [
        np.flatnonzero(kept & (labels == label))[:count] for label in range(10)
    ]
    few = [label for label, row in enumerate(rows) if len(row) < count]
    if few:
        raise ValueError(f"{split}: under {count} of the classes {few}")
    chosen = np.concatenate(rows)
    return images[chosen], labels[chosen]


def main(folder: Path = FOLDER, out: Path = OUT) -> None:
    """Write the file; the same input gives the same bytes."""
    arrays: dict[str, Bytes] = {}
    for split in PER_CLASS:
        images, labels = choose(folder, split)
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
