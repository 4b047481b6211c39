"""The command line of the book, `vitscope`."""

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
        except (ValueError, FileNotFoundError, ConnectionError) as error:
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
                joined.append(f"{next(rest, '')}={next(rest, '')}")
        return super().parse_args(ctx, joined)


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
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME VALUE",
            help="Set a parameter of the pages named, or of every page that "
            "has it; makes an edition of your own.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str, typer.Option("--as", help="What to call that edition.")
    ] = "own",
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would run, and why.")
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
    from helpers.press import execution, listings

    root = checkout()
    chosen, pages = editions.select(names or [], root)
    failed = 0
    for given in chosen or [editions.DEFAULT]:
        edition = editions.load(given, root)
        if parameter:
            parts = [text.partition("=") for text in parameter]
            pairs = [(key, value) for key, _, value in parts]
            edition = editions.amend(edition, pairs, pages, root, name)
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
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME VALUE",
            help="Set another parameter of the page `your_model`.",
            show_default=False,
        ),
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
    parts = [text.partition("=") for text in parameter or []]
    given = [("model", spec), *([("images", images)] if images else [])]
    given += [(key, value) for key, _, value in parts]
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
    if show:
        webbrowser.open(address)


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
) -> None:
    """Train bundled models and put them into the zoo."""
    from helpers import training

    chosen = list(training.RECIPES) if everything else names or []
    if not chosen:
        raise ValueError("train what? Give a name of the zoo, or --all")
    training.run(chosen, steps, seconds, device, resume, jobs)


if __name__ == "__main__":
    app()
