"""The command line of the book, `vitscope`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from helpers.paths import checkout

MISTAKE = 2


class Commands(TyperGroup):
    """Commands whose mistakes are told in a line, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; exit status 2 when it was asked the impossible."""
        try:
            return super().invoke(ctx)
        except (ValueError, OSError) as error:
            typer.echo(f"vitscope: {error}", err=True)
            raise typer.Exit(MISTAKE) from error


class Parameterised(TyperCommand):
    """A command with papermill's option `-p NAME VALUE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join `-p NAME VALUE`, since typer repeats only single values."""
        joined: list[str] = []
        rest = iter(args)
        for word in rest:
            joined.append(word)
            if word in ("-p", "--parameter"):
                name, value = next(rest, ""), next(rest, None)
                if "=" in name or value is None:
                    raise ValueError(f"{word} takes a name and a value")
                joined.append(f"{name}={value}")
        return super().parse_args(ctx, joined)


def setting(what: str) -> Any:
    """Make the option `-p NAME VALUE` of a `Parameterised` command."""
    return typer.Option(
        "--parameter",
        "-p",
        metavar="NAME VALUE",
        help=what,
        show_default=False,
    )


def pairs(parameter: list[str] | None) -> list[tuple[str, str]]:
    """Split what `-p` was given into names and values."""
    parts = [text.partition("=") for text in parameter or []]
    return [(name, value) for name, _, value in parts]


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run, build and extend the book Inside Vision Transformers.",
)


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
    from helpers.press import execution, listings, smoke

    root = checkout()
    chosen, pages = editions.select(names or [], root)
    failed = 0
    for given in chosen or [editions.DEFAULT]:
        edition = editions.load(given, root)
        if parameter:
            values = pairs(parameter)
            edition = editions.amend(edition, values, pages, root, name)
        if small:
            edition = smoke.rehearsal(edition, root)
        if plan:
            typer.echo(f"edition {edition.name}: {edition.title}")
            typer.echo(listings.plan(edition, root, pages))
            continue
        outcome = execution.run(
            edition, root, pages, force, jobs, say=typer.echo
        )
        typer.echo(
            f"edition {edition.name}: {len(outcome.executed)} pages executed, "
            f"{len(outcome.reused)} up to date, {len(outcome.failed)} failed"
        )
        failed += len(outcome.failed)
    if failed:
        raise typer.Exit(1)


@app.command(cls=Parameterised)
def inspect(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="The model.")],
    images: Annotated[
        str | None,
        typer.Option(help="Image spec; the scenes of the lab by default."),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        setting("Set another parameter of the page `your_model`."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--open/--no-open", help="Open it in a browser.")
    ] = True,
) -> None:
    """Report on one model with all measures of the book, as a page.

    The report is an edition of its own; it is kept and not made anew while
    nothing that it depends on has changed.
    """
    import re
    import webbrowser

    from helpers import editions
    from helpers.press import execution, publishing

    root, page = checkout(), "your_model"
    given = [("model", spec), *([("images", images)] if images else [])]
    given += pairs(parameter)
    words = ["inspect", *(value for _, value in given)]
    name = re.sub(r"[^\w]+", "-", " ".join(words)).strip("-")[-150:]
    edition = editions.load(editions.DEFAULT, root)
    edition = editions.amend(edition, given, [page], root, name)
    outcome = execution.run(edition, root, [page], say=typer.echo)
    if outcome.failed:
        raise typer.Exit(1)
    site = publishing.build(edition, root, say=typer.echo, only=page)
    address = site.resolve().as_uri()
    typer.echo(address)
    if show and not webbrowser.open(address):
        typer.echo("no browser here opens it; open the address above")


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
    from helpers import devices, editions
    from helpers.press import listings, sweeps

    root = checkout()
    if table:
        sweeps.check_target(table)
    base = editions.load(edition, root)
    cells = sweeps.cells(base, root, pages, over or [], pairs(parameter))
    if only:
        cells = sweeps.pick(cells, only)
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
def build(
    edition: Annotated[str, typer.Argument(help="Its name.")] = "lab",
) -> None:
    """Make the site of an edition from its executed pages."""
    from helpers import editions
    from helpers.press import listings, publishing

    root = checkout()
    found = editions.load(edition, root)
    index = publishing.build(found, root, say=typer.echo)
    typer.echo(listings.claims(found, root))
    typer.echo(publishing.summary(found, root))
    typer.echo(index.resolve().as_uri())


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
    from helpers.press import template

    specs = [spec.strip() for spec in models.split(",") if spec.strip()]
    path = template.write(name, specs, images, checkout())
    typer.echo(f"{path}: look through it, then try")
    typer.echo(f"vitscope run {template.called(path)} --plan")


@app.command()
def publish(
    edition: Annotated[str, typer.Argument(help="Its name.")],
) -> None:
    """Keep the numbers of an edition's last run in data/results.

    Pages and the ledger of other editions then show its verdicts.
    """
    from helpers import editions
    from helpers.press import numbers

    root = checkout()
    typer.echo(numbers.publish(editions.load(edition, root), root))


@app.command()
def notebooks() -> None:
    """Write the committed notebook of every page, for Colab."""
    from helpers.press import notebooks as pages

    root = checkout()
    for path in pages.regenerate(root):
        typer.echo(path.relative_to(root))


@app.command()
def chapters() -> None:
    """List the pages and their parameters."""
    from helpers.press import listings

    typer.echo(listings.chapters(checkout()))


@app.command()
def models(
    pattern: Annotated[
        str, typer.Argument(help="Part of a timm name to look for.")
    ] = "",
) -> None:
    """List the bundled models, or the timm models with a name like PATTERN."""
    from helpers.press import listings

    typer.echo(listings.timm_models(pattern) if pattern else listings.zoo())


@app.command()
def datasets() -> None:
    """List the image sets."""
    from helpers.press import listings

    typer.echo(listings.datasets())


@app.command()
def claims(
    edition: Annotated[str, typer.Argument(help="Its name.")] = "lab",
) -> None:
    """Show what the last run of an edition says about each claim."""
    from helpers import editions
    from helpers.press import listings

    root = checkout()
    typer.echo(listings.claims(editions.load(edition, root), root))


@app.command()
def doctor() -> None:
    """Examine whether this machine is ready; exit status 1 if it is not."""
    from helpers.press import doctor as surgery

    wrong = 0
    for finding in surgery.examine():
        bad = bool(finding.mend) and finding.needed
        wrong += bad
        mark = "WRONG" if bad else "note" if finding.mend else "ok"
        mend = f"  ({finding.mend})" if finding.mend else ""
        typer.echo(f"{mark:5}  {finding.what}: {finding.found}{mend}")
    if wrong:
        raise typer.Exit(1)


@app.command()
def train(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All models of the zoo.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Instead of the recipe's.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, ...")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Train about that long.")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on with a training broken off.")
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

    `natural` alone is all of these; they are kept in runs/natural/zoo.
    """
    from helpers import training

    if everything and names:
        raise ValueError("name models, or say --all for the zoo, not both")
    chosen = list(training.RECIPES) if everything else names or []
    if not chosen:
        raise ValueError("train what? Give a name of the zoo, or --all")
    try:
        training.run(chosen, steps, seconds, device, resume, jobs, images)
    except training.TrainingError as error:
        typer.echo(f"vitscope: {error}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
