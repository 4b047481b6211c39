"""Cost of the permutation null over that of the measurement it belongs to.

`make bench` prints the ratio for 200 permutations of a 12 x 12 map over 1,024
images of the lab: CPU seconds, one thread, the best of three.
"""

import time

import torch

from helpers import images, models
from helpers.cka import grams, nulls

GOAL = 0.10


def main() -> None:
    """Print the ratio."""
    scenes = images.load("wardrobe", limit=1024)
    specs = ("lab/vit_cls?random", "lab/vit_gap?random")
    nets = {spec: models.load(spec) for spec in specs}
    spent = {"measurement": [], "null": []}
    for _ in range(3):
        start = time.process_time()
        x, y = grams.collect(nets, scenes).values()
        grams.similarity(x, y)
        spent["measurement"].append(time.process_time() - start)
        start = time.process_time()
        nulls.permutation_null(x, y, 200)
        spent["null"].append(time.process_time() - start)
    measured, null = (min(times) for times in spent.values())
    print("\nnull of 200 permutations, 12 x 12 layers, 1,024 images")
    print(
        f"  measurement {measured:.2f} s, null {null:.2f} s: "
        f"{null / measured:.3f} of it (goal {GOAL})"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    main()
