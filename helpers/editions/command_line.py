"""What the commands of `vitscope` have in common."""

import errno
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

MISTAKE = 2
EditionName = Annotated[str, typer.Argument(help="Its name.")]


class Commands(TyperGroup):
    """Commands whose mistakes are told in a line, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; exit status 2 when it was asked the impossible."""
        try:
            return super().invoke(ctx)
        except (ValueError, OSError) as error:
            typer.echo(f"vitscope: {error}", err=True)
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                from helpers.editions.failures import FULL  # brings nbformat

                typer.echo(f"What to do: {FULL}", err=True)
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


def with_torch() -> None:
    """Say that torch is loaded, where that will take seconds."""
    if "torch" not in sys.modules:
        typer.echo("vitscope: loading torch ...", err=True)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run, build and extend the book Inside Vision Transformers.",
)
