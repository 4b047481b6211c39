"""What measurements take: models, images, and nothing that looks like them.

A spec, a module, a list or a DataLoader in their place is refused at the
door, with the way to make of it what is wanted, and not by an error about a
missing attribute after minutes of work.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from helpers.runtime.errors import wrong_kind

if TYPE_CHECKING:
    from helpers.images.image_set import Images

P = ParamSpec("P")
R = TypeVar("R")

# What measurements read of each kind that nothing else has, and the way to it.
EXPECTED = {
    "VisionModel": (
        "taps",
        "a model, from models.load(SPEC), or from models.wrap(MODULE, NAME) "
        "for a module of your own",
    ),
    "Images": (
        "batches",
        "one set of images, from images.load(SPEC); pictures of your own go "
        "into a folder or a parquet file",
    ),
}
ANNOTATION = re.compile(
    rf"(<class ')?([\w.]+\.)?(?P<kind>{'|'.join(EXPECTED)})('>)?"
    r"(?P<optional> \| None)?"
)
"""A name, where annotations are kept as text, or a class."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function refuse arguments that are no models or images.

    Args:
        function: whose parameters are annotated `VisionModel`, perhaps
            `| None`, or `Images`; others are left alone.

    Returns:
        The function, which raises TypeError for them.
    """
    parameters = inspect.signature(function).parameters
    wanted = {
        name: (*EXPECTED[found["kind"]], bool(found["optional"]))
        for name, parameter in parameters.items()
        if (found := ANNOTATION.fullmatch(str(parameter.annotation)))
    }

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = dict(zip(parameters, args, strict=False)) | kwargs
        for name in wanted.keys() & given.keys():
            mark, expected, optional = wanted[name]
            value = given[name]
            if not (hasattr(value, mark) or (optional and value is None)):
                raise wrong_kind(name, value, expected)
        return function(*args, **kwargs)

    return call


def settings_of(images: Images) -> dict[str, Any]:
    """Say which images were measured, for the settings of a table."""
    return {
        "images": images.spec,
        "split": images.split,
        "num_images": len(images),
    }
