import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from helpers import __main__ as cli
from helpers.claims.ledger import KEY
from helpers.editions import cells as sweep_cells
from helpers.editions import commands, edition, parameters, provenance, sweep
from helpers.editions.edition import Edition
from helpers.runtime import devices
from tests import minibook

LAB = Edition("lab", "A mini book")
VERDICT = (
    "{'claim': 'c', 'verdict': 'holds', 'effect': scale, 'low': 0.0, "
    "'high': 9.0, 'note': ''}"
)
SHOW = (
    "\n```{code-cell} ipython3\nfrom IPython.display import display\n\n"
    "display({'text/plain': 'verdicts'}, raw=True, "
    f"metadata={{{KEY!r}: [{VERDICT}]}})\n```\n"
)


@pytest.fixture
def book(tmp_path, monkeypatch):
    """The mini book; its first page has a claim whose effect is `scale`."""
    root = minibook.make(tmp_path)
    page = root / "book" / "first.md"
    page.write_text(page.read_text() + SHOW)
    for module in (cli, commands):
        monkeypatch.setattr(module, "checkout", lambda: root)
    monkeypatch.setattr(parameters, "checks", dict)
    monkeypatch.setattr(provenance, "_content", lambda path: path.name)
    monkeypatch.setattr(edition, "FOLDER", minibook.editions(root))
    return root


def vitscope(*words):
    return CliRunner().invoke(cli.app, ["sweep", *words])


def test_every_page_is_swept_over_the_parameters_it_has(book):
    over = ["num_images=6,7", "scale=1,2.5,3", "names=[a];[b, c]"]
    cells = sweep_cells.cells(LAB, book, ["first", "second"], over)
    first, second = cells[:12], cells[12:]
    assert {cell.job.page for cell in first} == {"first"}
    assert [cell.values for cell in second] == [
        {"num_images": 6},
        {"num_images": 7},
    ]
    assert first[1].values == {
        "num_images": 6,
        "scale": 1,
        "names": ["b", "c"],
    }
    assert first[1].job.parameters["names"] == ["b", "c"]
    assert first[1].job.overrides == {"num_images": 6, "names": ["b", "c"]}
    assert len({cell.folder for cell in cells}) == len(cells)
    fixed = sweep_cells.cells(LAB, book, ["first"], over, [("limit", "3")])
    assert not {c.folder for c in fixed} & {c.folder for c in cells}
    again = sweep_cells.cells(LAB, book, ["first"], over[::-1])
    assert {c.folder for c in again} == {c.folder for c in first}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["frist"], "page for a sweep 'frist'; nearest: 'first'"),
        (["claims"], "unknown page for a sweep 'claims'"),
        (["first", "--over", "num_image=1"], "nearest: 'num_images'"),
        (["first", "--over", "num_images=1,two"], "is 'two' (str), but must"),
        (["first", "--over", "num_images=1,"], "takes NAME=A,B,C"),
        (["first", "--over", "scale=1,-2"], "is -2, but must be 0 to 10"),
        (["first", "--over", "scale"], "takes NAME=A,B,C"),
        (["first", "--over", "scale=1,1"], "with different values"),
        (["first", "--over", "scale=1", "--over", "scale=2"], "twice"),
        (["first", "-p", "scal", "1"], "nearest: 'scale'"),
        (["first", "--table", "x.xlsx"], "valid: '.csv', '.parquet'"),
        (["first", "--only", "x"], "unknown cell 'x'"),
        (["first", "--edition", "smok"], "nearest: 'smoke'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_runs(book, words, message):
    result = vitscope(*words)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not (book / "_build").exists()


def test_specifications_are_validated(book):
    asked = []
    checks = {"model spec": asked.append}
    over = ["model=a,b", "scale=1,2"]
    sweep_cells.cells(LAB, book, ["first"], over, validators=checks)
    assert asked == ["a", "b"]


def test_a_failed_cell_is_told_and_the_others_go_on(book):
    words = ["first", "second", "--over", "num_images=4,5", "--jobs", "2"]
    target = book / "out" / "joined.csv"
    result = vitscope(*words, "--table", str(target))
    assert result.exit_code == 1
    assert "4 cells, 0 up to date" in result.stdout
    assert "ZeroDivisionError" in result.stdout
    assert "/4 second num_images=5\n" in result.stdout
    joined = pd.read_csv(target)
    assert list(joined.columns[:4]) == ["page", "num_images", "state", "claim"]
    assert joined.page.tolist() == ["first"] * 2 + ["second"] * 2
    assert joined.num_images.tolist() == [4, 5, 4, 5]
    assert joined.state.tolist() == ["done", "done", "done", "failed"]
    assert joined.claim.notna().tolist() == [True, True, False, False]
    assert joined.note.tolist()[-1] == "ZeroDivisionError: division by zero"
    page = book / "book" / "second.md"
    page.write_text(page.read_text().replace("1 / number", "number"))
    result = vitscope(*words)
    assert result.exit_code == 0
    assert "4 cells, 2 up to date" in result.stdout


def test_the_table_has_a_row_a_claim(book, tmp_path):
    words = ["first", "--over", "scale=1,2.5", "--over", "names=[b, c];[a]"]
    target = tmp_path / "joined.parquet"
    plan = vitscope(*words, "--plan")
    assert plan.stdout.count("to do") == 4
    assert not (book / "_build").exists()
    (name,) = (
        cell.folder.name
        for cell in sweep_cells.cells(LAB, book, ["first"], words[2::2])
        if cell.values == {"scale": 2.5, "names": ["b", "c"]}
    )
    only = vitscope(*words, "--only", name)
    assert only.exit_code == 0, only.output
    assert "2.500 [0.000, 9.000]" in only.stdout
    vitscope(*words, "--plan", "--table", str(target))
    joined = pd.read_parquet(target)
    assert joined.effect.isna().tolist() == [True, True, False, True]
    assert joined.scale.tolist() == [1, 1, 2.5, 2.5]
    assert joined.names.map(json.loads).tolist()[:2] == [["b", "c"], ["a"]]
    assert joined.verdict.dropna().tolist() == ["holds"]
    assert not list(tmp_path.rglob("*.part"))


def test_each_cell_has_a_gpu_to_itself(book, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "gpus", lambda: ["GPU-a", "GPU-b"])
    page = book / "book" / "second.md"
    use = (
        "\nimport os, time\n\n"
        "gpu = os.environ['CUDA_VISIBLE_DEVICES']\n"
        f"used = os.path.join({str(tmp_path)!r}, gpu)\n"
        "os.mkdir(used)  # fails while another cell is on it\n"
        "time.sleep(1)\nos.rmdir(used)\nprint('on', gpu)\nprint(word"
    )
    page.write_text(page.read_text().replace("\nprint(word", use))
    cells = sweep_cells.cells(LAB, book, ["second"], ["num_images=1,2,3,4"])
    assert not sweep.run(cells, 2, lambda _: None)
    found = [
        re.findall(r"on (GPU-\w)", cell.result.read_text()) for cell in cells
    ]
    assert all(found)
    assert {gpu for gpus in found for gpu in gpus} == {"GPU-a", "GPU-b"}


RUN = """
import sys
from pathlib import Path
from helpers.editions import Edition, provenance, sweep
from helpers.editions.cells import cells
provenance._content = lambda path: path.name
book = Path(sys.argv[1])
lab = Edition("lab", "A mini book")
found = cells(lab, book, ["first"], ["scale=1,2,3"], validators={})
sweep.run(found, 2)
print(*sweep.table(found).state, sep=",")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="sends SIGKILL")
def test_killed_midway_and_started_again(book, tmp_path, root):
    page = book / "book" / "first.md"
    wait = (
        "\nif scale > 1 and Path('stop').exists():\n"
        "    Path(f'pid{scale}').write_text(str(os.getpid()))\n"
        "    time.sleep(600)\nprint('images'"
    )
    text = page.read_text().replace("\nprint('images'", wait)
    text = text.replace(
        '\nprint("images"', wait.replace("'images'", '"images"')
    )
    page.write_text(
        text.replace(
            "import time", "import os, time\nfrom pathlib import Path"
        )
    )
    (tmp_path / "stop").touch()
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", RUN, str(book)]
    running = subprocess.Popen(command, env=environment, cwd=tmp_path)
    deadline = time.monotonic() + 300
    pids = [tmp_path / "pid2", tmp_path / "pid3"]
    while not all(pid.exists() and pid.read_text() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    finished = list((book / "_build").rglob("executed/*.ipynb"))
    assert [p.parts[-3].split("_")[0] for p in finished] == ["scale=1"]
    json.loads(finished[0].read_text())
    modified = finished[0].stat().st_mtime_ns
    while any(Path(f"/proc/{pid.read_text()}/cwd").exists() for pid in pids):
        assert time.monotonic() < deadline, "a kernel outlived its runner"
        time.sleep(0.1)
    (tmp_path / "stop").unlink()
    again = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    lines = again.stdout.splitlines()
    assert lines[0] == "3 cells, 1 up to date"
    assert lines[-1] == "done,done,done"
    assert finished[0].stat().st_mtime_ns == modified
    assert not list((book / "_build").rglob("*.part"))


def test_two_runs_share_the_work(book):
    first, second = sweep_cells.cells(LAB, book, ["first"], ["scale=1,2"])
    done = sweep_cells.Cell(first.job, first.values, first.folder)
    said = []
    assert not sweep.run([first, done, second], 2, said.append)
    assert sum(line.endswith(": 0.0 s") for line in said) == 1


def test_snakemake_plans_a_job_a_cell(root):
    pytest.importorskip("snakemake", reason="pip install 'vitscope[cluster]'")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1"),
            *("--snakefile", str(root / "Snakefile")),
            *("--config", "pages=ssl_structure the_lab", "edition=smoke"),
            "over=seed=0,1 reconstructive=lab/mae,lab/dino",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert {"cell": "6", "table": "1"}.items() <= dict(
        line.split() for line in said.splitlines() if len(line.split()) == 2
    ).items()
