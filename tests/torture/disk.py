"""A disk that is full at some point of a run.

The results go to a small file system in memory, mounted in a name space of
its own (`unshare -rm`), where an ordinary user may do so. The run must say
that the disk is full and leave nothing half written; with room made it must
end like one that was never disturbed.
"""

import json
import subprocess
import sys
from pathlib import Path

from tests.torture.sandbox import ROOT, Sandbox, Workplace
from tests.torture.tally import Tally

CATEGORY = "a full disk"
BLOCK = 4  # kB that a file takes at least
AMPLE = 1 << 16  # kB
SAID = "the disk is full"


def campaign(
    times: int, place: Workplace, tally: Tally, kind: str = "run"
) -> None:
    """Fill the disk at so many points, evenly from its first block on."""
    if reason := _impossible():
        tally.skip(CATEGORY, reason)
        return
    calm, folder = place.calm(kind), place.folder
    (folder / "calm.json").write_text(json.dumps(calm.numbers))
    most = calm.size // 1024 // BLOCK
    for number in range(times):
        blocks = 1 + number * most // times
        inside = ["unshare", "-rm", sys.executable, "-m", __spec__.name]
        done = subprocess.run(
            [*inside, kind, str(folder), str(number), str(BLOCK * blocks)],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        try:
            faults = json.loads(done.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            faults = [done.stderr[-500:] or "no result"]
        at = f"at {BLOCK * blocks} kB"
        tally.add(CATEGORY, [at, *faults] if faults else [])


def _impossible() -> str:
    """Return why this machine lends no file system, or nothing."""
    try:
        tried = subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"],
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return "no `unshare` here"
    return tried.stderr.strip() if tried.returncode else ""


def _mount(book: Sandbox, size: int, option: str = "") -> None:
    options = f"{option}size={size}k"
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(book.build)]
    subprocess.run(command, check=True)


def fill(kind: str, folder: Path, number: str, size: int) -> list[str]:
    """Run on a disk of `size` kB, then on a large one; tell what is wrong."""
    book = Sandbox(folder / f"disk-{number}")
    book.build.mkdir()
    _mount(book, size)
    full = book.start(kind)
    if not full.ends():
        full.kill()
    said = full.said[-500:]
    faults = [] if full.process.returncode else ["the run succeeds"]
    faults += [] if SAID in full.said else [f"does not say why: {said}"]
    if "commands.py" in full.said:  # of the runner, not of a page
        faults.append(f"a traceback: {said}")
    faults += book.outlived() + book.halves() + book.stale()
    _mount(book, AMPLE, "remount,")
    again = book.start(kind)
    if not again.ends():
        again.kill()
    faults += again.faults
    calm = json.loads((folder / "calm.json").read_text())
    return faults + book.differences(calm) + book.leftovers()


if __name__ == "__main__":
    kind, folder, number, size = sys.argv[1:]
    print(json.dumps(fill(kind, Path(folder), number, int(size))))
