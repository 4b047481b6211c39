"""Would an edition get through? Its models untrained, its pages small.

Models, layers, tokens and choices of method are those of the edition, so that
what does not fit shows; images, targets and numbers are those of the edition
`smoke`, so that nothing is fetched and a page takes seconds to minutes. Its
results mean nothing. What depends on the size of a run, memory above all, is
not tried: see `vitscope run EDITION --plan`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import helpers.editions.jobs as jobs
from helpers import models
from helpers.editions.edition import Edition, load, own_name
from helpers.editions.parameters import IMAGES, MODEL, Parameter
from helpers.lab import wardrobe

SMALL = "smoke"
FEW = {"num_images": 16, "batch_size": 8}
"""Two minibatches, where a page needs no more: full models are slow."""
NUMBERS = ("int", "float", "list[int]", "list[float]")


def rehearsal(edition: Edition, root: Path) -> Edition:
    """Make the small edition that shows whether a large one would run.

    Args:
        edition: the edition.
        root: the checkout.

    Returns:
        An edition of its own name, so of its own folder.

    Raises:
        ValueError: what `editions.plan` refuses, or an edition of the book
            that has this name.
    """
    name = own_name(f"{edition.name}-{SMALL}")
    tests = load(SMALL, root)
    tests = replace(tests, parameters={**tests.parameters, **FEW})
    small = {job.page: job.parameters for job in jobs.plan(tests, root)}
    pages = {
        job.page: {
            own.name: _value(
                own, job.parameters[own.name], small[job.page][own.name]
            )
            for own in job.declared.values()
        }
        for job in jobs.plan(edition, root)
    }
    title = f"{edition.title}: smoke"
    return Edition(name, title, {}, pages, edition.left_out)


def _value(own: Parameter, value: Any, small: Any) -> Any:
    """Choose between the edition's value and the one for tests."""
    if own.help.startswith(MODEL):
        return _each(models.untrained, value)
    images = own.help.startswith(IMAGES)
    if images and isinstance(value, list):
        return _as_many([*small, *own.default], len(value))
    if images or own.kind in NUMBERS or own.name.startswith("target"):
        return small
    return value


def _each(change: Callable[[str], str], value: Any) -> Any:
    if isinstance(value, list):
        return [change(spec) for spec in value]
    return change(value) if value else value


def _as_many(specs: Sequence[str], count: int) -> list[str]:
    """Take that many bundled image sets, no two alike."""
    scenes = [f"wardrobe:{v}" for v in wardrobe.VARIANTS if v != "none"]
    return list(dict.fromkeys([*specs, *scenes]))[:count]
