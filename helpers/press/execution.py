"""Run pages: one papermill process each, whole results or none.

An executed page carries what it was made from; it is used again until its
source, its parameters, the helpers, the data and models it names, or the
versions of torch and timm change. Results appear by one rename, so a run can
be killed at any moment and started again. For a single run of a single page
into a file of your own, plain `papermill book/<page>.ipynb out.ipynb` will do.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from tqdm import tqdm

from helpers import editions
from helpers.editions import BACK, Edition, Job
from helpers.press import failures, provenance, results
from helpers.press.failures import Failure

GUESS = 30.0
"""Seconds that a page is thought to take when none has been timed."""


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        executed: pages that ran, with their seconds.
        reused: pages whose results were up to date.
        failed: pages that stopped with an error.
    """

    executed: dict[str, float] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)


def run(
    edition: Edition,
    root: Path,
    pages: Sequence[str] = (),
    force: bool = False,
    workers: int = 1,
    say: Callable[[str], None] = print,
    validators: Mapping[str, Any] | None = None,
) -> Outcome:
    """Execute what is not up to date.

    Args:
        edition: what to run.
        root: the checkout.
        pages: only these pages; all of them when empty.
        force: run pages that are up to date, too.
        workers: how many pages run at once.
        say: takes one line a page, and the whole report of a failure.
        validators: see `editions.plan`.

    Returns:
        What ran, what was reused, what failed.

    Raises:
        ValueError: bad parameters; nothing has run then.
    """
    jobs = editions.plan(edition, root, pages, validators)
    folder = edition.folder(root)
    (folder / "executed").mkdir(parents=True, exist_ok=True)
    outcome = Outcome()
    with results.alone(folder, say):
        for stale in (folder / "executed").rglob("*.part"):
            stale.unlink()
        results.write(folder / "edition.yaml", edition.text())
        for last in (False, True):
            book = results.ledger(edition, folder, jobs)
            results.write(folder / "ledger.json", json.dumps(book, indent=1))
            group = [
                job
                for job in jobs
                if (job.page in BACK) == last
                and (not pages or job.page in pages)
            ]
            due = [
                job
                for job in group
                if force or results.changes(folder, job, book["pages"])
            ]
            outcome.reused += [job.page for job in group if job not in due]
            _Runner(edition, folder, jobs, workers, say, outcome).run(due)
    return outcome


class _Runner:
    """Executes some jobs of a run and keeps its ledger and progress bar."""

    def __init__(
        self,
        edition: Edition,
        folder: Path,
        jobs: Sequence[Job],
        workers: int,
        say: Callable[[str], None],
        outcome: Outcome,
    ) -> None:
        self.edition, self.folder, self.jobs = edition, folder, jobs
        self.workers, self.say, self.outcome = workers, say, outcome
        self.children: dict[str, subprocess.Popen[str]] = {}
        self.started: dict[str, float] = {}
        self.stopped = False

    def run(self, due: Sequence[Job]) -> None:
        """Execute jobs, the results of each in place as soon as it ends."""
        book = results.ledger(self.edition, self.folder, self.jobs)
        made = {j.page: provenance.inputs(j, book["pages"]) for j in due}
        expected = self._expected(due)
        bar = tqdm(
            total=sum(expected.values()),
            disable=not sys.stderr.isatty() or not due,
            bar_format="{percentage:3.0f}% |{bar}| {remaining} left {desc}",
            smoothing=0,
            leave=False,
        )
        pool = ThreadPoolExecutor(self.workers)
        try:
            work = {
                pool.submit(self._execute, j, made[j.page]): j for j in due
            }
            left: set[Future[float]] = set(work)
            while left:
                done, left = wait_for(left, 0.5, FIRST_COMPLETED)
                for future in done:
                    bar.clear()
                    self._finish(work[future], future)
                now = time.monotonic()
                bar.n = sum(
                    min(expected[page], now - self.started[page])
                    if page in self.children
                    else expected[page]
                    for page in tuple(self.started)
                )
                bar.set_description_str(", ".join(tuple(self.children)))
        finally:
            self.stopped = True
            for child in tuple(self.children.values()):
                child.kill()
            pool.shutdown(cancel_futures=True)
            bar.close()

    def _expected(self, due: Sequence[Job]) -> dict[str, float]:
        """Guess the seconds of each page from the times it took before."""
        timed = {
            j.page: results.record(self.folder, j).get("seconds") for j in due
        }
        known = [seconds for seconds in timed.values() if seconds]
        mean = sum(known) / len(known) if known else GUESS
        return {page: seconds or mean for page, seconds in timed.items()}

    def _finish(self, job: Job, future: "Future[float]") -> None:
        """Report one page and bring the ledger up to date."""
        try:
            seconds = future.result()
            self.outcome.executed[job.page] = seconds
            message = f"{job.page}: {seconds:.1f} s"
        except failures.PageError as error:
            self.outcome.failed.append(error.failure)
            message = str(error.failure)
        self.say(message)
        book = results.ledger(self.edition, self.folder, self.jobs)
        results.write(self.folder / "ledger.json", json.dumps(book, indent=1))

    def _execute(self, job: Job, made_from: dict[str, str]) -> float:
        """Execute one page in a process of its own.

        Returns:
            The seconds it took.

        Raises:
            PageError: the page stopped; the partial notebook is kept.
        """
        target = results.executed(self.folder, job)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        order = {
            "notebook": nbformat.writes(job.notebook),
            "output": str(part),
            "parameters": job.overrides,
        }
        start = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", "helpers.press.execute"],
            stdin=subprocess.PIPE,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env=self._environment(),
        )
        self.started[job.page] = start
        self.children[job.page] = child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(order) + "\n")
            child.stdin.flush()
        except BrokenPipeError:
            pass
        log = child.stdout.read()
        code = child.wait()
        del self.children[job.page]
        kept = self.folder / "failed" / f"{job.page}.ipynb"
        if code:
            failure = failures.find(job, part, log)
            if part.exists() and not self.stopped:
                kept.parent.mkdir(parents=True, exist_ok=True)
                os.replace(part, kept)
            raise failures.PageError(failure)
        kept.unlink(missing_ok=True)
        seconds = round(time.monotonic() - start, 2)
        results.keep(self.folder, job, part, made_from, seconds)
        return seconds

    def _environment(self) -> dict[str, str]:
        """Return the environment variables that pages are executed with."""
        package = str(Path(__file__).resolve().parents[2])
        paths = [package, os.environ.get("PYTHONPATH", "")]
        variables = {
            **os.environ,
            "BOOK_BUILD": "1",
            "VITSCOPE_LEDGER": str((self.folder / "ledger.json").resolve()),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        if self.workers > 1:
            cores = max(1, (os.cpu_count() or 1) // self.workers)
            variables["OMP_NUM_THREADS"] = str(cores)
        return variables
