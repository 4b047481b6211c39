"""Run the campaigns, and print the table of cases tried and passed."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.torture import disk, inputs, kills, twice
from tests.torture.sandbox import Workplace
from tests.torture.tally import Tally

TIMES = {"kills": 100, "disk": 20, "twice": 10}
"""How often by default: of the kills, half are of a run, half of a sweep."""
CAMPAIGNS = (*TIMES, "inputs")


def run(
    campaigns: list[str], times: int | None, seed: int, folder: Path
) -> Tally:
    """Run campaigns of a size in an empty folder."""
    tally, place = Tally(), Workplace(folder)
    often = {name: times or TIMES[name] for name in TIMES}
    if "inputs" in campaigns:
        inputs.campaign(folder / "inputs", tally)
    if "kills" in campaigns:
        half = often["kills"] // 2
        kills.campaign("run", often["kills"] - half, seed, place, tally)
        kills.campaign("sweep", half, seed, place, tally)
    if "disk" in campaigns:
        disk.campaign(often["disk"], place, tally)
    if "twice" in campaigns:
        twice.campaign(often["twice"], seed, place, tally)
    return tally


def main() -> int:
    """Read the command line; 1 when a case did not pass."""
    parser = argparse.ArgumentParser("python -m tests.torture")
    parser.add_argument("campaign", nargs="*", help=", ".join(CAMPAIGNS))
    parser.add_argument("--times", type=int, help="how often")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()
    if unknown := set(given.campaign) - set(CAMPAIGNS):
        parser.error(f"no such campaign: {', '.join(sorted(unknown))}")
    chosen = given.campaign or list(CAMPAIGNS)
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        tally = run(chosen, given.times, given.seed, Path(folder))
    print(f"\n{tally}")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
