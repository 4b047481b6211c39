"""Training the lab models: recipes, objectives, one loop, one evaluation.

`train(name)` trains and `finish(name)` puts the result into the zoo;
`run(names)` does both, for several models at once. Needs torch, timm,
numpy and safetensors only.
"""

from helpers.training.cards import finish
from helpers.training.evaluation import evaluate
from helpers.training.fleet import TrainingError, run
from helpers.training.loop import train
from helpers.training.recipes import RECIPES, recipe

__all__ = [
    "RECIPES",
    "TrainingError",
    "evaluate",
    "finish",
    "recipe",
    "run",
    "train",
]
