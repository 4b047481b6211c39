"""Two runs of one edition, or two sweeps of the same cells, at once.

The second must wait and say for whom, no page may be executed twice, and the
second must take over when the first is killed.
"""

import random
import re
import time

from tests.torture.kills import WAITING
from tests.torture.sandbox import PATIENCE, Command, Sandbox, Workplace
from tests.torture.tally import Tally

EXECUTED = {
    "run": re.compile(r"^(\w+): [\d.]+ s$", re.MULTILINE),
    "sweep": re.compile(r"^\d+/\d+ (.+): (?!0\.0 )[\d.]+ s$", re.MULTILINE),
}
EARLY = 0.3
"""The part of an undisturbed run within which the second one starts."""


def campaign(times: int, seed: int, place: Workplace, tally: Tally) -> None:
    """Start each command twice, so many times."""
    draw = random.Random(seed)
    for kind in EXECUTED:
        calm = place.calm(kind)
        for killed in (False, True) if kind == "run" else (False,):
            what = f"two {kind}s at once" + ", the first killed" * killed
            for number in range(times):
                book = Sandbox(
                    place.folder / f"twice-{kind}-{killed}-{number}"
                )
                delay = draw.uniform(0, EARLY * calm.seconds)
                faults = _both(kind, book, delay, killed)
                faults += book.differences(calm.numbers) + book.leftovers()
                tally.add(what, faults)


def _both(kind: str, book: Sandbox, delay: float, killed: bool) -> list[str]:
    """Run a command twice; return what was wrong."""
    started = [book.start(kind)]
    time.sleep(delay)
    started.append(book.start(kind))
    waiting = _who_waits(started)
    if waiting and killed:
        started.remove(waiting)
        started.pop().kill()
        started = [waiting]
    faults = [] if waiting else ["neither waits"]
    for command in started:
        if not command.ends():
            command.kill()
        faults += command.faults
    executed = [
        page
        for command in started
        for page in EXECUTED[kind].findall(command.said)
    ]
    if len(executed) > len(set(executed)):
        faults.append(f"executed twice: {executed}")
    return faults + book.outlived() + book.halves() + book.stale()


def _who_waits(started: list[Command]) -> Command | None:
    """Wait until one of them waits, or both have ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        ended = all(command.ends(0.1) for command in started)
        for command in started:
            if WAITING in command.said:
                return command
        if ended:
            break
    return None
