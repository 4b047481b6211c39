"""A fine-tuning that is watched is the training of its recipe."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers import images, models
from helpers.models import zoo
from helpers.training import checkpoints, live, loop
from helpers.training.mixed_precision import FLOAT32, Way
from helpers.training.recipes import recipe

STEPS, BATCH = 4, 4


def weights(model: models.VisionModel) -> dict[str, torch.Tensor]:
    return model.module.state_dict()


def same(one: models.VisionModel, other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(w, other[k]) for k, w in weights(one).items())


@pytest.fixture(scope="module")
def watched() -> live.Finetuning:
    return live.Finetuning("lab/mae", STEPS, BATCH, device="cpu")


def test_ends_where_the_training_loop_does(watched, tmp_path: Path) -> None:
    end = watched.at(STEPS)
    short = replace(
        recipe("mae_ft"), scenes=STEPS * BATCH, batch=BATCH, warmup=0
    )
    path = loop.train(
        "mae_ft",
        STEPS * BATCH,
        "cpu",
        runs=tmp_path,
        recipe=short,
        way=Way(FLOAT32),
    )
    saved = checkpoints.load(path)
    assert same(
        end,
        {
            key.removeprefix("encoder."): value
            for key, value in saved.objective.items()
        },
    )
    assert watched.losses == saved.losses


def test_a_step_asked_for_later_is_the_same(watched) -> None:
    watched.at(STEPS)
    late = watched.at(2)
    fresh = live.Finetuning("lab/mae", STEPS, BATCH, device="cpu")
    assert same(late, weights(fresh.at(2)))
    assert not same(late, weights(watched.at(STEPS)))
    assert watched.at(2) is late
    assert len(fresh.losses) == 2


def test_step_zero_is_the_start_with_a_new_head(watched) -> None:
    first, start = watched.at(0), zoo.state("mae")
    assert set(weights(first)) - set(start) == {"head.weight", "head.bias"}
    for key, value in start.items():
        torch.testing.assert_close(weights(first)[key], value)
    assert first.spec == "lab/mae, step 0"
    assert not first.module.training


def test_models_looked_at_see_every_patch_and_stay_as_they_are(
    watched,
) -> None:
    (scene,) = (
        x
        for _, (x,) in images.load("wardrobe", limit=2).batches(
            watched.at(1), batch_size=2
        )
    )
    before = watched.at(1)(scene)
    watched.at(STEPS)
    torch.testing.assert_close(watched.at(1)(scene), before)
    inside = [type(m).__name__ for m in watched.at(1).module.modules()]
    assert "PatchDropout" not in inside


def test_another_seed_is_another_course() -> None:
    one, other = (
        live.Finetuning("lab/mae", STEPS, BATCH, seed, "cpu").at(1)
        for seed in (1, 2)
    )
    assert not same(one, weights(other))


def test_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    live.Finetuning("lab/mae", STEPS, BATCH, device="cpu").at(1)
    assert torch.equal(torch.rand(3), expected)


def test_looks_are_spaced_in_the_logarithm() -> None:
    assert live.spaced(256, 10) == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert live.spaced(100, 2) == [0, 100]
    assert live.spaced(3, 9) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: live.Finetuning("lab/vit_cls"), "'lab/vit_cls'.*lab/mae"),
        (lambda: live.Finetuning("mae"), "'mae'.*lab/mae"),
        (lambda: live.Finetuning("natural/mae@x"), "'natural/mae@x'"),
        (lambda: live.Finetuning("lab/mae", 0), "0 steps of 32"),
        (lambda: live.Finetuning("lab/mae", 5, 0), "5 steps of 0"),
        (lambda: live.spaced(5, 1), "two looks"),
        (lambda: live.spaced(0, 3), "two looks"),
    ],
)
def test_says_what_is_wrong(call, words) -> None:
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("step", [-1, STEPS + 1])
def test_there_is_no_other_step(watched, step) -> None:
    with pytest.raises(ValueError, match=f"no step {step}"):
        watched.at(step)


def test_starts_from_a_twin_or_from_weights_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "moco_v3.pt"
    torch.save(zoo.state("moco_v3_twin"), file)
    found = [
        live.Finetuning(spec, STEPS, BATCH, seed=1, device="cpu").at(2)
        for spec in ("lab/moco_v3_twin", f"lab/moco_v3@{file}", "lab/moco_v3")
    ]
    assert same(found[0], weights(found[1]))
    assert not same(found[0], weights(found[2]))
