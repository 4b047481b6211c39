"""The one kind of image set that the measurements take.

Images are decoded and prepared on worker threads, one batch ahead of the
model. Do not use `Images` for training: it holds no augmentation.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from helpers.images.found import Index, Read
from helpers.runtime.errors import whole_number

if TYPE_CHECKING:
    from helpers.models.vision_model import VisionModel

AHEAD = 2  # batches in preparation while the model works


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one split, in a fixed order.

    Attributes:
        spec: the string they were loaded from.
        split: `train` or `test`.
        labels: (n,) class of each image.
        class_names: one name per class.
        targets: everything known of each image, name -> (n,); for
            `wardrobe` the factors it was composed from.
        target_names: the names of the values of categorical targets.
        licence: under which terms the images may be used.
        source: where they come from.
        index: (n,) position of each image in the whole split; in the files
            drawn, where a set of the hub is too large to be fetched whole.
    """

    spec: str
    split: str
    labels: Index
    class_names: tuple[str, ...]
    targets: dict[str, NDArray[Any]]
    target_names: dict[str, tuple[str, ...]]
    licence: str
    source: str
    index: Index
    _read: Read

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> Image.Image:
        """Return image i of this set, an RGB picture."""
        return self._read(self.index[[i]])[0]

    def part(self, where: slice) -> Images:
        """Return a run of these images, a set of its own."""
        return replace(
            self,
            labels=self.labels[where],
            targets={name: y[where] for name, y in self.targets.items()},
            index=self.index[where],
        )

    def batches(
        self,
        *models: VisionModel,
        batch_size: int,
        drop_last: bool = False,
    ) -> Iterator[tuple[Index, list[Tensor]]]:
        """Iterate over the images, prepared for each model.

        All models see the same images in the same order; models with equal
        preprocessing share the same tensor.

        Args:
            *models: whose preprocessing and devices to use.
            batch_size: images in a batch.
            drop_last: whether to leave out an incomplete last batch.

        Raises:
            ValueError: a batch size that is no whole number from 1.

        Yields:
            Positions in this set (b,), and for each model a batch
            (b, 3, h, w) on its device.
        """
        batch_size = whole_number("batch_size", batch_size, least=1)
        ways = {str(model.preprocessing): model for model in models}
        workers = max(1, min(8, (os.cpu_count() or 2) - 1))
        total = len(self)
        last = total - (batch_size - 1 if drop_last else 0)
        runs = [
            np.arange(start, min(start + batch_size, total))
            for start in range(0, last, batch_size)
        ]
        with ThreadPoolExecutor(workers) as pool:

            def submit(where: Index) -> list[Future[list[list[Tensor]]]]:
                work = partial(self._prepare, list(ways.values()))
                parts = np.array_split(where, min(workers, len(where)))
                return [pool.submit(work, part) for part in parts]

            queue = deque(map(submit, runs[:AHEAD]))
            try:
                for k, where in enumerate(runs):
                    queue.extend(map(submit, runs[k + AHEAD : k + AHEAD + 1]))
                    done = [job.result() for job in queue.popleft()]
                    ready = {
                        key: torch.stack([x for part in done for x in part[i]])
                        for i, key in enumerate(ways)
                    }
                    yield (
                        where,
                        [
                            ready[str(m.preprocessing)].to(m.device)
                            for m in models
                        ],
                    )
            finally:
                pool.shutdown(cancel_futures=True)

    def seen_by(self, model: VisionModel) -> NDArray[np.uint8]:
        """Return the images as a model sees them, resized and cropped.

        Returns:
            (n, height, width, 3) pixels; all in memory, so for a few images.
        """
        x = torch.cat([x for _, (x,) in self.batches(model, batch_size=32)])
        mean, std = (
            torch.tensor(model.preprocessing[key], device=x.device)
            for key in ("mean", "std")
        )
        pixels = (x.permute(0, 2, 3, 1) * std + mean).clamp(0, 1) * 255
        seen: NDArray[np.uint8] = pixels.round().byte().cpu().numpy()
        return seen

    def _prepare(
        self, models: Sequence[VisionModel], where: Index
    ) -> list[list[Tensor]]:
        pictures = self._read(self.index[where])
        return [[m.transform(p) for p in pictures] for m in models]
