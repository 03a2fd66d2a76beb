"""Tasks a second that one Dask scheduler takes over TCP, with empty tasks and with our chunks.

Starts a scheduler and workers on this machine, and measures in each case the tasks a second that
came back and the CPU time of the scheduler's process, which has one thread: where its CPU time is
nearly the time that passed, it is full. With few cores workers and client run out before it does;
``--crowd K`` leaves it a share of one core, beside K processes that only count, and everybody else
the other cores: then it is seen full, at a K + 1st of the rate. ``--cold`` measures what the first
worker of a host pays for an empty cache of compiled kernels. Prints a table and, last, one JSON
line; needs `accelsim[dist]` and `accelsim[parquet]`.

    python benchmarks/scheduler.py [--workers N] [--crowd K] [--cold]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from distributed import Client, as_completed

from accelsim import locate
from accelsim.config import read_yaml
from accelsim.explore.executors import AHEAD
from accelsim.sweeps import Order, sweep

EMPTY = 4000  # tasks
CHUNKS = ((256, 120), (1024, 80), (8192, 16))  # designs of a chunk, chunks
SWEEP = "million"


@dataclass(frozen=True)
class Cluster:
    """A scheduler and workers, all of them processes of this machine."""

    address: str
    scheduler: int  # its process
    workers: tuple[int, ...]  # theirs

    def cpu_seconds(self) -> float:
        """Return what the scheduler's process has used so far."""
        fields = Path(f"/proc/{self.scheduler}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running_cluster(workers: int, folder: Path, cache: Path | None = None) -> Iterator[Cluster]:
    """Run a scheduler and workers of one thread each; kernels are cached in ``cache``."""
    place = folder / "scheduler.json"
    place.unlink(missing_ok=True)
    environment = os.environ | ({} if cache is None else {"XDG_CACHE_HOME": str(cache)})
    file = ("--scheduler-file", str(place), "--no-dashboard")

    def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{module}", *file, *arguments]
        hidden = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, env=environment, **hidden)

    processes = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0")]
    try:
        while not place.exists() or not place.read_text().strip():
            time.sleep(0.05)
        processes += [start("dask_worker", "--nthreads", "1", "--no-nanny") for _ in range(workers)]
        address = json.loads(place.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers)
        yield Cluster(address, processes[0].pid, tuple(p.pid for p in processes[1:]))
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def nothing(number: int) -> int:
    """Do no work: what is left of a task is what handing it out costs."""
    return number


def all_at_once(client: Client) -> None:
    """Submit empty tasks together and take all that they return."""
    client.gather(client.map(nothing, range(EMPTY), pure=False))


def one_for_each_that_ends(client: Client, ahead: int) -> None:
    """Submit empty tasks as a sweep does chunks: a few ahead, then one for each that comes back."""
    numbers = iter(range(EMPTY // 4))
    running = as_completed(
        [client.submit(nothing, number, pure=False) for number in islice(numbers, ahead)],
        loop=client.loop,
    )
    for future in running:
        future.result()
        for number in islice(numbers, 1):
            running.add(client.submit(nothing, number, pure=False))


def measured(cluster: Cluster, tasks: int, work: Callable[[], object]) -> dict[str, float]:
    """Return tasks a second of ``work``, and what the scheduler spent on one."""
    before, start = cluster.cpu_seconds(), time.perf_counter()
    work()
    seconds, spent = time.perf_counter() - start, cluster.cpu_seconds() - before
    return {"tasks_per_s": tasks / seconds, "scheduler_ms": 1e3 * spent / tasks,
            "scheduler_busy": spent / seconds}  # fmt: skip


def chunks(cluster: Cluster, folder: Path, rows: int, count: int) -> dict[str, float]:
    """Return what `accelsim sweep --scheduler` does with chunks, from the first to the last."""
    content = read_yaml(locate.resolve(SWEEP, locate.SWEEPS, option="SWEEP"))
    content |= {"method": {"kind": "random", "samples": rows * count}, "chunk_rows": rows}
    path = folder / f"{rows}.yaml"
    path.write_text(json.dumps(content))
    seen: list[tuple[int, float, float]] = []

    def advance(done: int, of: int) -> None:
        seen.append((done, time.perf_counter(), cluster.cpu_seconds()))

    order = Order(scheduler=cluster.address, force=True)
    sweep(str(path), out=folder / str(rows), order=order, advance=advance)
    (first, start, before), (last, end, after) = next(s for s in seen if s[0]), seen[-1]
    tasks = (last - first) / rows
    return {"tasks_per_s": tasks / (end - start), "scheduler_ms": 1e3 * (after - before) / tasks,
            "scheduler_busy": (after - before) / (end - start)}  # fmt: skip


def first_chunk(folder: Path, cache: Path) -> float:
    """Return the seconds from a fresh worker to its first chunk, with what ``cache`` holds."""
    with running_cluster(1, folder, cache) as cluster:
        content = read_yaml(locate.resolve(SWEEP, locate.SWEEPS, option="SWEEP"))
        content |= {"method": {"kind": "random", "samples": 128}}
        path = folder / "first.yaml"
        path.write_text(json.dumps(content))
        start = time.perf_counter()
        sweep(str(path), out=folder / "first", order=Order(scheduler=cluster.address, force=True))
        return time.perf_counter() - start


@contextmanager
def crowded(cluster: Cluster, others: int) -> Iterator[None]:
    """Leave the scheduler a share of one core, as one of ``others`` + 1 that want all of it."""
    first, *rest = range(os.cpu_count() or 1)
    for process in cluster.workers:
        os.sched_setaffinity(process, rest)
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), rest)
    os.sched_setaffinity(cluster.scheduler, {first})
    count = f"import os\nos.sched_setaffinity(0, {{{first}}})\nwhile True: pass"
    crowd = [subprocess.Popen([sys.executable, "-c", count]) for _ in range(others)]
    try:
        yield
    finally:
        for process in crowd:
            process.kill()
            process.wait()


def cases_in_a_crowd(
    workers: int, others: int, folder: Path
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield empty tasks with a scheduler that has a share of one core."""
    with (
        running_cluster(workers, folder) as cluster,
        Client(cluster.address, set_as_default=False) as client,
    ):
        all_at_once(client)
        for count in (0, others):
            with crowded(cluster, count):
                share = f"empty, scheduler has 1/{count + 1} core"
                yield share, measured(cluster, EMPTY, lambda: all_at_once(client))


def cases(workers: int, folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each case and what was measured of it."""
    with running_cluster(workers, folder) as cluster:
        with Client(cluster.address, set_as_default=False) as client:
            all_at_once(client)  # once for the caches of everything in between
            yield "empty, all at once", measured(cluster, EMPTY, lambda: all_at_once(client))
            stream: Any = lambda: one_for_each_that_ends(client, AHEAD * workers)  # noqa: E731
            yield "empty, one for each that ends", measured(cluster, EMPTY // 4, stream)
        for rows, count in CHUNKS:
            yield f"chunks of {rows:,} designs", chunks(cluster, folder, rows, count)


def main() -> None:
    """Measure, print, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--crowd", type=int, default=0, help="Processes beside the scheduler.")
    parser.add_argument("--cold", action="store_true", help="Measure a cold cache of kernels too.")
    given = parser.parse_args()
    found: dict[str, Any] = {"workers": given.workers, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{'tasks':30s} {'tasks/s':>9s} {'scheduler':>14s} {'busy':>6s}")
        rows = (
            cases_in_a_crowd(given.workers, given.crowd, folder)
            if given.crowd
            else cases(given.workers, folder)
        )
        for case, row in rows:
            found[case] = row
            print(f"{case:30s} {row['tasks_per_s']:9,.1f} {row['scheduler_ms']:8.2f} ms a task"
                  f" {row['scheduler_busy']:6.0%}")  # fmt: skip
        if given.cold:
            for state in ("cold", "warm"):
                found[f"first_chunk_{state}_s"] = first_chunk(folder, folder / "cache")
                print(f"first chunk, {state}: {found[f'first_chunk_{state}_s']:.1f} s")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
