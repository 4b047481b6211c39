"""A short fine-tuning: it learns, leaves its start alone, and repeats."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from helpers import images, models
from helpers.training import briefly


@pytest.fixture(scope="module")
def start():
    return models.load("lab/vit_narrow_shallow")


@pytest.fixture(scope="module")
def digits():
    return images.load("digits", "train", limit=64)


def test_it_learns_and_leaves_the_start_as_it_was(start, digits):
    before = {k: v.clone() for k, v in start.module.state_dict().items()}
    tuned = briefly.finetuned(start, digits, steps=40, batch=16, rate=1e-3)
    for key, value in start.module.state_dict().items():
        assert torch.equal(value, before[key])
    ((where, (x,)),) = digits.batches(tuned, batch_size=64)
    logits = tuned(x)
    assert logits.shape == (64, 10)
    right = logits.argmax(1).numpy() == digits.labels[where]
    assert right.mean() > 0.5  # chance is a tenth
    assert list(tuned.taps) == list(start.taps)
    assert tuned.name == "vit_narrow_shallow on digits"
    changed = [
        not torch.equal(value, before[key])
        for key, value in tuned.module.state_dict().items()
        if not key.startswith("head")
    ]
    assert np.mean(changed) > 0.9


def test_the_first_step_is_that_of_adamw(start, digits):
    """At step one AdamW moves each weight by the rate and its decay."""
    tuned = briefly.finetuned(start, digits, steps=1, batch=8, rate=1e-3)
    old, new = (
        m.module.state_dict()["blocks.0.mlp.fc1.weight"]
        for m in (start, tuned)
    )
    moved = (new - old * (1 - 0.01 * 1e-3)).abs()
    assert moved.median() == pytest.approx(1e-3, rel=1e-2)


def test_the_same_seed_gives_the_same_model(start, digits):
    state = torch.get_rng_state()
    runs = [
        briefly.finetuned(start, digits, steps=2, batch=8, seed=seed)
        for seed in (3, 3, 4)
    ]
    heads = [run.module.head.weight for run in runs]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": "clas"}, "unknown target 'clas'; nearest: 'class'"),
        ({"steps": 0}, "steps must be a positive whole number"),
        ({"batch": 1.5}, "batch must be a positive whole number"),
    ],
)
def test_bad_settings_are_refused(start, digits, change, words):
    with pytest.raises(ValueError, match=words):
        briefly.finetuned(start, digits, **change)


def test_a_model_without_a_head_is_refused(start, digits):
    bare = replace(start, spec="mine", module=nn.Flatten())
    with pytest.raises(ValueError, match="mine has no head"):
        briefly.finetuned(bare, digits)
