"""The command of `vitscope` that reports on models."""

import hashlib
import json
import re
from typing import Annotated

import typer

from helpers.editions.command_line import (
    Parameterised,
    app,
    pairs,
    setting,
    with_torch,
)

LONGEST = 120
"""Letters in the name of a report, before a digest takes over."""

CORRUPTIONS = "contrast-3", "motion_blur-3", "gaussian_noise-3"
"""Shifts of images that are not the lab's."""

LARGEST = 384
SMALLER = 224
"""Pixels a side: where images are larger than the first, a report on a model
that can take smaller ones gives it the second."""


def report_name(given: list[tuple[str, str]]) -> str:
    """Name the edition of a report after its model and other parameters."""
    (_, model), *others = given
    words = ["inspect", model, *(f"{n} {value}" for n, value in others)]
    name = re.sub(r"[^\w]+", "-", " ".join(words)).strip("-")
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(" ".join(words).encode()).hexdigest()[:12]
    return f"{name[:LONGEST]}-{digest}"


def _affordable(spec: str) -> str:
    """Ask for smaller images where a model's own are large; say so."""
    from helpers.editions.required_files import bare

    try:
        side = bare(spec).preprocessing["input_size"][-1]
    except (ValueError, OSError):
        return spec  # its page says what is wrong with it
    if "img_size=" in spec or side <= LARGEST:
        return spec
    own, smaller = (
        f"{spec}{'&' if '?' in spec else '?'}img_size={pixels}"
        for pixels in (side, SMALLER)
    )
    try:
        bare(smaller)
    except ValueError:
        return spec  # no such option, or windows that do not fit
    typer.echo(
        f"{spec} sees images of {side} pixels; taking {smaller}, which is "
        f"many times faster. Its own size: {own}"
    )
    return smaller


@app.command(cls=Parameterised)
def inspect(
    specs: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC...",
            help="The model, or several that stand side by side.",
        ),
    ],
    images: Annotated[
        str | None,
        typer.Option(help="Image spec; the scenes of the lab by default."),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        setting("Set another parameter of the report."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would run, and why.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--open/--no-open", help="Open it in a browser.")
    ] = True,
) -> None:
    """Report on models with all measures of the book, as a page.

    The report is an edition of its own; it is kept and not made again while
    nothing that it depends on has changed.
    """
    import webbrowser

    from helpers.editions import jobs, own_copy
    from helpers.editions.edition import DEFAULT, load

    root = own_copy.root(typer.echo)
    page = jobs.inspecting(root)
    with_torch()
    spec, *beside = map(_affordable, specs)
    given = [("model", spec)]
    given += [("beside", json.dumps(beside))] if beside else []
    given += [("images", images)] if images else []
    given += pairs(parameter)
    edition = load(DEFAULT, root)
    name = report_name(given)
    if images and not images.startswith("wardrobe"):
        shifts = [f"{images}+{corruption}" for corruption in CORRUPTIONS]
        given.insert(1, ("shifts", json.dumps(shifts)))
    edition = jobs.amend(edition, given, [page], root, name)
    from helpers.editions import plan_listing
    from helpers.editions import run as runner
    from helpers.editions import site as sites
    from helpers.report import among_others

    among_others.once([spec, *beside])
    if plan:
        typer.echo(plan_listing.plan(edition, root, [page]))
        return
    outcome = runner.run(edition, root, [page], say=typer.echo)
    if outcome.failed:
        raise typer.Exit(1)
    site = sites.build(edition, root, say=typer.echo, only=page)
    address = site.resolve().as_uri()
    typer.echo(address)
    if show and not webbrowser.open(address):
        typer.echo("no browser here opens it; open the address above")
