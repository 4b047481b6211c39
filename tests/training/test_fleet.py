"""Several trainings at once: their order, their failures, their options."""

import sys

import pytest

from helpers.training import fleet

RECORD = """
import pathlib, sys, time
name = sys.argv[-1]
with open("order.txt", "a") as out: out.write(f"begin {name}\\n")
time.sleep(0.2)
if name == "broken": sys.exit("no such luck")
with open("order.txt", "a") as out: out.write(f"end {name}\\n")
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITSCOPE_RUNS", str(tmp_path / "runs"))
    return tmp_path


def test_a_model_waits_for_the_one_it_starts_from(here):
    needs = {"tuned": {"base"}, "base": {""}, "other": {""}}
    assert fleet.fleet([sys.executable, "-c", RECORD], needs, 3) == {}
    said = (here / "order.txt").read_text().splitlines()
    assert said.index("begin tuned") > said.index("end base")
    assert said.index("begin other") < said.index("end base")
    assert len(said) == 6


def test_one_failure_stops_only_what_needs_it(here):
    needs = {"broken": set(), "child": {"broken"}, "other": set()}
    failed = fleet.fleet([sys.executable, "-c", RECORD], needs, 1)
    assert failed == {"broken": "no such luck", "child": "needs broken"}
    assert "end other" in (here / "order.txt").read_text()
    assert "no such luck" in (here / "runs/broken/log.txt").read_text()


def test_trainings_share_the_gpus_evenly(here):
    tell = (
        "import os, sys, time\n"
        "gpu = os.environ['CUDA_VISIBLE_DEVICES']\n"
        "os.mkdir(gpu)  # fails while another training is on it\n"
        "time.sleep(0.5)\nos.rmdir(gpu)\nprint(gpu)"
    )
    needs = {name: set() for name in "abcd"}
    command = [sys.executable, "-c", tell]
    assert fleet.fleet(command, needs, 2, ["GPU-a", "GPU-b"]) == {}
    said = {(here / f"runs/{n}/log.txt").read_text().strip() for n in needs}
    assert said == {"GPU-a", "GPU-b"}


def test_several_are_trained_with_the_options_given(monkeypatch, capsys):
    calls = []

    def record(*given):
        calls.append(given)
        return {"mae_ft": "out of memory"}

    monkeypatch.setattr(fleet, "fleet", record)
    monkeypatch.setattr(fleet, "pace", lambda *_: 0.36)
    failed = r"1 of 2 models .*\nmae_ft: out of memory .*log\.txt"
    with pytest.raises(fleet.TrainingError, match=failed):
        fleet.run(["mae", "mae_ft"], steps=1000, device="cpu", resume=False)
    ((command, needs, jobs, gpus),) = calls
    options = ["--steps", "1000", "--device", "cpu", "--no-resume"]
    assert command[1:] == ["-m", "helpers.training", *options]
    assert needs == {"mae": {""}, "mae_ft": {"mae"}}
    assert jobs >= 1
    assert gpus == []
    assert "mae_ft: 0.1 hours on its own" in capsys.readouterr().out


def test_one_is_trained_in_this_process(monkeypatch):
    calls = []
    for name in ("train", "finish"):
        monkeypatch.setattr(
            fleet, name, lambda *a, name=name, **k: calls.append((name, a, k))
        )
    fleet.run(["mae"], 5, None, "cpu", False)
    assert calls == [
        ("train", ("mae", 5, "cpu", False, None), {}),
        ("finish", ("mae",), {"device": "cpu"}),
    ]


def test_unknown_models_are_refused_before_anything_runs():
    with pytest.raises(ValueError, match=r"nearest: .*'mae'"):
        fleet.run(["vit_cls", "maee"])
