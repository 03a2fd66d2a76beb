"""Sweeps as processes that tests stop, kill and take workers from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep_factory import AXES, write_sweep

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
PATIENCE = 120  # seconds, far above what any of this takes
SWEEP = ("sweep", "sweep.yaml", "--no-report", "--out", "out")
# Long enough to be stopped midway: 372 points in 186 chunks.
CLOCKS = {"path": "clock_mhz", "range": {"start": 250, "stop": 1000, "step": 25}}
CHUNKS = 186


def write_long_sweep() -> None:
    """Write a sweep of many small chunks into the current folder."""
    axes = [CLOCKS if axis["path"] == "clock_mhz" else axis for axis in AXES]
    write_sweep(axes=axes, chunk_rows=2)


def start(*arguments: str, program: tuple[str, ...] = ("-m", "accelsim")) -> Any:
    """Start a sweep in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, *program, *SWEEP, *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def lines(stopped: Any) -> list[str]:
    """Return what a process said on stderr until it ended, less the remark of a first run."""
    _, told = stopped.communicate(timeout=PATIENCE)
    said = told.decode().splitlines()
    # click ends the line on which a terminal shows ^C.
    return [line for line in said if line and not line.startswith("first run: ")]


def wait_for(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def wait_for_chunks(least: int, running: Any) -> None:
    wait_for(lambda: len(chunks()) >= least or running.poll() is not None)
    assert running.poll() is None, lines(running)


def chunks() -> list[Path]:
    return list(Path("out/chunks").glob("*.chunk"))


def children(pid: int) -> list[int]:
    """Return the worker processes of a process (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = path.read_text().rsplit(")", 1)
            command = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields.split()[1]) == pid and b"spawn_main" in command:
            found.append(int(name.split()[0]))
    return found


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@dataclass(frozen=True)
class Cluster:
    """A Dask scheduler and its workers, all of them processes."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


def _dask(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run a scheduler on a port of its own, and two workers over TCP."""
    from distributed import Client

    place = Path("scheduler.json")
    file = ("--scheduler-file", str(place))
    processes = [_dask("dask_scheduler", "--host", "127.0.0.1", "--port", "0", *file)]
    try:
        wait_for(lambda: place.exists() and bool(place.read_text().strip()))
        processes += [
            _dask("dask_worker", *file, "--nthreads", "1", "--no-nanny") for _ in range(2)
        ]
        address = json.loads(place.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=PATIENCE)
        yield Cluster(address, processes[0], processes[1:])
    finally:
        for process in processes:
            process.kill()
            process.wait()
