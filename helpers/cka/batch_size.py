"""Studies of the ruler itself: minibatch sizes and numbers of images.

One forward pass feeds a `MinibatchCKA` for every minibatch size, in groups of
images that are independent samples: the Gram matrix of a minibatch is a block
of that of its group. Do not use it to compare two models: the Gram matrix of
a whole group costs more than those of its minibatches, see `cka.compare`.
"""

from collections.abc import Iterable, Sequence

from helpers.cka.comparison import Similarity
from helpers.cka.hsic import gram
from helpers.cka.minibatch import MinibatchCKA
from helpers.features.arguments import checked
from helpers.features.record import record
from helpers.images.image_set import Images
from helpers.models.vision_model import VisionModel

Group = dict[int, MinibatchCKA]


@checked
def groups(
    model_x: VisionModel,
    model_y: VisionModel,
    images: Images,
    sizes: Sequence[int],
    group_size: int,
) -> list[Group]:
    """Measure CKA apart for groups of images and sizes of minibatches.

    Args:
        model_x: the first model.
        model_y: the second one.
        images: an incomplete last group is left out.
        sizes: minibatch sizes, divisors of `group_size`.
        group_size: images in a group.

    Returns:
        For each group, a measurement of all block outputs, tokens flattened,
        by minibatch size.

    Raises:
        ValueError: a size that does not divide the group, or fewer images
            than one group.
    """
    odd = [size for size in sizes if group_size % size]
    if odd or len(images) < group_size:
        raise ValueError(
            f"a group of {group_size} images must be a multiple of each "
            f"minibatch size (not of {odd}) and at most the {len(images)} "
            "images at hand"
        )
    found = []
    for _, (x, y) in images.batches(
        model_x, model_y, batch_size=group_size, drop_last=True
    ):
        with (
            record(model_x, "out", reduce=gram) as in_x,
            record(model_y, "out", reduce=gram) as in_y,
        ):
            model_x(x)
            model_y(y)
        group = {size: MinibatchCKA() for size in sizes}
        for size, part in group.items():
            for i in range(0, group_size, size):
                block = slice(i, i + size)
                part.update_grams(
                    [g[block, block] for g in in_x.values()],
                    [g[block, block] for g in in_y.values()],
                )
        found.append(group)
    return found


def merged(parts: Iterable[MinibatchCKA]) -> Similarity:
    """Compute CKA on the minibatches of several measurements together."""
    total = MinibatchCKA()
    for part in parts:
        total.merge(part)
    return total.compute()
