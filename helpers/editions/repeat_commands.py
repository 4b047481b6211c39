"""The commands of `vitscope` that judge the claims on other weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helpers.editions.command_line import app, with_torch
from helpers.runtime.paths import checkout

if TYPE_CHECKING:
    from helpers.editions.swapped import Weights

Pages = Annotated[
    list[str] | None, typer.Argument(metavar="PAGE", show_default=False)
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", min=1, help="Pages at once.")
]
Check = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Run nothing; say which claims lack such numbers, or have those "
        "of an earlier version. Exit status 1 if any lacks them.",
    ),
]


@app.command()
def controls(
    pages: Pages = None,
    draws: Annotated[
        int, typer.Option(min=1, max=9, help="Of the untrained weights.")
    ] = 3,
    check: Check = False,
    jobs: Jobs = 1,
) -> None:
    """Judge the claims of the lab edition on untrained models.

    The effects are kept in data/results/controls, a file for each page, and
    shown beside those of trained models. Runs that are there are not done
    again while code, data and parameters behind them are the same.
    """
    with_torch()
    from helpers.claims.other_weights import CONTROLS
    from helpers.editions import swapped

    if check:
        _complain(CONTROLS, pages or [], draws)
        return
    found = [swapped.untrained(draw) for draw in range(1, draws + 1)]
    _measure(found, pages or [], jobs)


@app.command()
def seeds(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|twins",
            help="Weights of second trainings, called like those of "
            "data/zoo; `twins` are those in the zoo itself.",
        ),
    ],
    pages: Pages = None,
    check: Check = False,
    jobs: Jobs = 1,
) -> None:
    """Judge the claims of the lab edition on second trainings.

    The effects are kept in data/results/seeds, a file for each page, and
    widen the intervals by the variance between trainings.
    """
    with_torch()
    from helpers.claims.other_weights import SEEDS
    from helpers.editions import swapped

    if check:
        _complain(SEEDS, pages or [])
        return
    if source == swapped.TWINS:
        found = swapped.twins()
    else:
        found = swapped.second(Path(source))
    _measure([found], pages or [], jobs)


@app.command()
def lengths(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Weights of shorter trainings, called like those of the zoo.",
        ),
    ],
    pages: Pages = None,
    share: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=0.999,
            help="Share of the recipe's scenes that they have seen.",
        ),
    ] = 0.5,
    check: Check = False,
    jobs: Jobs = 1,
) -> None:
    """Judge the claims of the lab edition on shorter trainings.

    The effects are kept in data/results/lengths, a file for each page, and
    show which of them still move.
    """
    with_torch()
    from helpers.claims.other_weights import LENGTHS
    from helpers.editions import swapped

    if check:
        _complain(LENGTHS, pages or [])
        return
    _measure([swapped.shorter(folder, share)], pages or [], jobs)


def _measure(
    found: "Sequence[Weights]", pages: Sequence[str], jobs: int
) -> None:
    from helpers.editions import measure_again

    failed = measure_again.run(found, checkout(), pages, jobs, typer.echo)
    if failed:
        raise typer.Exit(1)


def _complain(kind: str, pages: Sequence[str], draws: int = 0) -> None:
    from helpers.editions import measure_again

    found = list(measure_again.complaints(kind, checkout(), pages, draws))
    for sentence, _ in found:
        typer.echo(sentence)
    if not found:
        typer.echo(f"all {kind} are there, and of this version")
    if not all(usable for _, usable in found):
        raise typer.Exit(1)
