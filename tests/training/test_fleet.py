"""Several trainings at once: their order, their failures, their time."""

import sys
import time

import pytest

from helpers.training import fleet
from helpers.training.fleet import Leg
from helpers.training.loop import OutOfTimeError
from helpers.training.recipes import recipe

RECORD = """
import pathlib, sys, time
name, scenes = sys.argv[1:3]
with open("order.txt", "a") as out: out.write(f"begin {name} {scenes}\\n")
time.sleep(0.2)
if name == "broken": sys.exit("no such luck")
with open("order.txt", "a") as out: out.write(f"end {name} {scenes}\\n")
"""
COMMAND = [sys.executable, "-c", RECORD]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITSCOPE_RUNS", str(tmp_path / "runs"))
    return tmp_path


def said(here):
    return (here / "order.txt").read_text().splitlines()


def rounds(*names):
    return [Leg(n, s, s / 8) for s in (4, 8) for n in names]


def test_legs_come_in_rounds_and_finetuning_after_its_start():
    names = ("mae_ft", "mae", "vit_cls")
    found = fleet.legs({name: recipe(name) for name in names})
    shares = [leg.share for leg in found]
    assert shares == sorted(shares)
    last = [leg.name for leg in found if leg.share == 1]
    assert last == ["mae", "vit_cls", "mae_ft"]
    assert {leg.scenes for leg in found if leg.name == "vit_cls"} == {
        *(128_000, 256_000, 512_000, 1_024_000)
    }
    (one,) = fleet.legs({"mae": recipe("mae")}, 6400)
    assert one == Leg("mae", 6400, 1.0)


def test_a_leg_waits_for_its_model_and_for_the_one_it_starts_from(here):
    needs = {"tuned": "base", "base": "", "other": ""}
    todo = rounds("base", "other", "tuned")
    assert fleet.fleet(COMMAND, todo, needs, 3) == {}
    lines = said(here)
    for scenes in (4, 8):
        begin = lines.index(f"begin tuned --scenes={scenes}")
        assert begin > lines.index(f"end base --scenes={scenes}")
    assert lines.index("begin base --scenes=8") > lines.index(
        "end base --scenes=4"
    )
    assert lines.index("begin other --scenes=4") < lines.index(
        "end base --scenes=4"
    )
    assert len(lines) == 12


def test_one_failure_stops_only_what_needs_it(here):
    needs = {"broken": "", "child": "broken", "other": ""}
    todo = rounds("broken", "child", "other")
    failed = fleet.fleet(COMMAND, todo, needs, 1)
    assert failed == {"broken": "no such luck", "child": "needs broken"}
    assert "end other --scenes=8" in said(here)
    assert "no such luck" in (here / "runs/broken/log.txt").read_text()


def test_no_leg_begins_when_the_time_is_over(here):
    needs = {"a": "", "b": ""}
    ends = time.monotonic() + 0.1
    assert fleet.fleet(COMMAND, rounds("a", "b"), needs, 1, ends) == {}
    assert said(here) == ["begin a --scenes=4", "end a --scenes=4"]


def test_the_time_left_is_told_to_each_leg(here):
    tell = [sys.executable, "-c", "import sys; print(sys.argv[-1])"]
    fleet.fleet(tell, rounds("a"), {"a": ""}, 1, time.monotonic() + 3600)
    lines = (here / "runs/a/log.txt").read_text().splitlines()
    hours = [float(line.removeprefix("--hours=")) for line in lines]
    assert 0.9 < hours[1] < hours[0] <= 1


def test_trainings_share_the_gpus_evenly(here):
    tell = (
        "import os, sys, time\n"
        "gpu = os.environ['CUDA_VISIBLE_DEVICES']\n"
        "os.mkdir(gpu)  # fails while another training is on it\n"
        "time.sleep(0.5)\nos.rmdir(gpu)\nprint(gpu)"
    )
    needs = dict.fromkeys("abcd", "")
    command = [sys.executable, "-c", tell]
    todo = [Leg(name, 4, 1.0) for name in needs]
    gpus = ["GPU-a", "GPU-b"]
    assert fleet.fleet(command, todo, needs, 2, gpus=gpus) == {}
    found = {(here / f"runs/{n}/log.txt").read_text().strip() for n in needs}
    assert found == {"GPU-a", "GPU-b"}


def test_several_are_trained_with_the_options_given(monkeypatch, capsys):
    calls = []

    def record(*given):
        calls.append(given)
        return {"mae_ft": "out of memory"}

    monkeypatch.setattr(fleet, "fleet", record)
    failed = r"1 of 2 models .*\nmae_ft: out of memory .*log\.txt"
    with pytest.raises(fleet.TrainingError, match=failed):
        fleet.run(["mae", "mae_ft"], 6400, device="cpu")
    ((command, todo, needs, jobs, ends, gpus),) = calls
    assert command[1:] == ["-m", "helpers.training", "--device", "cpu"]
    assert [leg.name for leg in todo] == ["mae", "mae_ft"]
    assert needs == {"mae": "", "mae_ft": "mae"}
    assert jobs >= 1
    assert ends == float("inf")
    assert gpus == []
    assert "mae_ft " in capsys.readouterr().out


def test_one_is_trained_in_this_process_until_its_time_is_over(monkeypatch):
    calls = []

    def train(name, scenes, device, hours):
        if scenes > 1_000_000:
            raise OutOfTimeError(name)
        calls.append(("train", name, scenes))
        return "path"

    monkeypatch.setattr(fleet, "train", train)
    monkeypatch.setattr(fleet, "finish", lambda *a: calls.append(a))
    fleet.run(["mae"], device="cpu", hours=1.0)
    assert calls == [
        ("train", "mae", 384_000),
        ("mae", "path", "cpu"),
        ("train", "mae", 768_000),
        ("mae", "path", "cpu"),
    ]


def test_starting_again_removes_what_is_there(here, monkeypatch):
    monkeypatch.setattr(fleet, "one_by_one", lambda *_: None)
    folder = here / "runs" / "mae"
    folder.mkdir(parents=True)
    for name in ("constant.pt", "annealed-3.pt", "annealed-3.json"):
        (folder / name).write_text("")
    fleet.run(["mae"], device="cpu")
    assert len(list(folder.iterdir())) == 3
    fleet.run(["mae"], device="cpu", resume=False)
    assert not list(folder.iterdir())


def test_unknown_models_are_refused_before_anything_runs():
    with pytest.raises(ValueError, match=r"nearest: .*'mae'"):
        fleet.run(["vit_cls", "maee"])
