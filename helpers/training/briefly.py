"""Fine-tune a model on any images for a page that compares it with itself.

A short training in memory: all weights and a new head, AdamW, a rate that
rises and falls once, no augmentation. Do not use it for models to keep
(`helpers.training.train`), nor to look at single steps of a recipe
(`helpers.training.live`).
"""

import copy
from itertools import count
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from helpers.images.image_set import Images
from helpers.models import VisionModel, wrap
from helpers.runtime import devices
from helpers.runtime.errors import unknown, whole_number

RISE, FALL = 0.1, 0.5
"""Shares of the steps in which the rate rises, and in which it falls."""


def finetuned(
    model: VisionModel,
    images: Images,
    target: str = "class",
    steps: int = 100,
    batch: int = 32,
    rate: float = 5e-4,
    seed: int = 0,
) -> VisionModel:
    """Fine-tune a copy of a model.

    Args:
        model: the start, with a head that timm can replace.
        images: seen in their order, again and again.
        target: what the new head learns, one of the categorical targets.
        steps: of the optimiser.
        batch: images in a step.
        rate: highest learning rate.
        seed: of the new head.

    Returns:
        The copy, named after the model and the images.

    Raises:
        ValueError: no such target, a model without a head that can be
            replaced, or a number of steps or images that is no whole number
            from 1.
    """
    steps = whole_number("steps", steps, least=1)
    batch = min(whole_number("batch", batch, least=1), len(images))
    if target not in images.target_names:
        raise unknown("target", target, images.target_names)
    if not hasattr(model.module, "reset_classifier"):
        raise ValueError(
            f"{model.name} has no head that can be replaced: expected a "
            "model of timm, with reset_classifier"
        )
    labels = torch.as_tensor(images.targets[target]).to(model.device)
    with devices.own_draws(model.device):
        torch.manual_seed(seed)
        module: Any = copy.deepcopy(model.module).train()
        module.reset_classifier(len(images.target_names[target]))
        module.to(model.device)
        optimiser = torch.optim.AdamW(module.parameters(), rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser,
            lambda step: min(
                (step + 1) / (RISE * steps), 1, (steps - step) / (FALL * steps)
            ),
        )
        done = count(1)
        while True:
            for where, (x,) in images.batches(
                model, batch_size=batch, drop_last=True
            ):
                optimiser.zero_grad()
                loss = cross_entropy(module(x), labels[where])
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
                if next(done) == steps:
                    return wrap(module, f"{model.spec} on {images.spec}")
