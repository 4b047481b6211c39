"""`python -m helpers.training NAME`: train a lab model where typer is not."""

import argparse

from helpers.training import finish, train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("name", help="model of the zoo")
parser.add_argument("--steps", type=int, help="instead of the recipe's")
parser.add_argument("--seconds", type=float, help="train about that long")
parser.add_argument("--device", help="cpu, cuda, cuda:1, ...")
parser.add_argument("--no-resume", dest="resume", action="store_false")

if __name__ == "__main__":
    given = vars(parser.parse_args())
    train(**given)
    finish(given["name"], device=given["device"])
