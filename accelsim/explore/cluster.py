"""Workers of an existing Dask cluster. Needs the package ``distributed``."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterable, Iterator
from uuid import uuid4

from distributed import CancelledError, Client, Worker, WorkerPlugin, as_completed, get_worker
from distributed.client import ClosedClientError
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.scheduler import KilledWorker

from accelsim.errors import UserError
from accelsim.explore.chunk import Chunk, Task, evaluate_task
from accelsim.explore.executors import AHEAD, warm
from accelsim.explore.inputs import code_inputs
from accelsim.explore.plan import Plan

CONNECT_SECONDS = 5


class _PlanPlugin(WorkerPlugin):  # type: ignore[misc]
    """Brings the plan to every worker once, also to those that join or are restarted later."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._inputs = code_inputs()

    def setup(self, worker: Worker) -> None:
        """Refuse a worker whose numbers could be others, also one that joins later."""
        here = code_inputs()
        changed = [name for name, value in self._inputs.items() if here.get(name) != value]
        if changed:
            raise UserError(
                f"is not what the sweep was started with: {', '.join(changed)}",
                file=worker.address,
                allowed="the same versions on every worker",
            )


def _plan(name: str) -> Plan:
    plugin: _PlanPlugin = get_worker().plugins[name]
    return plugin.plan


def _work(name: str, task: Task) -> Chunk:
    return evaluate_task(_plan(name), task)


def _warm(name: str) -> None:
    warm(_plan(name))


class Cluster:
    """Evaluates on the workers of a running scheduler, and leaves them running."""

    def __init__(self, plan: Plan, address: str) -> None:
        self._client = _connect(address)
        self._address = address
        self._name = f"accelsim-{uuid4().hex}"
        # What it logs of a lost scheduler is said in one line here.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        try:
            with self._connected():
                self.workers = self._threads(address)
                self._client.register_plugin(_PlanPlugin(plan), name=self._name)
                self._warm_hosts()
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        """Turn the loss of the scheduler, or of workers again and again, into a line."""
        try:
            yield
        except KilledWorker as cause:
            raise UserError(
                "workers die, perhaps for want of memory",
                file="--scheduler",
                value=self._address,
                allowed="larger workers or smaller chunk_rows, then go on with --resume",
            ) from cause
        except (OSError, CancelledError, ClosedClientError) as cause:
            raise UserError(
                "was lost",
                file="--scheduler",
                value=self._address,
                allowed="start it again, then go on with --resume",
            ) from cause

    def _threads(self, address: str) -> int:
        threads = sum(self._client.nthreads().values())
        if not threads:
            raise UserError(
                "scheduler has no workers",
                file="--scheduler",
                value=address,
                allowed="start some with `dask worker`",
            )
        return int(threads)

    def _warm_hosts(self) -> None:
        """Compile on one worker of each host before the others would all compile the same."""
        by_host = {
            w["host"]: name for name, w in self._client.scheduler_info(-1)["workers"].items()
        }
        warming = [
            self._client.submit(
                _warm, self._name, workers=[name], allow_other_workers=True, pure=False
            )
            for name in by_host.values()
        ]
        self._client.gather(warming)

    def run(self, tasks: Iterable[Task]) -> Iterator[Chunk]:
        """Yield chunks as they come; the scheduler hands out again what a dead worker had.

        Raises:
            UserError: Several workers died of the same task, or the scheduler is gone.
        """
        waiting = iter(tasks)
        with self._connected():
            running = as_completed(
                [self._submit(task) for task in itertools.islice(waiting, AHEAD * self.workers)],
                loop=self._client.loop,
            )
        for future in running:
            with self._connected():
                chunk: Chunk = future.result()
                for task in itertools.islice(waiting, 1):
                    running.add(self._submit(task))
            yield chunk

    def _submit(self, task: Task) -> object:
        return self._client.submit(_work, self._name, task, pure=False)

    def close(self) -> None:
        """Leave the cluster as it was."""
        # Unless the scheduler is gone, or the plan never came to it.
        with contextlib.suppress(OSError, ValueError, TimeoutError):
            self._client.unregister_worker_plugin(self._name)
        self._client.close()


def _connect(address: str) -> Client:
    try:
        if not all(parse_host_port(parse_address(address, strict=True)[1])):
            raise ValueError("names no host or no port")
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as cause:
        raise UserError(
            "cannot be reached",
            file="--scheduler",
            value=address,
            allowed="expected the address of a running scheduler, tcp://HOST:PORT",
        ) from cause
