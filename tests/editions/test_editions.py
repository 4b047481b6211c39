import errno
import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from helpers import editions
from helpers.claims.ledger import KEY
from helpers.editions import failures, parameters, provenance, results, site
from helpers.editions import run as runner
from helpers.editions.edition import Edition
from helpers.editions.site import build, stage
from tests import minibook

LAB = Edition("lab", "A mini book")


@pytest.fixture
def book(tmp_path):
    return minibook.make(tmp_path)


@pytest.fixture(autouse=True)
def _still_helpers(monkeypatch):
    """Hold the helpers still, should somebody edit them meanwhile."""
    monkeypatch.setattr(provenance, "_content", lambda path: path.name)


def run(edition, root, **settings):
    said = []
    outcome = runner.run(
        edition, root, say=said.append, validators={}, **settings
    )
    return outcome, said


def plan(edition, root, validators=None):
    return editions.plan(edition, root, validators=validators or {})


def test_plan_orders_pages_and_fills_parameters(book):
    edition = Edition(
        "x", "X", {"num_images": 8}, {"second": {"num_images": 9}}
    )
    jobs = plan(edition, book)
    assert [job.page for job in jobs] == ["first", "second", "claims"]
    assert jobs[0].overrides == {"num_images": 8}
    assert jobs[0].parameters["scale"] == 1.0
    assert jobs[1].overrides == {"num_images": 9}
    assert jobs[2].parameters == {"verbose": False}


def test_pages_that_read_the_ledger_come_last(book):
    toc = (book / "_toc.yml").read_text()
    toc = toc.replace("book/claims", "book/x").replace("first", "claims")
    (book / "_toc.yml").write_text(toc.replace("book/x", "book/first"))
    jobs = plan(LAB, book)
    assert [job.page for job in jobs] == ["second", "first", "claims"]


@pytest.mark.parametrize(
    ("shared", "pages", "message"),
    [
        ({"num_image": 8}, {}, "unknown parameter .* nearest: 'num_images'"),
        ({"num_images": "8"}, {}, "num_images is '8'"),
        ({"num_images": True}, {}, "num_images is True"),
        ({}, {"frist": {}}, "unknown page .* nearest: 'first'"),
        ({}, {"first": {"word": "x"}}, "unknown parameter of first 'word'"),
        ({}, {"first": {"names": "a"}}, r"must be list\[str\]"),
        ({}, {"first": {"num_images": 0}}, "num_images is 0, but must be ≥ 1"),
        ({}, {"first": {"scale": 10.5}}, "scale is 10.5, but must be 0 to 10"),
    ],
)
def test_bad_parameters_are_refused_before_anything_runs(
    book, shared, pages, message
):
    edition = Edition("lab", "X", shared, pages)
    with pytest.raises(ValueError, match=message):
        run(edition, book)
    assert not (book / "_build").exists()


def test_specifications_are_validated(book):
    edition = Edition("x", "X", {}, {"first": {"model": "lab/vit_clz"}})
    with pytest.raises(ValueError, match=r"first: parameter model: .*vit_cls"):
        editions.plan(edition, book)
    assert editions.plan(edition, book, pages=["second"])  # not concerned
    asked = []
    plan(LAB, book, {"model spec": asked.append, "image spec": asked.append})
    assert asked == ["lab/vit_cls"]


def test_editions_are_found_by_name_and_path(book, tmp_path):
    assert editions.load("lab", book).name == "lab"
    path = tmp_path / "mine.yaml"
    path.write_text("title: Mine\nparameters: {num_images: 6}\n")
    mine = editions.load(str(path), book)
    assert mine == Edition("mine", "Mine", {"num_images": 6})
    path.write_text("title: Mine\nparameter: {num_images: 6}\n")
    with pytest.raises(ValueError, match="nearest: 'parameters'"):
        editions.load(str(path), book)
    path.write_text("title: [Mine")
    with pytest.raises(ValueError, match=r"mine.yaml is not YAML"):
        editions.load(str(path), book)
    with pytest.raises(ValueError, match=r"unknown edition 'smok'.*'smoke'"):
        editions.load("smok", book)


def test_an_edition_of_ones_own(book):
    own = editions.amend(
        LAB, [("num_images", "7"), ("word", "1")], ["second"], book
    )
    assert own.name == "own"
    assert own.pages == {"second": {"num_images": 7, "word": "1"}}
    everywhere = editions.amend(LAB, [("num_images", "7")], [], book)
    assert set(everywhere.pages) == {"first", "second"}
    with pytest.raises(ValueError, match="unknown parameter of second 'wrod'"):
        editions.amend(LAB, [("wrod", "x")], ["second"], book)
    run(own, book, pages=["second"])
    assert editions.load("own", book) == own


def test_pages_run_once_until_something_changes(book):
    outcome, said = run(LAB, book)
    assert list(outcome.executed) == ["first", "second", "claims"]
    assert not outcome.failed
    assert [line.split(":")[0] for line in said] == list(outcome.executed)

    outcome, _ = run(LAB, book)
    assert not outcome.executed
    assert outcome.reused == ["first", "second", "claims"]

    page = book / "book" / "second.md"
    page.write_text(page.read_text().replace("word)", "word, word)"))
    jobs = plan(LAB, book)
    folder = LAB.folder(book)
    assert results.changes(folder, jobs[1], {}) == ["source"]
    outcome, _ = run(LAB, book)
    assert list(outcome.executed) == ["second", "claims"]

    changed = Edition("lab", "X", {}, {"first": {"scale": 2.5}})
    job = plan(changed, book)[0]
    assert results.changes(folder, job, {}) == ["parameters"]
    outcome, _ = run(changed, book, pages=["first"])
    assert list(outcome.executed) == ["first"]
    printed = nbformat.read(folder / "executed/first.ipynb", 4).cells
    assert "images 4 2.5" in str([c.get("outputs") for c in printed])

    outcome, _ = run(changed, book, pages=["first"], force=True)
    assert list(outcome.executed) == ["first"]


def test_what_a_page_depends_on(book, monkeypatch, tmp_path):
    data = tmp_path / "data"
    (data / "zoo").mkdir(parents=True)
    for name in ("garments.npz", "claims.yaml", "zoo/vit_cls.safetensors",
                 "zoo/mae.safetensors", "zoo/zoo.json"):  # fmt: skip
        (data / name).write_text("1")
    monkeypatch.undo()
    monkeypatch.setattr(provenance, "DATA", data)
    first, second, _ = plan(LAB, book)

    def changed(job, name, text):
        before = provenance.inputs(job, {})
        (data / name).write_text(text)
        after = provenance.inputs(job, {})
        return [part for part in after if after[part] != before[part]]

    assert changed(first, "zoo/vit_cls.safetensors", "22") == ["data"]
    assert changed(first, "zoo/mae.safetensors", "22") == []
    assert changed(first, "garments.npz", "22") == []
    assert changed(second, "zoo/vit_cls.safetensors", "333") == []
    edition = Edition("x", "X", {}, {"second": {"word": "wardrobe:sketch"}})
    assert changed(plan(edition, book)[1], "garments.npz", "333") == ["data"]
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    edition = Edition("x", "X", {}, {"second": {"word": f"folder:{pictures}"}})
    job = plan(edition, book)[1]
    assert changed(job, "../pictures/one.png", "x") == ["data"]
    assert changed(job, "../pictures/one.png", "xx") == ["data"]


def test_helpers_and_versions_count(book, monkeypatch):
    page = book / "book" / "second.md"
    text = page.read_text().replace("def half", "import helpers\n\n\ndef half")
    page.write_text(text)
    job = plan(LAB, book)[1]
    before = provenance.inputs(job, {})
    monkeypatch.setattr(provenance, "_content", lambda path: path.name + "!")
    monkeypatch.setattr(
        provenance.importlib.metadata, "version", lambda _: "0"
    )
    after = provenance.inputs(job, {})
    parts = [part for part in after if after[part] != before[part]]
    assert parts == ["helpers", "versions"]
    assert provenance.key(before) != provenance.key(after)


@pytest.mark.parametrize(
    ("changed", "moves"),
    [
        ("helpers/intervals/", True),
        ("helpers/measures/", True),
        ("helpers/charts/", False),
        ("helpers/claims/", False),
        ("helpers/runtime/errors", False),
        ("helpers/runtime/devices", True),
    ],
)
def test_only_what_measures_moves_a_number(book, monkeypatch, changed, moves):
    page = book / "book" / "second.md"
    names = "cka, charts, claims, intervals, measures"
    text = page.read_text().replace(
        "def half", f"from helpers import {names}\n\n{names}\n\n\ndef half"
    )
    page.write_text(text)
    job = plan(LAB, book)[1]
    before = provenance.numbers(job)

    def content(path):
        return path.name + "!" * (changed in path.as_posix())

    monkeypatch.setattr(provenance, "_content", content)
    assert (provenance.numbers(job) != before) == moves


def test_a_page_that_fails_stops_only_itself(book):
    failing = Edition("lab", "X", {}, {"second": {"num_images": 5}})
    outcome, said = run(failing, book)
    assert list(outcome.executed) == ["first", "claims"]
    (failure,) = outcome.failed
    source = book / "book" / "second.md"
    line = source.read_text().splitlines()[failure.line - 1]
    assert line == "half(num_images - 5)"
    assert (failure.page, failure.cell) == ("second", 2)
    assert "ZeroDivisionError: division by zero" in failure.traceback
    assert "\x1b" not in failure.traceback
    assert f"FAILED, code cell 2 ({source}:{failure.line})" in "\n".join(said)
    folder = failing.folder(book)
    assert (folder / "failed" / "second.ipynb").is_file()
    assert not (folder / "executed" / "second.ipynb").exists()
    book_of_results = json.loads((folder / "ledger.json").read_text())
    assert set(book_of_results["pages"]) == {"first", "claims"}
    outcome, _ = run(LAB, book)
    assert "second" in outcome.executed
    assert not (folder / "failed" / "second.ipynb").exists()


def test_a_kernel_that_dies_is_a_failure(book):
    page = book / "book" / "second.md"
    page.write_text(
        page.read_text().replace("half(num_", "__import__('os')._exit(num_")
    )
    outcome, _ = run(LAB, book, pages=["second"])
    (failure,) = outcome.failed
    assert "died" in failure.traceback.lower()
    assert "run fewer pages at once" in str(failure)


def test_a_page_that_the_system_kills_says_what_to_do(book):
    page = book / "book" / "second.md"
    page.write_text(
        page.read_text().replace(
            "half(num_", "__import__('os').kill(__import__('os').getppid(), "
            "9); half(num_"
        )
    )  # fmt: skip
    outcome, _ = run(LAB, book)
    (failure,) = outcome.failed
    assert failure.killed == 9
    assert "the system ended the page" in str(failure)
    assert list(outcome.executed) == ["first", "claims"]


def test_a_full_disk_stops_one_page_and_says_so(book, monkeypatch):
    kept = results.keep

    def full(folder, job, *rest):
        if job.page == "first":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return kept(folder, job, *rest)

    monkeypatch.setattr(results, "keep", full)
    outcome, said = run(LAB, book)
    (failure,) = outcome.failed
    assert failure.page == "first"
    assert "What to do: the disk is full" in "\n".join(said)
    assert list(outcome.executed) == ["second", "claims"]


@pytest.mark.parametrize("half", ["", '{"cells": [{"cell_ty', "[]", "{}"])
def test_half_a_notebook_does_not_hide_the_cause(book, tmp_path, half):
    (job, *_) = editions.plan(LAB, book, validators={})
    partial = tmp_path / "half.ipynb"
    partial.write_text(half)
    found = failures.find(job, partial, "MemoryError: 3 GiB\n", 1)
    assert found.reason == "MemoryError: 3 GiB"
    assert "ask for fewer images" in str(found)
    assert failures.find(job, partial, "", -9).reason == "ended by signal 9"
    failures.keep(found, partial, tmp_path)
    kept = [path.name for path in (tmp_path / "failed").iterdir()]
    assert kept == [f"{job.page}.txt"]
    assert not partial.exists()


def test_ledger_and_what_an_executed_page_keeps(book):
    page = book / "book" / "first.md"
    verdict = {"claim": "c", "verdict": "holds", "effect": 1.0}
    show = (
        "\n```{code-cell} ipython3\nfrom IPython.display import display\n\n"
        "display({'text/plain': 'verdicts'}, raw=True, "
        f"metadata={{{KEY!r}: [{verdict!r}]}})\n```\n"
    )
    page.write_text(page.read_text() + show)
    run(LAB, book)
    folder = LAB.folder(book)
    ledger = json.loads((folder / "ledger.json").read_text())
    assert ledger["edition"] == "lab"
    row = ledger["pages"]["first"]
    assert row["verdicts"] == [verdict]
    assert row["seconds"] > 0
    assert row["parameters"]["names"] == ["a", "b"]
    versions = {"python", "torch", "timm", "numpy", "device"}
    assert versions <= set(row["environment"])
    notebook = nbformat.read(folder / "executed/claims.ipynb", 4)
    assert notebook.cells[-1].outputs[0].text == "['first', 'second'] 1\n"
    assert str(book) not in (folder / "executed/first.ipynb").read_text()


def test_two_pages_at_once(tmp_path):
    book = minibook.make(tmp_path, delay=1.0)
    outcome, _ = run(LAB, book, workers=2)
    assert set(outcome.executed) == {"first", "second", "claims"}


RUN = """
import sys
from pathlib import Path
from helpers.editions import Edition, provenance
from helpers.editions.run import run
provenance._content = lambda path: path.name
edition = Edition("lab", "A mini book")
outcome = run(edition, Path(sys.argv[1]), validators={})
print("executed", *outcome.executed)
"""


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as status:
        return status.read().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_killed_midway_and_started_again(tmp_path, root):
    book = minibook.make(tmp_path)
    page = book / "book" / "second.md"
    text = page.read_text()
    waiting = "\nimport os, time\nfrom pathlib import Path\n\n" + (
        f"Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "time.sleep(WAIT)\n"
    )
    slow = text.replace("\nprint(word)", waiting + "print(word)")
    page.write_text(slow.replace("WAIT", "600 * os.path.exists('stop')"))
    (tmp_path / "stop").touch()
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", RUN, str(book)]
    running = subprocess.Popen(command, env=environment, cwd=tmp_path)
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 120
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    executed = LAB.folder(book) / "executed"
    assert {p.name for p in executed.glob("*.ipynb")} == {"first.ipynb"}
    nbformat.validate(nbformat.read(executed / "first.ipynb", 4))
    while alive(int(pid.read_text())):
        assert time.monotonic() < deadline, "the kernel outlived its runner"
        time.sleep(0.1)
    (tmp_path / "stop").unlink()
    again = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert again.stdout.splitlines()[-1] == "executed second claims"
    assert not list(executed.glob("*.part"))


def test_what_a_killed_run_was_writing_is_removed(book):
    folder = LAB.folder(book)
    names = "ledger.json.7.part", "executed/first.ipynb.part", "failed/x.part"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{")
    with results.alone(folder, print):
        assert not [path for path in folder.rglob("*") if path.is_file()
                    and path.name != "lock"]  # fmt: skip


def test_the_site_of_an_edition(book, monkeypatch):
    monkeypatch.setattr(parameters, "checks", dict)
    edition = Edition("mine", "My own edition", {"num_images": 6})
    with pytest.raises(FileNotFoundError, match="vitscope run mine"):
        site.build(edition, book)
    run(edition, book)
    said = []
    index = site.build(edition, book, say=said.append)
    assert said == []
    assert index == book / "_build/editions/mine/html/index.html"
    html = (index.parent / "book" / "first.html").read_text()
    assert "images 6 1.0" in html
    assert "My own edition" in html
    start = (index.parent / "book" / "start.html").read_text()
    assert 'href="first.html"' in start
    assert site.summary(edition, book).startswith("claims: 0 holds")

    page = book / "book" / "first.md"
    page.write_text(page.read_text() + "\n{cite}`nobody1900`\n")
    run(edition, book)
    with pytest.raises(ValueError, match="nobody1900"):
        site.build(edition, book)
    assert "images 6 1.0" in (index.parent / "book/first.html").read_text()


def test_a_site_of_one_page_has_no_links_to_others(book, monkeypatch):
    monkeypatch.setattr(parameters, "checks", dict)
    page = book / "book" / "first.md"
    page.write_text(page.read_text() + "\nSee [the second](second.md#end).\n")
    edition = Edition("mine", "My own edition")
    run(edition, book, pages=["first"])
    jobs = [j for j in editions.plan(edition, book) if j.page == "first"]
    site = stage(edition, book, jobs, only="first")
    assert "See the second." in (site / "book" / "first.ipynb").read_text()
    index = build(edition, book, only="first")
    pages = {path.name for path in (index.parent / "book").glob("*.html")}
    assert pages == {"first.html", "references.html"}
