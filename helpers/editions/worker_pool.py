"""Processes that execute pages: several at once, each on its own device.

A page that stops takes no other with it. When the runner is killed, its
pages end with it (see `helpers.editions.run_page`), and what was in work is
all that is lost: a result appears by one rename. Does not decide what has to
run; see `run` and `sweep`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, cast

import nbformat
from tqdm import tqdm

import helpers.editions.failures as failures
import helpers.editions.results as results
from helpers.editions.failures import Failure
from helpers.editions.jobs import Job

GUESS = 30.0
"""Seconds that a page is thought to take when none has been timed."""


@dataclass(frozen=True, eq=False)
class Task:
    """One page to execute.

    Attributes:
        label: what it is called in messages.
        folder: where its results go.
        job: the page and its parameters.
        made_from: see `provenance.inputs`.
    """

    label: str
    folder: Path
    job: Job
    made_from: dict[str, str]


Claim = Callable[[Task], AbstractContextManager[bool]]
"""Entered while a task is executed; False where it need not be any more."""


def _unclaimed(_: Task) -> AbstractContextManager[bool]:
    return nullcontext(True)


def execute(
    tasks: Sequence[Task], workers: int = 1, claim: Claim = _unclaimed
) -> Generator[tuple[Task, float | Failure]]:
    """Execute pages, each in a process of its own.

    Where there are GPUs, a process sees one: with as many workers as GPUs
    each has its own, with more they share them evenly.

    Args:
        tasks: the pages; started in this order.
        workers: how many run at once.
        claim: for tasks that another runner may take, too.

    Yields:
        A task as soon as it ends, its results in place, and its seconds (0
        when another runner did it) or why it failed.
    """
    crew = _Crew(workers, claim)
    expected = _expected(tasks)
    bar = tqdm(
        total=sum(expected.values()),
        disable=not sys.stderr.isatty() or not tasks,
        bar_format="{percentage:3.0f}% |{bar}| {remaining} left {desc}",
        smoothing=0,
        leave=False,
    )
    pool = ThreadPoolExecutor(workers)
    try:
        work = {pool.submit(crew.run, task): task for task in tasks}
        left: set[Future[float]] = set(work)
        while left:
            done, left = wait_for(left, 0.5, FIRST_COMPLETED)
            for future in done:
                bar.clear()
                try:
                    yield work[future], future.result()
                except failures.PageError as error:
                    yield work[future], error.failure
            now = time.monotonic()
            bar.n = sum(
                min(expected[task], now - crew.started[task])
                if task in crew.children
                else expected[task]
                for task in tuple(crew.started)
            )
            names = (task.label for task in tuple(crew.children))
            bar.set_description_str(", ".join(names))
    finally:
        crew.stop()
        pool.shutdown(cancel_futures=True)
        bar.close()


def _expected(tasks: Sequence[Task]) -> dict[Task, float]:
    """Guess the seconds of each page from the times it took before."""
    timed = {t: results.record(t.folder, t.job).get("seconds") for t in tasks}
    known = [seconds for seconds in timed.values() if seconds]
    mean = sum(known) / len(known) if known else GUESS
    return {task: seconds or mean for task, seconds in timed.items()}


class _Crew:
    """What the threads share: the processes in work and the free devices."""

    def __init__(self, workers: int, claim: Claim) -> None:
        from helpers.runtime.devices import (
            gpus,  # brings torch, which takes seconds
        )

        self.workers, self.claim = workers, claim
        self.children: dict[Task, subprocess.Popen[str]] = {}
        self.started: dict[Task, float] = {}
        self.stopped = False
        self.gpus: SimpleQueue[str] = SimpleQueue()
        known = gpus()
        for slot in range(workers if known else 0):
            self.gpus.put(known[slot % len(known)])

    def stop(self) -> None:
        """End all processes."""
        self.stopped = True
        for child in tuple(self.children.values()):
            child.kill()

    def run(self, task: Task) -> float:
        """Execute one page on a free device; return its seconds.

        Raises:
            PageError: the page stopped; the partial notebook is kept.
        """
        with self.claim(task) as due:
            if not due or self.stopped:
                return 0.0
            gpu = None if self.gpus.empty() else self.gpus.get()
            try:
                return self._execute(task, gpu)
            except OSError as error:  # a full disk, say
                failure = failures.outside(task.job, error)
                raise failures.PageError(failure) from error
            finally:
                if gpu is not None:
                    self.gpus.put(gpu)

    def _execute(self, task: Task, gpu: str | None) -> float:
        target = results.executed(task.folder, task.job)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        order = {
            "notebook": nbformat.writes(task.job.notebook),
            "output": str(part),
            "parameters": task.job.overrides,
        }
        start = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", "helpers.editions.run_page"],
            stdin=subprocess.PIPE,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env=self._environment(task, gpu),
        )
        self.started[task] = start
        self.children[task] = child
        if self.stopped:  # in between, so that `stop` did not see it
            child.kill()
        orders, output = (
            cast(IO[str], child.stdin),
            cast(IO[str], child.stdout),
        )
        try:
            orders.write(json.dumps(order) + "\n")
            orders.flush()
        except BrokenPipeError:
            pass
        log = output.read()
        code = child.wait()
        del self.children[task]
        if code:
            failure = failures.find(task.job, part, log, code)
            if not self.stopped:
                failures.keep(failure, part, task.folder)
            raise failures.PageError(failure)
        failures.forget(task.job.page, task.folder)
        seconds = round(time.monotonic() - start, 2)
        results.keep(task.folder, task.job, part, task.made_from, seconds)
        return seconds

    def _environment(self, task: Task, gpu: str | None) -> dict[str, str]:
        """Return the environment variables that a page is executed with."""
        package = str(Path(__file__).resolve().parents[2])
        paths = [package, os.environ.get("PYTHONPATH", "")]
        variables = {
            **os.environ,
            "BOOK_BUILD": "1",
            "VITSCOPE_LEDGER": str((task.folder / "ledger.json").resolve()),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        if gpu is not None:
            variables["CUDA_VISIBLE_DEVICES"] = gpu
        if self.workers > 1:
            cores = max(1, (os.cpu_count() or 1) // self.workers)
            variables["OMP_NUM_THREADS"] = str(cores)
        return variables
