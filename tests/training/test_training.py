"""The loop, the augmentations, the evaluation and the recipes."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from timm.optim.muon import Muon
from torch import Tensor, nn

from helpers import images as image_sets
from helpers import models
from helpers.lab import wardrobe
from helpers.models import zoo
from helpers.training import (
    GOALS,
    RECIPES,
    augment,
    cards,
    checkpoints,
    data,
    evaluate,
    evaluation,
    finish,
    loop,
    mixed_precision,
    muon,
    progress,
    reconstruction,
    resuming,
    steps,
    table,
    train,
)
from helpers.training.cards import as_trained, curve
from helpers.training.evaluation import blocks, features
from helpers.training.mae import MAE, patchify
from helpers.training.mixed_precision import Way
from helpers.training.objective import normalise, sine_positions
from helpers.training.recipes import recipe
from helpers.training.settings import Augmentation, Recipe

torch.set_num_threads(1)
PLAIN = Way("float32")


def tiny(name: str) -> nn.Module:
    """Make a ViT of one block in the place of a lab model."""
    headless = name in ("moco_v3", "dino", "mae")

    torch.manual_seed(torch.initial_seed() % 2**32)
    return VisionTransformer(
        img_size=64,
        patch_size=8,
        embed_dim=16,
        depth=1,
        num_heads=1,
        num_classes=0 if headless else 100,
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "build", tiny)
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(loop, "way_of", lambda *_: PLAIN)


def losses(path: Path) -> list[float]:
    return checkpoints.load(path).losses


def short(name: str) -> Recipe:
    return replace(
        recipe(name), batch=4, warmup=1, hidden=16, outputs=8, decoder=(16, 1)
    )


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("stop", [3, 9])
@pytest.mark.parametrize("name", ["vit_cls", "moco_v3", "dino", "mae"])
def test_a_killed_run_goes_on_with_identical_losses(
    name: str, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {
        "scenes": 40,
        "device": "cpu",
        "recipe": short(name),
    }
    whole = losses(train(name, runs=tmp_path / "whole", **settings))
    assert len(whole) == 10

    batch = data.batch

    def killed(how: Recipe, step: int, device: torch.device) -> Any:
        if step == stop and how.batch == 4:
            raise KeyboardInterrupt
        return batch(how, step, device)

    monkeypatch.setattr(data, "batch", killed)
    with pytest.raises(KeyboardInterrupt):
        train(name, runs=tmp_path / "parts", **settings)
    monkeypatch.setattr(data, "batch", batch)
    falling = stop > 8
    path = checkpoints.place(name, 10 * falling, tmp_path / "parts")
    assert losses(path) == whole[:stop]
    torch.manual_seed(99)
    path = train(name, runs=tmp_path / "parts", **settings)
    assert losses(path) == whole


@pytest.mark.parametrize("kind", ["damaged", "code", "other"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, kind: str) -> None:
    path = checkpoints.place("vit_cls", 2, tmp_path)
    path.parent.mkdir()
    harm = Harm(str(tmp_path / "harm"))
    torch.save({"code": harm}.get(kind, {"steps": 3}), path)
    if kind == "damaged":
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"annealed-2\.pt is damaged or"):
        train("vit_cls", 128, "cpu", runs=tmp_path)
    assert not (tmp_path / "harm").exists()


class Harm:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.usefixtures("small")
def test_a_run_of_another_recipe_or_of_other_scenes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = short("vit_cls")
    train("vit_cls", 8, "cpu", runs=tmp_path, recipe=how)
    longer = replace(how, scenes=10**9, milestones=(1.0,))
    train("vit_cls", 8, "cpu", runs=tmp_path, recipe=longer)
    other = replace(how, lr=1.0)
    with pytest.raises(ValueError, match="another recipe"):
        train("vit_cls", 8, "cpu", runs=tmp_path, recipe=other)
    sample = data.sample
    monkeypatch.setattr(data, "sample", lambda recipe: 255 - sample(recipe))
    with pytest.raises(ValueError, match="trained on other images"):
        train("vit_cls", 8, "cpu", runs=tmp_path, recipe=how)


@pytest.mark.usefixtures("small")
def test_the_constant_part_is_prolonged_but_never_cut(tmp_path: Path) -> None:
    how = short("vit_cls")
    path = train("vit_cls", 40, "cpu", runs=tmp_path, recipe=how)
    short_one, time = losses(path), path.stat().st_mtime_ns
    train("vit_cls", 40, "cpu", runs=tmp_path, recipe=how)
    assert path.stat().st_mtime_ns == time
    longer = train("vit_cls", 80, "cpu", runs=tmp_path, recipe=how)
    assert losses(longer)[:8] == short_one[:8]
    assert losses(longer)[9] != short_one[9]
    assert losses(path) == short_one
    unbroken = train("vit_cls", 80, "cpu", runs=tmp_path / "x", recipe=how)
    assert losses(unbroken) == losses(longer)
    with pytest.raises(ValueError, match="train for 80 or more"):
        train("vit_cls", 44, "cpu", runs=tmp_path, recipe=how)
    again = train("vit_cls", 44, "cpu", False, runs=tmp_path, recipe=how)
    assert len(losses(again)) == 11


@pytest.mark.usefixtures("small")
def test_a_run_stops_when_its_hours_are_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = short("vit_cls")
    clock = iter(range(10**6))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(clock)))
    with pytest.raises(loop.OutOfTimeError):
        train(
            "vit_cls", 4000, "cpu", hours=5 / 3600, runs=tmp_path, recipe=how
        )
    saved = checkpoints.load(checkpoints.place("vit_cls", 0, tmp_path))
    assert 1 <= len(saved.losses) <= 5
    assert not saved.complete
    slow = Way("float32", 7200.0)
    with pytest.raises(ValueError, match="are less than one"):
        train("vit_cls", 4000, "cpu", hours=1.0, runs=tmp_path / "x", way=slow)
    for hours in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="hours must be above 0"):
            train("vit_cls", 4000, "cpu", hours=hours, runs=tmp_path)


@pytest.mark.usefixtures("small")
def test_a_full_disk_leaves_the_last_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = short("vit_cls")
    save, calls = torch.save, iter(range(100))

    def full(content: object, path: Path) -> None:
        if next(calls) == 2:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(content, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        train("vit_cls", 40, "cpu", runs=tmp_path, recipe=how)
    path = checkpoints.place("vit_cls", 0, tmp_path)
    assert len(losses(path)) == 2
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.usefixtures("small")
def test_finetuning_begins_again_from_a_better_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = replace(short("mae_ft"), batch=4)
    monkeypatch.setattr(zoo, "state", lambda _: tiny("vit_cls").state_dict())
    first = train("mae_ft", 40, "cpu", runs=tmp_path, recipe=how)
    time = first.stat().st_mtime_ns
    train("mae_ft", 40, "cpu", runs=tmp_path, recipe=how)
    assert first.stat().st_mtime_ns == time
    monkeypatch.setattr(resuming, "beginning", lambda _: "another sha256")
    train("mae_ft", 40, "cpu", runs=tmp_path, recipe=how)
    assert first.stat().st_mtime_ns > time
    assert checkpoints.load(first).start == "another sha256"


@pytest.mark.usefixtures("small")
def test_finish_stores_the_model_and_its_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "zoo")
    monkeypatch.setattr(evaluation, "BANK", 600)
    monkeypatch.setattr(evaluation, "TEST", 20)
    with pytest.raises(FileNotFoundError, match="no training"):
        finish("vit_cls", tmp_path / "nothing.pt", "cpu")
    half = checkpoints.place("vit_cls", 0, tmp_path)
    path = train("vit_cls", 40, "cpu", runs=tmp_path, recipe=short("vit_cls"))
    with pytest.raises(ValueError, match="8 of its 0 steps"):
        finish("vit_cls", half, "cpu")
    card = finish("vit_cls", path, "cpu")
    assert card["draft"]
    assert (card["steps"], card["samples"], card["seed"]) == (10, 40, 0)
    assert [pair[0] for pair in card["loss"]] == list(range(1, 11))
    assert card["accuracy"]["head"].keys() == {"garment", "fabric", "class"}
    assert card["tokens"] == pytest.approx(0.55)
    assert card["pictures"] == 1
    assert "float" in card["hardware"][0]
    trained = checkpoints.load(path).objective["encoder.head.weight"]
    kept = zoo.load("vit_cls").head.weight
    assert torch.equal(kept, trained.half().float())
    monkeypatch.setattr(cards, "evaluate", None)  # it is not done again
    (tmp_path / "zoo" / "zoo.json").unlink()
    assert finish("vit_cls", path, "cpu") == card


@pytest.mark.usefixtures("small")
def test_the_zoo_keeps_the_longest_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "zoo")
    reached = iter([0.5, 0.51])
    monkeypatch.setattr(
        cards,
        "evaluate",
        lambda *_: {"head": {"garment": next(reached), "fabric": 0.5}},
    )
    how = short("vit_narrow")
    paths = [
        train("vit_narrow", n, "cpu", runs=tmp_path, recipe=how)
        for n in (40, 80)
    ]
    assert finish("vit_narrow", paths[0], "cpu")["draft"]
    longer = finish("vit_narrow", paths[1], "cpu")
    assert not longer["draft"]  # twice the scenes gained one point
    assert longer["milestones"] == [[40, 0.5, 0.5], [80, 0.51, 0.5]]
    assert finish("vit_narrow", paths[0], "cpu") == longer
    file = tmp_path / "results" / "training" / "vit_narrow.json"
    assert list(json.loads(file.read_text())["milestones"]) == ["40", "80"]


def test_a_model_is_no_draft_once_it_reaches_its_goal() -> None:
    card = {"samples": 64}
    wanted = GOALS["vit_cls"].accuracy
    assert not cards.draft("vit_cls", card, {"64": wanted})
    below = wanted | {"fabric": wanted["fabric"] - 0.01}
    assert cards.draft("vit_cls", card, {"64": below})
    assert (
        cards.draft("vit_cls", card, {"32": below, "64": wanted | below})
        is False
    )


@pytest.mark.usefixtures("small")
def test_the_status_tells_scenes_accuracy_and_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "zoo")
    monkeypatch.setenv("VITSCOPE_RUNS", str(tmp_path))
    monkeypatch.setattr(
        cards, "evaluate", lambda *_: {"head": {"garment": 0.5, "fabric": 0.7}}
    )
    path = train("vit_cls", 40, "cpu", recipe=short("vit_cls"))
    finish("vit_cls", path, "cpu")
    found = progress("vit_cls")
    assert found["annealed"] == 40
    assert found["scenes"] == 10 * recipe("vit_cls").batch
    assert found["hours left"] > 0
    told = table(["vit_cls", "mae"]).splitlines()
    assert "at 40: head garment 50.0 fabric 70.0" in told[0]
    assert "0 of 3,072,000" in told[1]


@pytest.mark.usefixtures("small")
def test_training_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train("vit_cls", 4, "cpu", runs=tmp_path, recipe=short("vit_cls"))
    assert torch.equal(torch.rand(3), expected)


def test_unknown_names_and_impossible_steps_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="nearest: 'vit_cls'"):
        train("vit_clss", runs=tmp_path)
    with pytest.raises(ValueError, match="at least one batch"):
        train("vit_cls", 63, "cpu", runs=tmp_path)


@pytest.mark.usefixtures("small")
def test_few_scenes_are_learned_by_heart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    how = replace(
        short("vit_cls"),
        lr=1e-2,
        warmup=8,
        smoothing=0.0,
        views=(Augmentation(),),
    )
    device = torch.device("cpu")
    same = data.batch(replace(how, batch=8), 0, device)
    monkeypatch.setattr(data, "batch", lambda *_: same)
    objective = steps.start("vit_cls", how).train()
    both = steps.optimisers(objective, how)
    curve = [
        float(steps.one_step(objective, both, how, s, 150, device, PLAIN))
        for s in range(150)
    ]
    assert curve[0] > 3.5
    assert curve[-1] < 0.1


def test_every_model_has_a_recipe_that_makes_its_objective() -> None:
    assert tuple(RECIPES) == zoo.NAMES
    for name, how in RECIPES.items():
        if how.init_from:
            assert how.init_from in zoo.NAMES
            continue
        assert isinstance(
            steps.start(name, how).encoder, type(zoo.build(name))
        )
    for name in ("vit_cls", "moco_v3"):
        one, two = RECIPES[name], RECIPES[f"{name}_twin"]
        assert replace(two, seed=one.seed) == one
    assert len({how.seed for how in RECIPES.values()}) == len(RECIPES)


@pytest.mark.parametrize("name", ["vit_cls", "resnet", "mixer", "dino"])
def test_muon_trains_what_lies_inside_blocks(name: str) -> None:
    objective = steps.start(name, recipe(name))
    both = steps.optimisers(objective, recipe(name))
    learned = [p for p in objective.parameters() if p.requires_grad]
    groups = [
        group["params"]
        for optimiser in (both.muon, both.adamw)
        for group in optimiser.param_groups
    ]
    held = [p for group in groups for p in group]
    assert sorted(map(id, held)) == sorted(map(id, learned))
    trunk = objective.encoder
    stages = (
        [trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4]
        if name == "resnet"
        else [trunk.blocks]
    )
    kernels = [p for s in stages for p in s.parameters() if p.ndim > 1]
    inside, decaying, _ = groups
    assert set(map(id, inside)) == set(map(id, kernels))
    assert all(p.ndim > 1 for p in decaying)
    assert both.adamw.param_groups[1]["weight_decay"] == 0


def test_batched_muon_takes_the_steps_of_timm() -> None:
    """Matrices, kernels and shapes that occur once and several times."""
    torch.manual_seed(0)
    shapes = [(8, 8), (8, 8), (16, 8), (8, 4, 3, 3), (8, 4, 3, 3)]
    ours = [nn.Parameter(torch.randn(s)) for s in shapes]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    one = muon.BatchedMuon(ours, 0.02, 0.1)
    two = Muon(theirs, 0.02, 0.1, momentum=0.95)
    for _ in range(3):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        one.step()
        two.step()
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, atol=2e-3, rtol=0)


def test_a_rate_of_zero_moves_nothing(monkeypatch) -> None:
    monkeypatch.setattr(steps, "schedule", lambda *_: 0.0)
    how = replace(recipe("vit_cls"), batch=2)
    objective = steps.start("vit_cls", how)
    before = {n: p.clone() for n, p in objective.named_parameters()}
    both = steps.optimisers(objective, how)
    device = torch.device("cpu")
    steps.one_step(objective, both, how, 0, 1, device, PLAIN)
    for name, parameter in objective.named_parameters():
        torch.testing.assert_close(parameter, before[name], msg=name)


def test_learning_rate_rises_stays_and_falls() -> None:
    how = replace(recipe("vit_cls"), warmup=10)
    rates = [steps.schedule(how, step, 100) for step in range(100)]
    assert np.all(np.diff(rates[:10]) > 0)
    assert rates[10:80] == [1.0] * 70
    assert np.all(np.diff(rates[79:]) < 0)
    assert np.allclose(np.diff(rates[80:], 2), 0)
    assert rates[-1] < 0.05
    assert [steps.schedule(how, step, 0) for step in range(80)] == rates[:80]


def test_scenes_depend_on_seed_and_step_alone() -> None:
    how, device = replace(recipe("vit_cls"), batch=4), torch.device("cpu")
    one = data.batch(how, 7, device)
    torch.manual_seed(1)
    assert torch.equal(one.images, data.batch(how, 7, device).images)
    assert one.partners is one.images
    assert not torch.equal(one.images, data.batch(how, 8, device).images)
    twin = replace(how, seed=1)
    assert not torch.equal(one.images, data.batch(twin, 7, device).images)
    assert one.images.min() >= 0
    assert one.images.max() <= 1
    assert one.labels.shape == (4,)


def test_partners_show_the_same_garments_once_their_stage_begins() -> None:
    stages = ((8, ("background",)), (12, ("background", "cloth")))
    how = replace(recipe("moco_v3"), batch=4, redrawn=stages)
    device = torch.device("cpu")
    assert [data.redrawn(how, step) for step in range(5)] == [
        *((), (), ("background",), ("background", "cloth")),
        ("background", "cloth"),
    ]
    assert data.batch(how, 1, device).partners is not None
    later = data.batch(how, 3, device)
    assert not torch.equal(later.images, later.partners)


def test_digits_are_brought_to_size_as_they_are_measured() -> None:
    seen, labels = data._digits()
    kept = image_sets.load("digits", "train")
    held = image_sets.load("digits", "test")
    assert len(seen) + len(held) == 1797
    assert labels.tolist() == kept.labels.tolist()
    model = models.load("lab/vit_cls?random")
    rows, (measured,) = next(iter(kept.batches(model, batch_size=32)))
    assert torch.allclose(normalise(seen[rows]), measured, atol=1e-6)


@pytest.mark.parametrize("name", ["moco_v3", "dino"])
def test_momentum_encoders_see_every_patch(name: str) -> None:
    objective = steps.start(name, recipe(name)).train()
    slow = getattr(objective, "teacher", None) or objective.slow[0]
    seen: dict[str, int] = {}
    for key, encoder in (("fast", objective.encoder), ("slow", slow)):
        encoder.blocks[0].register_forward_hook(
            lambda _m, _i, y, key=key: seen.__setitem__(key, y.shape[1])
        )
        encoder(torch.randn(2, 3, 64, 64))
    assert seen == {"fast": 33, "slow": 65}
    objective.show_all()
    objective.encoder(torch.randn(2, 3, 64, 64))
    assert seen["fast"] == 65


def test_the_faster_precision_is_chosen_where_losses_agree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(mixed_precision.time, "perf_counter", lambda: clock[0])

    def choose(fast: float, loss: float) -> Way:
        def trial(way: Way):
            half = way.precision == "bfloat16"

            def step() -> float:
                clock[0] += fast if half else 1.0
                return loss if half else 4.0

            return step

        return mixed_precision.choose(trial, torch.device("cpu"))

    assert choose(0.5, 4.01) == Way("bfloat16", 0.5)
    assert choose(0.95, 4.0) == Way("float32", 1.0)
    assert choose(0.5, 4.5) == Way("float32", 1.0)
    assert choose(0.5, float("nan")) == Way("float32", 1.0)


def test_sine_positions_are_those_of_the_formula() -> None:
    vit = zoo.build("mae")
    sine_positions(vit)
    table = vit.pos_embed.detach().double().numpy()[0]
    assert np.all(table[0] == 0)
    row, column, k = 3, 5, 7
    waves = 10_000.0 ** (-k / 24)
    got = table[1 + 8 * row + column][[k, 24 + k, 48 + k, 72 + k]]
    expected = [
        np.sin(row * waves),
        np.cos(row * waves),
        np.sin(column * waves),
        np.cos(column * waves),
    ]
    assert np.allclose(got, expected, atol=1e-6)
    assert not vit.pos_embed.requires_grad


def images(n: int = 6) -> Tensor:
    torch.manual_seed(0)
    return torch.rand(n, 3, 64, 64)


def test_settings_that_change_nothing_return_the_input() -> None:
    x = images()
    assert torch.equal(augment.augment(x, Augmentation()), x)
    whole = augment.crop(x, (1.0, 1.0), 0.0, 64)
    assert torch.allclose(whole, x, atol=1e-5)
    same = augment.colours(x, Augmentation(colour=1.0))
    assert torch.allclose(same, x, atol=1e-5)
    assert torch.equal(augment.blur(x, 0.0, (0.1, 1.0)), x)
    assert torch.equal(augment.solarise(x, 0.0), x)


def test_a_flip_is_a_mirror_and_twice_nothing() -> None:
    x = images()
    once = augment.crop(x, (1.0, 1.0), 1.0, 64)
    assert torch.allclose(once, x.flip(3), atol=1e-5)
    twice = augment.crop(once, (1.0, 1.0), 1.0, 64)
    assert torch.allclose(twice, x, atol=1e-5)


def test_a_crop_keeps_its_share_of_the_area() -> None:
    """On a ramp the slopes of the crop tell its width and height."""
    ramp = torch.linspace(-1, 1, 64).expand(64, 64)
    x = torch.stack([ramp, ramp.T, ramp]).expand(50, 3, 64, 64)
    y = augment.crop(x, (0.3, 0.3), 0.0, 32)
    width = (y[:, 0, 9, 20] - y[:, 0, 9, 10]) / 10 * 16
    height = (y[:, 1, 20, 9] - y[:, 1, 10, 9]) / 10 * 16
    inside = torch.full((50,), 0.3) * (64 / 63) ** 2
    assert torch.allclose(width * height, inside, atol=1e-3)
    assert width.std() > 0.01
    assert y.abs().max() <= 1 + 1e-5


def test_grey_has_no_colour_and_keeps_brightness() -> None:
    x = images()
    y = augment.colours(x, Augmentation(grey=1.0))
    assert torch.allclose(y[:, 0], y[:, 1], atol=1e-3)
    light = (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)
    assert torch.allclose(y[:, 1], light, atol=1e-3)


def test_hue_turns_colours_but_not_grey() -> None:
    how = Augmentation(colour=1.0, hue=0.5)
    grey = images()[:, :1].expand(-1, 3, -1, -1)
    assert torch.allclose(augment.colours(grey, how), grey, atol=1e-3)
    coloured = 0.4 + 0.2 * images()
    assert not torch.allclose(
        augment.colours(coloured, how), coloured, atol=0.05
    )


def test_blur_is_the_gaussian() -> None:
    x = torch.zeros(1, 3, 64, 64)
    x[:, :, 30, 30] = 1
    y = augment.blur(x, 1.0, (1.0, 1.0))[0, 0]
    offset = np.arange(-3, 4)
    weight = np.exp(-0.5 * offset**2)
    weight /= weight.sum()
    expected = np.outer(weight, weight)
    assert np.allclose(y[27:34, 27:34].numpy(), expected, atol=1e-6)
    assert float(y.sum()) == pytest.approx(1.0, rel=1e-5)


def test_solarise_inverts_the_bright() -> None:
    x = torch.tensor([0.2, 0.8]).view(1, 1, 1, 2).expand(3, 3, 4, 2)
    y = augment.solarise(x, 1.0)
    assert torch.allclose(y, torch.full_like(y, 0.2))


def test_normalise() -> None:
    x = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3).expand(2, 3, 1, 3)
    assert torch.equal(normalise(x)[1, 2, 0], torch.tensor([-1.0, 0.0, 1.0]))


@pytest.mark.parametrize("name", ["vit_cls", "vit_gap", "resnet", "mixer"])
def test_features_are_pooled_block_outputs(name: str) -> None:
    model = zoo.build(name).eval()
    pixels = (images(3) * 255).to(torch.uint8)
    found = features(model, pixels)
    x = normalise(pixels.float() / 255)
    with torch.no_grad():
        last, logits = model.forward_features(x), model(x)
    if name == "resnet":
        pooled = {"stages.3.2.out mean": last.mean((2, 3))}
    elif name == "vit_cls":
        raw = found["blocks.11.out cls"]
        pooled = {"blocks.11.out cls": raw}
        assert torch.allclose(model.norm(raw), last[:, 0], atol=1e-5)
    else:
        pooled = {}
    for key, value in pooled.items():
        assert torch.allclose(found[key], value, atol=1e-5)
    assert torch.allclose(found["head"], logits, atol=1e-5)
    assert len(blocks(model)) == (16 if name == "resnet" else 12)


def test_evaluation_finds_what_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Features that hold the garment, and a head that knows the class."""
    monkeypatch.setattr(evaluation, "BANK", 600)
    monkeypatch.setattr(evaluation, "TEST", 60)
    truth = {
        split: wardrobe.compose(split, range(n)).factors
        for split, n in (("train", 600), ("test", 60))
    }

    def known(_model: nn.Module, pixels: Tensor) -> dict[str, Tensor]:
        factors = truth["train" if len(pixels) == 600 else "test"]
        hot = nn.functional.one_hot(factors["garment"], 10).float()
        klass = nn.functional.one_hot(factors["class"], 100).float()
        noise = torch.rand(len(pixels), 10)
        return {
            "blocks.0.out mean": noise,
            "blocks.1.out mean": hot,
            "head": klass,
        }

    monkeypatch.setattr(evaluation, "features", known)
    result = evaluate(zoo.build("vit_narrow"), recipe("vit_narrow"))
    for probe in ("knn", "linear"):
        assert result[probe]["garment"] == 1.0
        assert result[probe]["layer"] == "blocks.1.out"
        assert result[probe]["fabric"] < 0.5
    assert result["head"] == {"garment": 1.0, "fabric": 1.0, "class": 1.0}


def test_the_curve_is_thinned_to_means() -> None:
    pairs = curve([float(i) for i in range(1001)])
    assert len(pairs) <= 200
    assert pairs[0] == [6, 2.5]
    assert pairs[-1] == [1001, 998.0]
    assert curve([1.0, 2.0]) == [[1, 1.0], [2, 2.0]]


def test_recipes_survive_the_card() -> None:
    from dataclasses import asdict

    for how in RECIPES.values():
        text = json.dumps(asdict(how))
        facts = json.loads(text)
        for view in facts["views"]:
            view |= {key: tuple(view[key]) for key in ("scale", "sigma")}
        for key in ("decoder", "milestones"):
            facts[key] = tuple(facts[key])
        facts["redrawn"] = tuple(
            (scenes, tuple(groups)) for scenes, groups in facts["redrawn"]
        )
        assert as_trained(facts) == how


def test_a_share_of_the_patches_is_seen_in_training_only() -> None:
    how = replace(recipe("vit_cls"), keep=0.5)
    vit = steps.start("vit_cls", how).encoder
    seen = []
    vit.blocks[0].register_forward_hook(
        lambda _m, _i, y: seen.append(y.shape[1])
    )
    for mode in (True, False):
        vit.train(mode)(torch.randn(2, 3, 64, 64))
    assert seen == [33, 65]
    assert vit.state_dict().keys() == zoo.build("vit_cls").state_dict().keys()


def test_surroundings_are_the_visible_neighbours() -> None:
    torch.manual_seed(0)
    patches = torch.randn(2, 9, 5)
    hidden = torch.rand(2, 9) < 0.5
    found = reconstruction.surroundings(patches, hidden).numpy()
    around = [
        (r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)
    ]
    for n in range(2):
        shown = ~hidden[n]
        mean = patches[n, shown].mean(0).numpy()
        for t in range(9):
            values = np.zeros((6, 8))
            for k, (down, right) in enumerate(around):
                row, column = t // 3 + down, t % 3 + right
                if 0 <= row < 3 and 0 <= column < 3:
                    place = 3 * row + column
                    if shown[place]:
                        values[:5, k] = patches[n, place].numpy()
                        values[5, k] = 1
            expected = np.concatenate([values.ravel(), mean, [1.0]])
            assert np.allclose(found[n, t], expected, atol=1e-6)


def test_painters_are_measured_on_hidden_patches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("FIT", 60), ("TEST", 20), ("CHUNK", 20)):
        monkeypatch.setattr(reconstruction, name, value)
    model = steps.start("mae", recipe("mae"))

    def cheat(x: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        patches, hidden = patchify(x), order.argsort(1) >= 16
        drawn = reconstruction.targets(patches)
        return torch.where(hidden[..., None], drawn, 9.0), hidden

    monkeypatch.setattr(model, "reconstruct", cheat)
    assert isinstance(model, MAE)
    errors = reconstruction.reconstruction(model)
    assert errors["model"] == 0
    assert 0.9 < errors["mean_patch"] < 1.05
    assert errors["linear"] > 0


def test_training_needs_nothing_that_a_bare_gpu_machine_lacks() -> None:
    code = (
        "import sys, helpers.training, helpers.models.zoo\n"
        "print(*{'pandas', 'scipy', 'sklearn', 'typer', 'altair'}"
        " & {m.split('.')[0] for m in sys.modules})"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
