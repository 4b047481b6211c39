"""The command line of the book, `vitscope`."""

from typing import Annotated

import typer

import helpers.editions.commands
import helpers.editions.repeat_commands
import helpers.editions.report_command  # noqa: F401 (registers its commands)
from helpers.editions.command_line import EditionName, app, with_torch
from helpers.runtime.paths import checkout


@app.command()
def publish(edition: EditionName) -> None:
    """Keep the numbers of an edition's last run in data/results.

    Pages and the ledger of other editions then show its verdicts. Of a report
    that `inspect` made, the curves of its model are added to those there.
    """
    from helpers import editions

    root = checkout()
    found = editions.load(edition, root)
    with_torch()
    from helpers.editions import publish as numbers

    typer.echo(numbers.publish(found, root))


@app.command()
def notebooks() -> None:
    """Write the committed notebook of every page, for Colab."""
    from helpers.editions.notebooks import regenerate

    root = checkout()
    for path in regenerate(root):
        typer.echo(path.relative_to(root))


@app.command()
def chapters() -> None:
    """List the pages and their parameters."""
    from helpers.editions import listings

    typer.echo(listings.chapters(checkout()))


@app.command()
def models(
    pattern: Annotated[
        str, typer.Argument(help="Part of a timm name to look for.")
    ] = "",
) -> None:
    """List the bundled models, or the timm models with a name like PATTERN."""
    from helpers.editions import listings

    if pattern:
        with_torch()
    typer.echo(listings.timm_models(pattern) if pattern else listings.zoo())


@app.command()
def datasets() -> None:
    """List the image sets."""
    from helpers.editions import listings

    typer.echo(listings.datasets())


@app.command()
def claims(edition: EditionName = "lab") -> None:
    """Show what the last run of an edition says about each claim."""
    from helpers import editions
    from helpers.editions import listings

    root = checkout()
    typer.echo(listings.claims(editions.load(edition, root), root))


@app.command()
def published(
    pattern: Annotated[
        str, typer.Argument(help="Part of the name of a model.")
    ] = "",
) -> None:
    """List values that others have published, with their sources."""
    with_torch()
    from helpers.editions import listings

    typer.echo(listings.published(pattern))


@app.command()
def doctor() -> None:
    """Examine whether this machine is ready; exit status 1 if it is not."""
    from helpers.editions.doctor import examine, next_step

    wrong = 0
    for finding in examine():
        bad = bool(finding.mend) and finding.needed
        wrong += bad
        mark = "WRONG" if bad else "note" if finding.mend else "ok"
        mend = f"  ({finding.mend})" if finding.mend else ""
        typer.echo(f"{mark:5}  {finding.what}: {finding.found}{mend}")
    typer.echo(f"next: {next_step(wrong)}")
    if wrong:
        raise typer.Exit(1)


@app.command()
def many_images() -> None:
    """Measure CKA of two models on 10^5 scenes, which a page has no time for.

    The curve is kept in data/results/many_images; it takes a quarter of an
    hour on one core.
    """
    import helpers

    with_torch()
    from helpers.cka import many_images as kept
    from helpers.editions import provenance

    found = provenance.environment()
    versions = {key: found[key] for key in ("torch", "timm", "device")}
    kept.write({"version": helpers.__version__} | versions)
    typer.echo(kept.FILE.relative_to(checkout()))


@app.command()
def train(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All models of the zoo.")
    ] = False,
    scenes: Annotated[
        int | None, typer.Option(min=1, help="Instead of the recipe's.")
    ] = None,
    hours: Annotated[
        float, typer.Option(help="Stop after that long; call again later.")
    ] = float("inf"),
    status: Annotated[
        bool, typer.Option("--status", help="Tell how far each training is.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, ...")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Use the checkpoints there are.")
    ] = True,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Models trained at once.")
    ] = None,
    images: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="Photographs for natural models; cifar10 by default.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Train bundled models, or natural/NAME on photographs.

    Each goes through the milestones of its recipe, all of them in rounds; a
    training that was stopped or killed is continued. `natural` alone is all
    of the natural models; they are kept in runs/natural/zoo.
    """
    if everything and names:
        raise ValueError("name models, or say --all for the zoo, not both")
    if not everything and not names:
        raise ValueError("train what? Give a name of the zoo, or --all")
    with_torch()
    from helpers import training

    chosen = list(training.RECIPES) if everything else names or []
    if status:
        typer.echo(training.table(chosen))
        return
    try:
        training.run(chosen, scenes, hours, device, resume, jobs, images)
    except training.TrainingError as error:
        typer.echo(f"vitscope: {error}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
