"""The same claims on other weights: `controls`, `seeds` and `lengths`."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from helpers import __main__ as cli
from helpers import models
from helpers.claims import other_weights, statements
from helpers.claims.ledger import KEY
from helpers.editions import (
    measure_again,
    parameters,
    plan,
    provenance,
    repeat_commands,
    run,
    swapped,
)
from helpers.editions.edition import Edition
from helpers.models import zoo
from tests import minibook

VERDICT = (
    "{'claim': 'c', 'verdict': 'not measurable here', 'effect': "
    "float(seed), 'low': seed - 0.5, 'high': seed + 0.5, 'note': 'gate'}"
)
SHOW = (
    "\n```{code-cell} ipython3\nfrom IPython.display import display\n\n"
    "seed = len(model) / 8 if '@' in model or 'twin' in model else "
    "int(model.partition('=')[2] or 1)\n"
    "display({'text/plain': 'verdicts'}, raw=True, "
    f"metadata={{{KEY!r}: [{VERDICT}]}})\n```\n"
)
CHART = {
    "description": "Value against depth, by model.",
    "layer": [
        {
            "mark": {"type": "line"},
            "encoding": {
                "x": {"field": "depth", "type": "quantitative"},
                "y": {"field": "value"},
                "color": {"field": "model"},
                "strokeDash": {"field": "model"},
            },
        }
    ],
    "data": {"name": "d"},
    "datasets": {
        "d": {
            "depth": {"values": [0, 1]},
            "value": {"values": ["SEED", 0.25]},
            "model": {"levels": ["MODEL"], "codes": [0, 0]},
        }
    },
}
"""A chart against depth as a page of the book carries it."""
FIGURE = (
    '<figure class="vl-chart" id="figure-1"><div class="vl-view"></div>'
    f'<script type="application/json">{json.dumps(CHART)}</script></figure>'
)
DRAW = (
    "\n```{code-cell} ipython3\n"
    f"figure = {FIGURE!r}.replace('MODEL', model)\n"
    "figure = figure.replace('\"SEED\"', str(seed))\n"
    "display({'text/html': figure}, raw=True)\n```\n"
)
LAB = Edition("lab", "A mini book")


def stated(name: str, page: str, **facts: Any) -> statements.Claim:
    usual = (name, "p", "s", page, "S.", "e", 0.0, "above", 0.1, "why")
    return statements.Claim(*usual, **facts)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The mini book; its first page has a claim that depends on the model."""
    root = minibook.make(tmp_path)
    page = root / "book" / "first.md"
    page.write_text(page.read_text() + SHOW)
    tuned = stated("t", "second", uncontrolled="it is about fine-tuning")
    known = {"c": stated("c", "first"), "t": tuned}
    for module in (statements, measure_again, other_weights):
        monkeypatch.setattr(module, "claims", lambda: known)
    monkeypatch.setattr(repeat_commands, "checkout", lambda: root)
    monkeypatch.setattr(parameters, "checks", dict)
    monkeypatch.setattr(measure_again, "load", lambda *_: LAB)
    monkeypatch.setattr(other_weights, "FOLDER", root / "results")
    return root


def vitscope(*words: str) -> Any:
    return CliRunner().invoke(cli.app, list(words))


def kept(root: Path, kind: str = "controls") -> dict[str, Any]:
    text = (root / "results" / kind / "first.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def test_controls_are_kept_and_not_made_again(book: Path) -> None:
    done = vitscope("controls", "--draws", "2")
    assert done.exit_code == 0, done.output
    assert "2 runs, 2 to do" in done.stdout
    found = kept(book)
    assert found["parameters"]["model"] == "lab/vit_cls"
    assert list(found["runs"]) == ["1", "2"]
    for draw, seed in (("1", 100), ("2", 200)):
        made = found["runs"][draw]
        assert made["models"] == {"lab/vit_cls": f"lab/vit_cls?random={seed}"}
        ends = {"effect": seed, "low": seed - 0.5, "high": seed + 0.5}
        # The gate was closed on the page; a control does without.
        assert made["claims"] == {"c": ends | {"verdict": "holds"}}
    assert str(book) not in json.dumps(found)
    again = vitscope("controls", "--draws", "3")
    assert "3 runs, 1 to do" in again.stdout
    assert vitscope("controls", "--check").exit_code == 0


def drawn(root: Path) -> dict[str, Any]:
    """Collect the curves of each run."""
    return {n: run.get("curves") for n, run in kept(root)["runs"].items()}


def test_curves_of_controls_are_kept_and_picked_up(book: Path) -> None:
    page = book / "book" / "first.md"
    page.write_text(page.read_text() + DRAW)
    assert vitscope("controls", "--draws", "2").exit_code == 0
    expected = {
        str(i): {CHART["description"]: {"lab/vit_cls": f"0:{100 * i} 1:0.25"}}
        for i in (1, 2)
    }
    assert drawn(book) == expected
    path = book / "results" / "controls" / "first.json"
    content = json.loads(path.read_text())
    for run_ in content["runs"].values():  # as an earlier version wrote them
        del run_["curves"]
    content["runs"]["2"]["seconds"] += 0.01  # of another run than that page
    path.write_text(json.dumps(content))
    executed = book / "_build/controls/1/executed/first.ipynb"
    before = executed.stat().st_mtime_ns
    again = vitscope("controls", "--draws", "2")
    assert again.exit_code == 0, again.output
    assert "2 runs, 0 to do" in again.stdout
    assert executed.stat().st_mtime_ns == before
    assert drawn(book) == {"1": expected["1"], "2": None}
    executed.unlink()
    assert vitscope("controls", "--draws", "2").exit_code == 0
    assert drawn(book) == {"1": expected["1"], "2": None}


def test_curves_go_with_the_effects_of_their_run(book: Path) -> None:
    page = book / "book" / "first.md"
    text = page.read_text() + DRAW
    page.write_text(text)
    vitscope("controls", "--draws", "1")
    page.write_text(text.replace("0.25", "0.75"))
    vitscope("controls", "--draws", "1")
    (lines,) = drawn(book)["1"].values()
    assert lines == {"lab/vit_cls": "0:100 1:0.75"}
    page.write_text(text.replace("scale: float = 1.0", "scale: float = 2.0"))
    run.run(LAB, book, ["first"], say=lambda _: None)
    twins = vitscope("seeds", "twins")
    assert twins.exit_code == 0, twins.output
    assert "curves" not in json.dumps(kept(book, "seeds"))


def test_a_kill_loses_only_what_is_in_work(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = measure_again.execute

    def killed(tasks: Any, workers: int) -> Any:
        yield from real(tasks[:1], workers)
        raise KeyboardInterrupt

    monkeypatch.setattr(measure_again, "execute", killed)
    vitscope("controls", "--draws", "2")
    assert list(kept(book)["runs"]) == ["1"]
    monkeypatch.setattr(measure_again, "execute", real)
    assert "2 runs, 1 to do" in vitscope("controls", "--draws", "2").stdout


def test_what_lacks_a_control_or_has_one_of_an_earlier_version_is_named(
    book: Path,
) -> None:
    lacking = vitscope("controls", "--draws", "1", "--check")
    assert lacking.exit_code == 1
    assert lacking.stdout == "no draw 1 of controls: c\n"
    vitscope("controls", "--draws", "1")
    page = book / "book" / "first.md"
    text = page.read_text()
    page.write_text(text.replace("Count them.", "Count all of them."))
    assert vitscope("controls", "--draws", "1", "--check").exit_code == 0
    page.write_text(text.replace('print("images"', 'print("pictures"'))
    earlier = vitscope("controls", "--draws", "1", "--check")
    assert earlier.exit_code == 0
    assert earlier.stdout == "controls of an earlier code: c\n"
    assert "1 runs, 1 to do" in vitscope("controls", "--draws", "1").stdout
    page.write_text(text.replace("scale: float = 1.0", "scale: float = 2.0"))
    other = vitscope("controls", "--check")
    assert other.exit_code == 1
    assert other.stdout == "controls of other parameters: c (first)\n"


def test_the_ledger_knows_controls_of_an_earlier_version(book: Path) -> None:
    vitscope("controls", "--draws", "1")
    page = book / "book" / "first.md"
    run.run(LAB, book, ["first"], say=lambda _: None)
    path = LAB.folder(book) / "ledger.json"
    row = json.loads(path.read_text())["pages"]["first"]
    assert row["outdated"] == {"controls": [], "seeds": [], "lengths": []}
    page.write_text(page.read_text().replace('"images"', '"pictures"'))
    run.run(LAB, book, ["first"], say=lambda _: None)
    row = json.loads(path.read_text())["pages"]["first"]
    assert row["outdated"] == {
        "controls": ["code"],
        "seeds": [],
        "lengths": [],
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["controls", "frist"], "page with claims for controls 'frist'"),
        (["controls", "second"], "page with claims for controls 'second'"),
        (["seeds", "nowhere"], "no weights in nowhere"),
        (["seeds", "FULL", "second"], "no model of second has weights"),
        (["lengths", "nowhere"], "no weights in nowhere"),
        (["lengths", "FULL", "--share", "1"], "less than or equal to 0.999"),
        (["seeds", "FULL", "first"], "`vitscope run first`"),
        (["seeds", "FULL/a b"], "'a b' cannot: take letters, digits"),
    ],
)
def test_mistakes_are_told(book: Path, words: list[str], message: str) -> None:
    for folder in (book / "full", book / "full" / "a b"):
        folder.mkdir()
        (folder / "vit_cls.safetensors").touch()
    given = [word.replace("FULL", str(book / "full")) for word in words]
    done = vitscope(*given)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert not (book / "results").exists()


def test_a_page_that_fails_is_told_and_not_kept(book: Path) -> None:
    page = book / "book" / "first.md"
    text = page.read_text().replace("import time", "import time\n\n1 / 0")
    page.write_text(text)
    done = vitscope("controls", "--draws", "1")
    assert done.exit_code == 1
    assert "first, 1\nfirst: FAILED" in done.stdout
    assert not (book / "results").exists()


def test_second_trainings_stand_beside_the_first(book: Path) -> None:
    folder = book / "again"
    folder.mkdir()
    (folder / "vit_cls.safetensors").write_bytes(b"weights")
    run.run(LAB, book, ["first"], say=lambda _: None)
    done = vitscope("seeds", str(folder))
    assert done.exit_code == 0, done.output
    found = kept(book, "seeds")
    assert list(found["runs"]) == ["first", "again"]
    assert found["runs"]["first"]["models"] == {}
    assert found["runs"]["first"]["claims"]["c"]["effect"] == 1
    spec = f"lab/vit_cls@{folder}/vit_cls.safetensors"
    effect = found["runs"]["again"]["claims"]["c"]["effect"]
    assert effect == pytest.approx(len(spec) / 8, rel=1e-5)
    assert str(book) not in json.dumps(found)
    assert "1 runs, 0 to do" in vitscope("seeds", str(folder)).stdout
    (folder / "vit_cls.safetensors").write_bytes(b"other weights")
    assert "1 runs, 1 to do" in vitscope("seeds", str(folder)).stdout
    twins = vitscope("seeds", "twins")
    assert twins.exit_code == 0, twins.output
    assert list(kept(book, "seeds")["runs"]) == ["first", "again", "twins"]
    assert vitscope("seeds", "twins", "--check").exit_code == 0


def test_shorter_trainings_are_kept_by_their_share(book: Path) -> None:
    folder = book / "short"
    folder.mkdir()
    (folder / "vit_cls.safetensors").write_bytes(b"weights")
    for share in ("0.125", "0.25"):
        done = vitscope("lengths", str(folder), "--share", share)
        assert done.exit_code == 0, done.output
    found = kept(book, "lengths")
    assert list(found["runs"]) == ["0.125", "0.25"]
    spec = f"lab/vit_cls@{folder}/vit_cls.safetensors"
    effect = found["runs"]["0.25"]["claims"]["c"]["effect"]
    assert effect == pytest.approx(len(spec) / 8, rel=1e-5)
    assert str(book) not in json.dumps(found)
    again = ("lengths", str(folder), "--share", "0.25")
    assert "1 runs, 0 to do" in vitscope(*again).stdout
    (folder / "vit_cls.safetensors").write_bytes(b"other weights")
    assert "1 runs, 1 to do" in vitscope(*again).stdout
    assert vitscope(*again, "--check").exit_code == 0


def test_every_model_of_a_draw_has_its_own_seed() -> None:
    specs = ["lab/a", "lab/b?random", "lab/a", "lab/c"]
    assert swapped.untrained(2).swap(specs) == {
        "lab/a": "lab/a?random=200",
        "lab/b?random": "lab/b?random=201",
        "lab/c": "lab/c?random=202",
    }


def test_lists_of_models_are_swapped_too(book: Path) -> None:
    page = book / "book" / "first.md"
    text = page.read_text()
    more = 'models: list[str] = ["lab/mae", "lab/vit_cls"]  # model spec\n'
    page.write_text(text.replace("model: str", f"{more}model: str"))
    (job,) = plan(LAB, book, ["first"], {})[:1]
    again, new = swapped.with_weights(job, swapped.untrained(1))
    assert len(new) == 2
    assert again.parameters["models"] == [
        "lab/mae?random=100",
        "lab/vit_cls?random=101",
    ]
    assert again.parameters["model"] == "lab/vit_cls?random=101"
    assert again.parameters["names"] == job.parameters["names"]


def test_twins_change_places() -> None:
    swap = swapped.twins().swap
    both = ["lab/vit_cls", "lab/vit_cls_twin", "lab/resnet"]
    assert swap(both) == {
        "lab/vit_cls": "lab/vit_cls_twin",
        "lab/vit_cls_twin": "lab/vit_cls",
    }


def test_weights_of_a_folder_are_loaded(tmp_path: Path) -> None:
    state = zoo.state("vit_narrow")
    new = {key: value + 1 for key, value in state.items()}
    file = tmp_path / "vit_narrow.pt"
    torch.save(new, file)
    model = models.load(f"lab/vit_narrow@{file}", "cpu")
    for key, value in model.module.state_dict().items():
        torch.testing.assert_close(value, state[key] + 1)
    fresh = models.load(models.untrained(model.spec, 3), "cpu").module
    same = models.load("lab/vit_narrow?random=3", "cpu").module
    for a, b in zip(fresh.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)
    torch.save({"x": torch.ones(1)}, file)
    with pytest.raises(ValueError, match=r"vit_narrow.pt does not fit"):
        models.load(model.spec, "cpu")
    with pytest.raises(
        FileNotFoundError, match=r"no weights file at none\.pt"
    ):
        models.check("lab/vit_narrow@none.pt")


def test_results_of_other_weights_are_part_of_what_a_page_shows(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "DATA", book / "data")
    for name in ("first", "second", "claims"):
        page = book / "book" / f"{name}.md"
        page.write_text(page.read_text() + "\nIts claims.\n")
    folder = book / "data" / "results" / "controls"
    folder.mkdir(parents=True)

    def digests() -> list[str]:
        jobs = plan(LAB, book, validators={})
        return [provenance.inputs(job, {})["data"] for job in jobs[:3]]

    before = digests()
    (folder / "first.json").write_text("{}")
    first, second, ledger = digests()
    assert first != before[0]
    assert second == before[1]
    assert ledger != before[2]
