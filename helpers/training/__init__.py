"""Training the lab models: recipes, objectives, one loop, one evaluation.

`train(name)` trains and `finish(name, path)` puts the result into the zoo;
`run(names)` does both for many models, milestone by milestone, in the time
there is; `table(names)` tells how far they are. Needs torch, timm, numpy and
safetensors only.
"""

from helpers.training.cards import finish
from helpers.training.evaluation import evaluate
from helpers.training.fleet import TrainingError, run
from helpers.training.loop import train
from helpers.training.recipes import GOALS, RECIPES, recipe
from helpers.training.status import progress, table

__all__ = [
    "GOALS",
    "RECIPES",
    "TrainingError",
    "evaluate",
    "finish",
    "progress",
    "recipe",
    "run",
    "table",
    "train",
]
