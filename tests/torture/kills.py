"""Kills at random moments of a run and of a sweep.

A command is killed, with its whole process group, at a moment drawn evenly
from the time of an undisturbed one, and started again, until it ends.
"""

import random

from tests.torture.sandbox import PATIENCE, Sandbox, Workplace
from tests.torture.tally import Tally

WAITING = "waiting for another run"


def campaign(
    kind: str, times: int, seed: int, place: Workplace, tally: Tally
) -> None:
    """Kill a command so many times.

    Args:
        kind: one of `sandbox.COMMANDS`.
        times: kills, over as many books as that takes.
        seed: of the moments.
        place: where to work.
        tally: takes a case for each book, with its kills.
    """
    calm = place.calm(kind)
    draw = random.Random(seed)
    done = books = 0
    while done < times:
        books += 1
        book = Sandbox(place.folder / f"{kind}-{books}")
        kills, faults = _until_it_ends(
            kind, times - done, draw, calm.seconds, book
        )
        faults += book.differences(calm.numbers) + book.leftovers()
        done += kills
        if kills:
            tally.add(f"kills of a {kind}", faults, kills)


def _until_it_ends(
    kind: str, most: int, draw: random.Random, seconds: float, book: Sandbox
) -> tuple[int, list[str]]:
    """Return how often it was killed, and what was wrong on the way."""
    faults: list[str] = []
    for kills in range(most + 1):
        last = kills == most
        command = book.start(kind)
        if command.ends(PATIENCE if last else draw.uniform(0, seconds)):
            break
        command.kill()
        faults += book.outlived() + book.halves() + book.stale()
    faults += command.faults
    if WAITING in command.said:
        faults.append("waits for a run that was killed")
    return kills, faults
