"""`python -m helpers.training NAME ...`: train lab models without typer."""

import argparse
import math

from helpers.training import RECIPES, run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("names", nargs="*", help="models of the zoo; none: all")
parser.add_argument("--images", default="", help="for natural models")
parser.add_argument("--scenes", type=int, help="instead of the recipe's")
parser.add_argument("--hours", type=float, default=math.inf, help="at most")
parser.add_argument("--device", help="cpu, cuda, cuda:1, ...")
parser.add_argument("--no-resume", dest="resume", action="store_false")
parser.add_argument("--jobs", type=int, help="models trained at once")

if __name__ == "__main__":
    given = vars(parser.parse_args())
    run(given.pop("names") or list(RECIPES), **given)
