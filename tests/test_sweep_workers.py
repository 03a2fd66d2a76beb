"""Sweeps that are stopped or killed, and workers that die: no point lost or twice, same bytes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sweep_factory import files, table, write_sweep
from sweep_processes import (
    CHUNKS,
    ENVIRONMENT,
    PATIENCE,
    SWEEP,
    Cluster,
    children,
    chunks,
    is_alive,
    lines,
    running_cluster,
    start,
    wait_for,
    wait_for_chunks,
    write_long_sweep,
)

from accelsim import sweeps
from accelsim.errors import UserError
from accelsim.explore.sweep import Order


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the long sweep gives when nothing interferes, in one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("whole"))
        write_long_sweep()
        sweeps.sweep("sweep.yaml", out=Path("out"))
        return files("out")


def resume(workers: int = 1) -> dict[str, bytes]:
    """Go on with the sweep that is here; return its files, which are no more than they should."""
    sweeps.sweep("sweep.yaml", out=Path("out"), order=Order(workers=workers, resume=True))
    assert not Path("out/chunks").exists()
    return files("out")


# Killed


def test_a_sweep_killed_again_and_again_ends_with_the_same_bytes(whole: dict[str, bytes]) -> None:
    write_long_sweep()
    for turn, least in enumerate((1, 21, 90, 160)):
        killed = start("--resume", "--workers", str(1 + turn % 2))
        wait_for_chunks(least, killed)
        killed.kill()
        killed.wait()
        assert least <= len(chunks()) < CHUNKS
    # Half a chunk under its temporary name, as a kill within a write leaves it.
    Path("out/chunks/.000000180.chunk.1.tmp").write_bytes(b"half")
    assert resume(workers=3) == whole


KILLER = """
import os, signal, sys
place, moment = sys.argv[1:3]
replace = os.replace

def replace_or_die(source, target):
    here = str(target).endswith(place)
    if here and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
    if here:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replace_or_die
from accelsim.cli import main
main(sys.argv[3:])
"""


def test_a_sweep_killed_before_and_after_each_kind_of_file_ends_with_the_same_bytes() -> None:
    write_sweep(chunk_rows=16)
    sweeps.sweep("sweep.yaml", out=Path("whole"))
    for place in ("inputs.json", "1.chunk", "results.csv", "sweep.json"):
        for moment in ("before", "after"):
            killed = start("--resume", program=("-c", KILLER, place, moment))
            assert lines(killed) == []
            assert killed.returncode == -signal.SIGKILL
    assert resume() == files("whole")


def test_workers_end_with_a_killed_parent() -> None:
    write_long_sweep()
    running = start("--workers", "2")
    wait_for_chunks(2, running)
    workers = children(running.pid)
    assert workers
    running.kill()
    running.wait()
    wait_for(lambda: not any(map(is_alive, workers)))


# Stopped by Ctrl-C


def interrupt(running: Any) -> None:
    """Send what Ctrl-C sends, to the whole group; nothing but one word is said."""
    os.killpg(running.pid, signal.SIGINT)
    assert lines(running) == ["stopped"]
    # Python ends by the signal itself where it came amid an import, which a shell tells as 130.
    assert running.returncode in (130, -signal.SIGINT)
    assert not list(Path("out").rglob(".*"))


def test_ctrl_c_while_workers_start_says_one_word_and_ends_them() -> None:
    write_long_sweep()
    running = start("--workers", "2")
    wait_for(lambda: len(children(running.pid)) == 2 or running.poll() is not None)
    workers = children(running.pid)
    interrupt(running)
    wait_for(lambda: not any(map(is_alive, workers)))


def test_ctrl_c_ends_workers_and_keeps_finished_chunks(whole: dict[str, bytes]) -> None:
    write_long_sweep()
    running = start("--workers", "2")
    wait_for_chunks(20, running)
    workers = children(running.pid)
    interrupt(running)
    wait_for(lambda: not any(map(is_alive, workers)))
    assert 20 <= len(chunks()) < CHUNKS
    assert resume(workers=2) == whole


# Workers that die


def test_a_worker_process_that_dies_is_replaced(whole: dict[str, bytes]) -> None:
    write_long_sweep()
    running = start("--workers", "2")
    wait_for_chunks(2, running)
    victims = children(running.pid)
    assert victims
    os.kill(victims[0], signal.SIGKILL)
    assert lines(running) == []
    assert running.returncode == 0
    assert files("out") == whole


# A disk that is full


FULL_DISK = """
mkdir disk && mount -t tmpfs -o size=200k none disk || exit 99
mkdir disk/out && ln -s disk/out out || exit 99
"$@"
code=$?
ls disk/out/chunks/*.chunk | wc -l
mount -o remount,size=16m disk && "$@" --resume && cp -r disk/out whole || exit 98
exit $code
"""


def test_a_full_disk_is_one_line_and_loses_no_finished_chunk(whole: dict[str, bytes]) -> None:
    """The disk is a small file system in memory, mounted where only this test sees it."""
    apart = ["unshare", "--map-root-user", "--mount", "bash", "-c"]
    if (
        not shutil.which("unshare")
        or subprocess.run(
            [*apart, "mount -t tmpfs none /mnt"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a small disk needs a user namespace, which this system refuses")
    write_long_sweep()
    command = [sys.executable, "-m", "accelsim", *SWEEP]
    ran = subprocess.run(
        [*apart, FULL_DISK, "bash", *command], env=ENVIRONMENT, capture_output=True,
        text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    (line,) = [told for told in ran.stderr.splitlines() if not told.startswith("first run: ")]
    assert ran.returncode == 2
    assert line.startswith("out/chunks/0000000")
    assert line.endswith("(No space left on device); free space, then go on with --resume")
    assert 0 < int(ran.stdout.split()[0]) < CHUNKS
    assert files("whole") == whole


def test_a_file_that_the_system_cuts_off_is_one_line_and_loses_nothing(
    whole: dict[str, bytes],
) -> None:
    """A limit on the size of files lets every chunk pass and refuses the table."""
    write_long_sweep()
    limit = 100_000
    assert max(map(len, whole.values())) > limit
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(UserError) as refusal:
            sweeps.sweep("sweep.yaml", out=Path("out"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(refusal.value) == (
        "out/results.csv: cannot be written (File too large); free space, then go on with --resume"
    )
    assert len(chunks()) == CHUNKS
    assert resume() == whole


# A Dask cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    with running_cluster() as running:
        yield running


def test_a_cluster_that_loses_a_worker_loses_no_point(
    whole: dict[str, bytes], cluster: Cluster
) -> None:
    write_long_sweep()
    killed = []

    def kill_one(done: int, points: int) -> None:
        if done >= 6 and not killed:
            cluster.workers[0].kill()
            killed.append(done)

    order = Order(scheduler=cluster.address)
    sweeps.sweep("sweep.yaml", out=Path("out"), order=order, advance=kill_one)
    assert killed
    assert files("out") == whole
    index = [row["index"] for row in table("out")]
    assert len(set(index)) == len(index)
    assert cluster.workers[1].poll() is None  # and the rest of the cluster is left as it was


def test_ctrl_c_leaves_a_cluster_running_and_a_lost_one_is_one_line(
    whole: dict[str, bytes], cluster: Cluster
) -> None:
    write_long_sweep()
    running = start("--scheduler", cluster.address)
    wait_for_chunks(5, running)
    interrupt(running)
    assert [worker.poll() for worker in cluster.workers] == [None, None]
    assert 5 <= len(chunks()) < CHUNKS
    running = start("--scheduler", cluster.address, "--resume")
    wait_for_chunks(len(chunks()) + 5, running)
    cluster.scheduler.kill()
    allowed = "start it again, then go on with --resume"
    assert lines(running) == [f"--scheduler: was lost ({cluster.address}); {allowed}"]
    assert running.returncode == 2
    assert len(chunks()) < CHUNKS
    assert resume() == whole


def test_a_worker_of_other_code_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = pytest.importorskip("accelsim.explore.cluster")
    plugin = cluster._PlanPlugin(None)
    worker = SimpleNamespace(address="tcp://far:1")
    plugin.setup(worker)
    mine = cluster.code_inputs()
    monkeypatch.setattr(cluster, "code_inputs", lambda: mine | {"package numpy": "1.0"})
    with pytest.raises(UserError, match=r"tcp://far:1: is not what .* with: package numpy; the"):
        plugin.setup(worker)


def test_workers_and_a_scheduler_exclude_each_other() -> None:
    write_sweep()
    with pytest.raises(UserError, match="--workers: excludes --scheduler"):
        sweeps.sweep("sweep.yaml", order=Order(workers=2, scheduler="tcp://127.0.0.1:1"))


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
    assert len(chunks()) == 2
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
