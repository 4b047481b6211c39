"""The commands of `vitscope` that run and build editions."""

from pathlib import Path
from typing import Annotated

import typer

from helpers.editions.command_line import (
    EditionName,
    Parameterised,
    app,
    pairs,
    setting,
    with_torch,
)
from helpers.runtime.paths import checkout

TO_REACH = "`make shell` opens a shell that knows vitscope and papermill"


@app.command(cls=Parameterised)
def run(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="EDITION|PAGE", show_default=False),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        setting(
            "Set a parameter of the pages named, or of every page that has "
            "it; makes an edition of your own."
        ),
    ] = None,
    name: Annotated[
        str, typer.Option("--as", help="What to call that edition.")
    ] = "own",
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would run, and why.")
    ] = False,
    small: Annotated[
        bool,
        typer.Option(
            "--smoke",
            help="Try whether it would run: untrained models, few bundled "
            "images, an edition of its own.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Run what is up to date, too.")
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Pages at once.")
    ] = 1,
) -> None:
    """Execute editions (default: lab) or single pages of an edition.

    Pages whose results are up to date are not run again.
    """
    from helpers import editions

    root = checkout()
    chosen, pages = editions.select(names or [], root)
    wanted = [editions.load(x, root) for x in chosen or [editions.DEFAULT]]
    if parameter:
        values = pairs(parameter)
        wanted = [editions.amend(x, values, pages, root, name) for x in wanted]
    with_torch()
    from helpers.editions import plan_listing, smoke
    from helpers.editions import run as runner

    failed = 0
    for edition in wanted:
        if small:
            edition = smoke.rehearsal(edition, root)
        if plan:
            typer.echo(f"edition {edition.name}: {edition.title}")
            typer.echo(plan_listing.plan(edition, root, pages))
            continue
        outcome = runner.run(edition, root, pages, force, jobs, say=typer.echo)
        typer.echo(
            f"edition {edition.name}: {len(outcome.executed)} pages executed, "
            f"{len(outcome.reused)} up to date, {len(outcome.failed)} failed"
        )
        failed += len(outcome.failed)
    if failed:
        raise typer.Exit(1)


@app.command(cls=Parameterised)
def sweep(
    pages: Annotated[list[str], typer.Argument(metavar="PAGE...")],
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=A,B,C",
            help="A parameter and its values, separated by commas, or by "
            "semicolons where values contain commas; once a parameter.",
            show_default=False,
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        setting("Set a parameter of all cells."),
    ] = None,
    edition: Annotated[
        str, typer.Option(help="Where the other parameters come from.")
    ] = "lab",
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="Cells at once; one a GPU by default."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write to .csv or .parquet."),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(metavar="CELL", help="One cell, as its folder is named."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Run nothing; join what is there.")
    ] = False,
) -> None:
    """Execute pages at every combination of values, and join the verdicts.

    Cells that are up to date are not run again, so that a sweep broken off
    goes on when it is started again. Exit status 1 if a cell failed.
    """
    from helpers.editions import cells as sweep_cells
    from helpers.editions.edition import load

    root = checkout()
    base = load(edition, root)
    with_torch()
    from helpers.editions import listings
    from helpers.editions import sweep as sweeps
    from helpers.runtime import devices

    if table:
        sweeps.check_target(table)
    cells = sweep_cells.cells(base, root, pages, over or [], pairs(parameter))
    if only is not None:
        cells = sweep_cells.pick(cells, only)
    failed = []
    if not plan:
        workers = jobs or max(1, len(devices.gpus()))
        failed = sweeps.run(cells, workers, typer.echo)
    joined = sweeps.table(cells)
    typer.echo(listings.sweep(joined))
    if table:
        sweeps.write(joined, table)
        typer.echo(table)
    if failed:
        raise typer.Exit(1)


@app.command()
def build(edition: EditionName = "lab") -> None:
    """Make the site of an edition from its executed pages."""
    from helpers.editions.edition import load

    root = checkout()
    found = load(edition, root)
    with_torch()
    from helpers.editions import listings
    from helpers.editions import site as sites

    index = sites.build(found, root, say=typer.echo)
    typer.echo(listings.claims(found, root))
    typer.echo(sites.summary(found, root))
    typer.echo(f"{index.resolve().as_uri()}\n{TO_REACH}")


@app.command("new-edition")
def new_edition(
    name: Annotated[
        str,
        typer.Argument(
            help="Its name, for a file in data/editions; or a path, FILE.yaml."
        ),
    ],
    models: Annotated[
        str, typer.Option(help="Model specs, with commas between them.")
    ],
    images: Annotated[str, typer.Option(help="Image spec.")] = "wardrobe",
) -> None:
    """Write the file of an edition with your models, to edit and to run."""
    with_torch()
    from helpers.editions.new_edition import called, write

    specs = [spec.strip() for spec in models.split(",") if spec.strip()]
    path = write(name, specs, images, checkout())
    typer.echo(f"{path}: look through it, then try")
    typer.echo(f"vitscope run {called(path)} --plan")
