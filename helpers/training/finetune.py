"""Learning from labels, from a trained encoder onwards.

All weights move; the head is new, everything below it starts from a model of
the zoo (Shekhar et al. 2022, section 2.5; Raghu et al. 2021, appendix G).
"""

from torch import Tensor

from helpers import models
from helpers.models import zoo
from helpers.models.vision_model import LAB
from helpers.training.settings import Recipe
from helpers.training.supervised import Supervised


class Finetune(Supervised):
    """A classifier whose encoder comes from `recipe.init_from`."""

    def __init__(self, name: str, recipe: Recipe) -> None:
        super().__init__(name, recipe)
        start = _weights(recipe.init_from)
        fresh = {
            key: value
            for key, value in self.encoder.state_dict().items()
            if key.startswith("head.")
        }
        self.encoder.load_state_dict(start | fresh)


def _weights(origin: str) -> dict[str, Tensor]:
    """Read the weights of a model of the zoo, or `<model>@<file>`."""
    if "@" in origin:
        return models.load(LAB + origin, "cpu").module.state_dict()
    return zoo.state(origin)
