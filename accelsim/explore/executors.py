"""Who evaluates chunks: this process, several, or the workers of a Dask cluster.

An executor takes tasks and yields their chunks in any order. What it yields does not depend on it.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any
from typing import Protocol

import numpy as np

from accelsim.errors import UserError
from accelsim.explore.chunk import Chunk, Task, evaluate_task
from accelsim.explore.plan import Plan

# Chunks that wait for each worker, so that none is idle and few are lost with it.
AHEAD = 2
# How often work is handed out again after a worker died, before it is taken for its own fault.
RETRIES = 3


class Executor(Protocol):
    """What evaluates tasks."""

    workers: int  # how many tasks it works on at once

    def run(self, tasks: Iterable[Task]) -> Iterator[Chunk]:
        """Yield the chunk of every task, in any order."""
        ...

    def close(self) -> None:
        """Stop the workers it started, and leave what it did not start."""
        ...


def warm(plan: Plan) -> None:
    """Compile what evaluation needs, or load it: one point of the plan is evaluated."""
    levels = np.zeros((1, len(plan.space.axes)), dtype=np.int64)
    evaluate_task(plan, Task(0, 0, 1, levels))


class InProcess:
    """Evaluates in this process, in order."""

    workers = 1

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def run(self, tasks: Iterable[Task]) -> Iterator[Chunk]:
        """Yield the chunk of every task, in order."""
        return (evaluate_task(self._plan, task) for task in tasks)

    def close(self) -> None:
        """Do nothing: nothing was started."""


_PLAN: list[Plan] = []  # of a worker process, filled once when it starts


def _start_worker(plan: Plan, line: Connection) -> None:
    """Make a worker ready; it ends with its parent, however that ends, or when that hangs up."""
    threading.Thread(target=_end_with_parent, args=(line,), daemon=True).start()
    _PLAN[:] = [plan]


def _end_with_parent(line: Connection) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_any([parent.sentinel, line])
    os._exit(1)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back for a moment.

    Processes that are started meanwhile never see it, from their first instruction on: it is the
    parent's to answer.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(task: Task) -> Chunk:
    return evaluate_task(_PLAN[0], task)


class Processes:
    """Evaluates in processes of this machine; when one dies all are replaced."""

    def __init__(self, plan: Plan, workers: int) -> None:
        self.workers = workers
        self._plan = plan
        self._line, self._end = multiprocessing.Pipe(duplex=False)
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(self._plan, self._line),
        )

    def run(self, tasks: Iterable[Task]) -> Iterator[Chunk]:
        """Yield chunks as they come.

        Raises:
            UserError: Workers die again and again without finishing anything.
        """
        waiting = itertools.chain(tasks)
        running: dict[Future[Chunk], Task] = {}
        deaths = 0
        while True:
            alive = self._hand_out(waiting, running)
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED) if alive else (set(running), None)
            for future in done:
                if future.done() and not isinstance(future.exception(), BrokenProcessPool):
                    del running[future]
                    deaths = 0
                    yield future.result()
                else:
                    alive = False
            if not alive:
                deaths += 1
                _check_deaths(deaths)
                waiting = itertools.chain(running.values(), waiting)
                running = {}
                self._replace()

    def _hand_out(self, waiting: Iterator[Task], running: dict[Future[Chunk], Task]) -> bool:
        """Submit tasks while there is room; return whether the pool takes them."""
        while len(running) < AHEAD * self.workers:
            task = next(waiting, None)
            if task is None:
                break
            try:
                with _without_interrupts():  # submitting starts processes
                    running[self._pool.submit(_work, task)] = task
            except BrokenProcessPool:
                # Not lost: it is handed out again with those that the pool broke under.
                lost: Future[Chunk] = Future()
                running[lost] = task
                return False
        return True

    def _replace(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._start()

    def close(self) -> None:
        """End the processes, whatever they are at: a chunk in work can take minutes."""
        self._end.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._line.close()


def _check_deaths(deaths: int) -> None:
    if deaths > RETRIES:
        raise UserError(
            "worker processes die, perhaps for want of memory",
            file="--workers",
            allowed="fewer workers or smaller chunk_rows, then go on with --resume",
        )


def open_executor(plan: Plan, workers: int, scheduler: str | None) -> Executor:
    """Return who evaluates a plan: a cluster, or as many processes as asked for.

    Raises:
        UserError: A scheduler that cannot be reached, or a package that is missing.
    """
    if scheduler is not None:
        if workers != 1:
            raise UserError("excludes --scheduler", file="--workers", value=workers)
        try:
            from accelsim.explore.cluster import Cluster
        except ImportError as cause:
            raise UserError(
                "needs dask.distributed",
                file="--scheduler",
                value=scheduler,
                allowed="pip install 'accelsim[dist]'",
            ) from cause
        return Cluster(plan, scheduler)
    warm(plan)
    return InProcess(plan) if workers == 1 else Processes(plan, workers)
