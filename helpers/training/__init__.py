"""Training the lab models: recipes, objectives, one loop, one evaluation.

`train(name)` trains and `finish(name)` puts the result into the zoo. Needs
torch, timm, numpy and safetensors only.
"""

from helpers.training.cards import finish
from helpers.training.evaluation import evaluate
from helpers.training.loop import train
from helpers.training.recipes import RECIPES, recipe

__all__ = ["RECIPES", "evaluate", "finish", "recipe", "train"]
