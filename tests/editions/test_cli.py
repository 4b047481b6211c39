import errno
import math
import re
import shutil
import subprocess
import sys
import webbrowser

import pytest
from typer.testing import CliRunner

from helpers import __main__ as cli
from helpers import editions, images, training
from helpers.cka import many_images
from helpers.editions import (
    commands,
    doctor,
    edition,
    listings,
    own_copy,
    parameters,
    report_command,
    site,
)
from helpers.editions import run as runner
from helpers.editions.run import Outcome
from helpers.images import lab, specs
from helpers.lab import wardrobe
from tests import minibook


@pytest.fixture
def book(tmp_path, monkeypatch):
    root = minibook.make(tmp_path)
    for module in (cli, commands, own_copy):
        monkeypatch.setattr(module, "checkout", lambda: root)
    monkeypatch.setattr(parameters, "checks", dict)
    monkeypatch.setattr(edition, "FOLDER", minibook.editions(root))
    return root


def vitscope(*words):
    return CliRunner().invoke(cli.app, words)


def test_many_images_keeps_a_curve_with_its_versions(monkeypatch):
    found = []
    monkeypatch.setattr(many_images, "write", found.append)
    told = vitscope("many-images")
    assert told.exit_code == 0
    assert told.stdout.strip() == "data/results/many_images/cka.csv"
    assert found[0].keys() == {"version", "torch", "timm", "device"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "frist"], "edition or page 'frist'; nearest: 'first'"),
        (["run", "first", "-p", "num_image", "3"], "nearest: 'num_images'"),
        (["run", "-p", "num_images", "many"], "must be int, like 4"),
        (["run", "-p", "num_images", "0"], "is 0, but must be ≥ 1, like 4"),
        (["run", "--plan", "-p", "scale", "11"], "must be 0 to 10, like 1.0"),
        (["run", "-p", "num_images"], "-p takes a name and a value"),
        (["run", "-p", "num_images=3", "first"], "takes a name and a value"),
        (["run", "-p", "num_images", "1.5"], "is 1.5 (float), but must be"),
        (["run", "-p", "num_images", "null"], "is None (NoneType), but must"),
        (["run", "-p", "num_images", "'4'"], "is '4' (str), but must be int"),
        (["run", "-p", "num_images", "[4"], "cannot be read as int, like 4"),
        (["run", "-p", "scale", "nan"], "is nan (float), but must be float"),
        (["run", "-p", "scale", "true"], "is True (bool), but must be float"),
        (["run", "-p", "names", "a,b"], "'a,b' (str), but must be list[str]"),
        (["run", "-p", "names", "[a, 1]"], "['a', 1] (list), but must be"),
        (["run", "-p", "verbose", "1"], "is 1 (int), but must be bool"),
        (["run", "-p", "word", "a", "--as", "lab"], "cannot be called 'lab'"),
        (["build", "smok"], "unknown edition 'smok'; nearest: 'smoke'"),
        (["train", "vit_clz"], "unknown lab model 'vit_clz'"),
        (["train"], "train what?"),
        (["train", "mae", "--device", "cudax"], "no device 'cudax' here"),
        (["models", "vit_smal_"], "nearest: "),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(book, words, message):
    result = vitscope(*words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("vitscope: ")
    assert "Traceback" not in result.output
    assert not (book / "_build").exists()


def test_plan_says_what_would_run(book):
    result = vitscope("run", "--plan", "-p", "num_images", "9", "first")
    assert result.exit_code == 0
    assert "edition own: A mini book (own)" in result.stdout
    lines = result.stdout.splitlines()
    assert lines[1:4] == [
        "first  run: new",
        "    models  lab/vit_cls",
        "    set     num_images=9",
    ]
    assert "second" not in result.stdout
    assert "1 page to run" in result.stdout
    assert not (book / "_build").exists()


def test_run_hands_over_what_was_asked(book, monkeypatch):
    asked = []

    def run(*words, say):
        asked.append(words)
        return Outcome({"first": 1.0})

    monkeypatch.setattr(runner, "run", run)
    words = ["run", "smoke", "first", "-p", "names", "[x, y]", "-p", "scale"]
    result = vitscope(*words, "2", "--as", "mine", "--force", "--jobs", "2")
    assert result.exit_code == 0, result.output
    ((edition, _, pages, force, jobs),) = asked
    assert (edition.name, pages, force, jobs) == ("mine", ["first"], True, 2)
    assert edition.pages["first"] == {"names": ["x", "y"], "scale": 2}
    assert edition.parameters == editions.load("smoke", book).parameters
    assert "1 pages executed" in result.stdout


def test_run_ends_with_status_1_when_a_page_failed(book, monkeypatch):
    monkeypatch.setattr(
        runner,
        "run",
        lambda *_, say: Outcome(failed=["second"]),
    )
    assert vitscope("run").exit_code == 1


@pytest.fixture
def report(tmp_path, monkeypatch):
    """What `inspect` runs, builds and opens, without doing it."""
    done = []

    def run(edition, _root, pages, say):
        done.append(("run", edition, pages))
        return Outcome({"your_model": 1.0})

    def build(edition, _root, say, only):
        done.append(("build", edition, only))
        return tmp_path / "index.html"

    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr(site, "build", build)
    monkeypatch.setattr(webbrowser, "open", lambda *a: done.append(a))
    return done


def test_inspect_makes_one_page_of_one_model_and_opens_it(report, tmp_path):
    words = ["resnet18?random", "--images", "digits", "-p", "num_images", "9"]
    result = vitscope("inspect", *words)
    assert result.exit_code == 0, result.output
    (_, ran, pages), (_, built, only), (address,) = report
    assert (pages, only) == (["your_model"], "your_model")
    assert ran == built
    assert ran.pages["your_model"] == {
        "model": "resnet18?random",
        "images": "digits",
        "shifts": [
            "digits+contrast-3",
            "digits+motion_blur-3",
            "digits+gaussian_noise-3",
        ],
        "num_images": 9,
    }
    assert ran.name == "inspect-resnet18-random-images-digits-num_images-9"
    assert address == (tmp_path / "index.html").as_uri()
    assert address in result.stdout


def test_inspect_puts_several_models_side_by_side(report):
    specs = ["resnet18?random", "lab/mae", "vit_tiny_patch16_224?random"]
    result = vitscope("inspect", *specs, "--no-open")
    assert result.exit_code == 0, result.output
    (_, ran, _), _ = report
    first, *rest = specs
    assert ran.pages["your_model"] == {"model": first, "beside": rest}
    assert re.fullmatch(r"[\w-]+", ran.name)
    assert "lab-mae-vit_tiny" in ran.name


def test_inspect_leaves_the_browser_alone_when_told(report):
    assert vitscope("inspect", "lab/mae", "--no-open").exit_code == 0
    assert [what for what, *_ in report] == ["run", "build"]


def test_reports_with_other_parameters_have_other_names():
    model = [("model", "lab/mae")]
    given = [
        *([("num_test", "9")], [("num_bank", "9")]),
        *([("images", "folder:" + "a" * 200 + end)] for end in "xy"),
    ]
    names = [report_command.report_name([*model, *others]) for others in given]
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"[\w-]{1,140}", name) for name in names)


def test_inspect_gives_smaller_images_to_models_of_large_ones(report):
    large = "vit_small_patch14_dinov2?random"
    words = [large, "resnet18?random", "regnety_320?random", "--no-open"]
    result = vitscope("inspect", *words)
    assert result.exit_code == 0, result.output
    (_, ran, _), _ = report
    given = ran.pages["your_model"]
    assert given["model"] == f"{large}&img_size=224"
    assert given["beside"] == words[1:3]
    assert "518 pixels" in result.stdout
    assert f"Its own size: {large}&img_size=518" in result.stdout
    report.clear()
    vitscope("inspect", f"{large}&img_size=518", "--no-open")
    assert report[0][1].pages["your_model"]["model"].endswith("=518")


def test_inspect_leaves_large_images_to_models_of_one_size(report):
    fixed = "tf_efficientnet_b5?random"  # 456 pixels, and no such option
    result = vitscope("inspect", fixed, "--no-open")
    assert report[0][1].pages["your_model"]["model"] == fixed
    assert "pixels" not in result.stdout


def test_inspect_can_say_what_it_would_do(report):
    result = vitscope("inspect", "resnet18?random", "--plan")
    assert result.exit_code == 0, result.output
    assert "resnet18?random" in result.stdout
    assert not report


def test_inspect_builds_nothing_when_the_page_failed(report, monkeypatch):
    failed = Outcome(failed=["your_model"])
    monkeypatch.setattr(runner, "run", lambda *_, say: failed)
    assert vitscope("inspect", "lab/mae").exit_code == 1
    assert not report


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lab/vit_clz"], "'lab/vit_clz'; nearest: 'lab/vit_cls"),
        (["resnet_18?random"], "nearest: 'resnet18"),
        (["lab/mae", "lab/resnit"], "beside: unknown"),
        (["lab/mae", "lab/resnit"], "nearest: 'lab/resnet'"),
        (["lab/mae", "lab/dino", "lab/mae"], "'lab/mae' is given 2 times"),
        (["lab/mae", "--images", "digit"], "nearest: 'digits'"),
        (["lab/mae", "-p", "num_image", "9"], "nearest: 'num_images'"),
    ],
)  # fmt: skip
def test_inspect_names_what_was_meant(words, message):
    result = vitscope("inspect", *words, "--no-open")
    assert result.exit_code == 2
    assert message in result.stderr


def test_chapters(book):
    result = vitscope("chapters")
    assert "first: The first page" in result.stdout
    assert "num_images: int = 4  # images to count" in result.stdout


def test_notebooks(book):
    assert vitscope("notebooks").stdout.split() == [
        "book/first.ipynb",
        "book/second.ipynb",
        "book/claims.ipynb",
    ]


def test_lists():
    assert "wardrobe" in vitscope("datasets").stdout
    assert "vit_small_patch16_224" in vitscope("models", "vit_small").stdout
    assert "NAME?random" in vitscope("models").stdout


def test_the_list_of_image_sets_tells_what_there_is():
    for spec, classes, *sizes, size, _ in listings.BUNDLED:
        sets = [images.load(spec, split) for split in specs.SPLITS]
        assert sizes == [len(found) for found in sets]
        assert (classes, size) == (len(sets[0].class_names), "")
    kept = [spec for spec, *_ in listings.BUNDLED]
    assert kept == ["wardrobe", *lab.BUNDLED]
    corrupted = [v for v in wardrobe.VARIANTS if v.endswith("-3")]
    assert list(listings.CORRUPTIONS) == corrupted
    plain = [v for v in wardrobe.VARIANTS if "-" not in v and v != "none"]
    assert list(listings.VARIANTS) == plain


QUICK = """
import sys
from typer.testing import CliRunner
from helpers.__main__ import app

for words in (
    "--help", "models", "chapters", "datasets", "claims", "claims smok",
    "run frist", "run intro -p vitt 3", "build smok", "train", "publish smok",
    "sweep mixers --edition smok", "run --help",
):
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code in (0, 2), (words, result.output)
    assert result.output, words
    assert "torch" not in sys.modules, words
"""


def test_commands_that_compute_nothing_do_without_torch():
    done = subprocess.run(
        [sys.executable, "-c", QUICK], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_commands_that_need_torch_say_so_first():
    done = subprocess.run(
        [sys.executable, "-m", "helpers", "models", "vit_smal_"],
        capture_output=True,
        text=True,
    )
    first, last = done.stderr.splitlines()
    assert first == "vitscope: loading torch ..."
    assert last.startswith("vitscope: unknown timm model")


def test_claims(book):
    result = vitscope("claims")
    assert result.exit_code == 0, result.output
    assert "not run" in result.stdout


def test_train(monkeypatch):
    calls = []
    monkeypatch.setattr(training, "run", lambda *a: calls.append(a))
    given = ["train", "mae", "--scenes", "640", "--hours", "2", "--jobs", "2"]
    result = vitscope(*given)
    assert result.exit_code == 0, result.output
    assert vitscope("train", "--all").exit_code == 0
    assert calls == [
        (["mae"], 640, 2.0, None, True, 2, ""),
        (list(training.RECIPES), None, math.inf, None, True, None, ""),
    ]


def test_the_status_of_trainings_needs_no_training(monkeypatch, tmp_path):
    monkeypatch.setenv("VITSCOPE_RUNS", str(tmp_path))
    monkeypatch.setattr(training, "run", lambda *_: 1 / 0)
    told = vitscope("train", "--all", "--status").stdout.splitlines()
    assert len(told) == len(training.RECIPES)
    assert "0 of 1,024,000  (goal head: garment 90, fabric 97)" in told[0]


def test_a_failed_training_is_told_in_lines(monkeypatch):
    def fail(*_):
        raise training.TrainingError("1 of 2 ...:\nmae: no such luck")

    monkeypatch.setattr(training, "run", fail)
    result = vitscope("train", "mae", "dino")
    assert result.exit_code == 1
    assert result.stderr == "vitscope: 1 of 2 ...:\nmae: no such luck\n"


def test_a_full_disk_is_told_in_a_line(book, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "ledger.json")

    monkeypatch.setattr(runner, "run", fail)
    result = vitscope("run")
    assert result.exit_code == 2
    assert "No space left on device: 'ledger.json'" in result.stderr
    assert "What to do: the disk is full" in result.stderr


def test_doctor_tells_what_is_wrong(monkeypatch):
    found = [
        doctor.Finding("numpy", "1.26"),
        doctor.Finding("chromium", "missing", "only for tests", needed=False),
    ]
    monkeypatch.setattr(doctor, "examine", lambda: iter(found))
    result = vitscope("doctor")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("next: `make ")
    found.append(doctor.Finding("timm", "0.9", "timm 1.0.21 is needed"))
    result = vitscope("doctor")
    assert result.exit_code == 1
    assert "WRONG  timm: 0.9  (timm 1.0.21 is needed)" in result.stdout
    assert "next: mend what is marked WRONG" in result.stdout


def test_doctor_names_the_next_step(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "checkout", lambda: tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "make shell" in doctor.next_step(0)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert "make book" in doctor.next_step(0)
    index = tmp_path / "_build/editions/lab/html/index.html"
    index.parent.mkdir(parents=True)
    index.touch()
    assert "make serve" in doctor.next_step(0)
    assert "WRONG" in doctor.next_step(1)


def test_doctor_finds_old_versions_and_damaged_models(monkeypatch):
    from helpers.models import zoo

    def damaged(name):
        raise ValueError(f"{name} is damaged")

    version = doctor.importlib.metadata.version
    monkeypatch.setattr(
        doctor.importlib.metadata,
        "version",
        lambda name: "0.9.16" if name == "timm" else version(name),
    )
    monkeypatch.setattr(zoo, "cards", lambda: {"vit_cls": {}})
    monkeypatch.setattr(zoo, "state", damaged)
    wrong = {f.what: f.mend for f in doctor.examine() if f.mend and f.needed}
    assert wrong["timm"] == "timm 1.0.21 or newer is needed"
    assert wrong["zoo"] == "vit_cls is damaged"
    assert not {"python", "torch", "numpy"} & set(wrong)
