"""Sweeps that are killed, and workers that die: no point lost, none twice, the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sweep_factory import files, table, write_sweep

from accelsim import sweeps
from accelsim.explore.sweep import Order

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
PATIENCE = 120  # seconds, far above what any of this takes


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def start(*arguments: str) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "accelsim", "sweep", "sweep.yaml", "--no-report"]
    command = [*program, *arguments]
    return subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE)


def wait_for(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def chunks(folder: str) -> list[Path]:
    return list(Path(folder, "chunks").glob("*.chunk"))


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


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the sweep gives when nothing interferes: 48 points in 24 chunks, one process."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_sweep(chunk_rows=2)
        sweeps.sweep("sweep.yaml", out=Path("out"))
        return files("out")


@pytest.mark.parametrize(("first", "second"), [(1, 3), (2, 1)])
def test_a_sweep_killed_midway_ends_with_the_same_bytes(
    whole: dict[str, bytes], first: int, second: int
) -> None:
    write_sweep(chunk_rows=2)
    killed = start("--out", "out", "--workers", str(first))
    wait_for(lambda: len(chunks("out")) >= 3 or killed.poll() is not None)
    killed.kill()
    killed.wait()
    assert 3 <= len(chunks("out")) < 24
    # Half a chunk under its temporary name, as a kill within a write leaves it.
    Path("out/chunks/.000000020.chunk.1.tmp").write_bytes(b"half")
    sweeps.sweep("sweep.yaml", out=Path("out"), order=Order(workers=second, resume=True))
    assert files("out") == whole
    assert not Path("out/chunks").exists()


def test_a_worker_process_that_dies_is_replaced(whole: dict[str, bytes]) -> None:
    write_sweep(chunk_rows=2)
    running = start("--out", "out", "--workers", "2")
    wait_for(lambda: len(chunks("out")) >= 2 or running.poll() is not None)
    victims = children(running.pid)
    assert victims
    os.kill(victims[0], signal.SIGKILL)
    assert running.wait(PATIENCE) == 0
    assert files("out") == whole


def test_workers_end_with_a_killed_parent() -> None:
    write_sweep(chunk_rows=1)
    running = start("--out", "out", "--workers", "2")
    wait_for(lambda: len(chunks("out")) >= 2 or running.poll() is not None)
    workers = children(running.pid)
    assert workers
    running.kill()
    running.wait()
    wait_for(lambda: not any(is_alive(pid) for pid in workers))


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# A Dask cluster


@pytest.fixture
def scheduler() -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler on a port of its own, and two workers over TCP; all of them processes."""
    pytest.importorskip("distributed")
    dask = [sys.executable, "-m", "distributed.cli"]
    place = Path("scheduler.json")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    head = subprocess.Popen(
        [*dask[:2], "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
         "--no-dashboard", "--scheduler-file", str(place)],
        env=ENVIRONMENT, **quiet,
    )  # fmt: skip
    wait_for(place.exists)
    workers = [
        subprocess.Popen(
            [*dask[:2], "distributed.cli.dask_worker", "--scheduler-file", str(place),
             "--nthreads", "1", "--no-dashboard", "--no-nanny"],
            env=ENVIRONMENT, **quiet,
        )
        for _ in range(2)
    ]  # fmt: skip
    import json

    wait_for(lambda: bool(place.read_text().strip()))
    address = json.loads(place.read_text())["address"]
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=PATIENCE)
    yield address, workers
    for process in (*workers, head):
        process.kill()
        process.wait()


def test_a_cluster_that_loses_a_worker_loses_no_point(
    whole: dict[str, bytes], scheduler: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    address, workers = scheduler
    write_sweep(chunk_rows=2)
    killed = []

    def kill_one(done: int, points: int) -> None:
        if done >= 6 and not killed:
            workers[0].kill()
            killed.append(done)

    order = Order(scheduler=address)
    sweeps.sweep("sweep.yaml", out=Path("out"), order=order, advance=kill_one)
    assert killed
    assert files("out") == whole
    index = [row["index"] for row in table("out")]
    assert len(set(index)) == len(index)
    assert workers[1].poll() is None  # and the rest of the cluster is left as it was


# Search


SEARCH = {"kind": "search", "population": 8, "generations": 4, "seed": 1}


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3", "tpe"])
def test_a_search_that_is_stopped_ends_with_the_same_bytes(
    sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    write_sweep(
        method={**SEARCH, "sampler": sampler},
        constraints=[{"quantity": "area_mm2", "at_most": 4.66}],
    )
    sweeps.sweep("sweep.yaml", out=Path("whole"))

    def stop(done: int, points: int) -> None:
        if done == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweeps.sweep("sweep.yaml", out=Path("out"), advance=stop)
    assert len(chunks("out")) == 2
    result, _ = sweeps.sweep("sweep.yaml", out=Path("out"), order=Order(resume=True))
    assert files("out") == files("whole")
    assert result.points == 32
    assert result.front


def test_a_search_gives_the_same_bytes_for_any_number_of_workers() -> None:
    pytest.importorskip("optuna")
    write_sweep(method=SEARCH)
    for workers in (1, 2):
        order = Order(workers=workers)
        sweeps.sweep("sweep.yaml", out=Path(str(workers)), order=order)
    assert files("1") == files("2")


def test_a_search_of_a_small_space_finds_the_front_of_its_grid() -> None:
    pytest.importorskip("optuna")
    write_sweep()
    grid, _ = sweeps.sweep("sweep.yaml", out=Path("grid"))
    write_sweep(method={**SEARCH, "population": 16, "generations": 8})
    found, _ = sweeps.sweep("sweep.yaml", out=Path("found"))
    assert {row.objectives for row in found.front} == {row.objectives for row in grid.front}
