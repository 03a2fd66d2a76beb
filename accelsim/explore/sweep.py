"""A sweep from its plan to its files: evaluate, keep, find the front, write the table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.errors import UserError
from accelsim.explore.chunk import Chunk, Task
from accelsim.explore.config import SweepConfig
from accelsim.explore.executors import Executor, open_executor
from accelsim.explore.inputs import sweep_inputs
from accelsim.explore.pareto import knee
from accelsim.explore.plan import Plan, bound_text
from accelsim.explore.search import load_optuna, search
from accelsim.explore.store import CSV, GO_ON, PARQUET, STUDY, SWEEP, Store, read_json
from accelsim.explore.table import (
    MOST_CSV_POINTS,
    load_pyarrow,
    table_columns,
    write_csv,
    write_parquet,
)
from accelsim.explore.tally import Tally, empty_tally
from accelsim.files import write_whole
from accelsim.result import (
    FrontRow,
    SweepAxis,
    SweepBound,
    SweepResult,
    sweep_from_json,
    sweep_to_json,
)

SCHEMA_VERSION = 1
MOST_FAILURES_TOLD = 3

Tell = Callable[[str], None]
Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class Order:
    """How a sweep is run, which changes no number of it.

    Attributes:
        workers: Processes of this machine.
        scheduler: Address of a Dask scheduler whose workers are used instead.
        resume: Go on with what is in the folder.
        force: Remove what is in the folder.
        csv: Write CSV however large the table is.
    """

    workers: int = 1
    scheduler: str | None = None
    resume: bool = False
    force: bool = False
    csv: bool = False


def run_sweep(
    config: SweepConfig,
    plan: Plan,
    workloads: tuple[Mapping[str, Any], ...],
    folder: Path,
    order: Order,
    tell: Tell,
    advance: Advance,
) -> SweepResult:
    """Evaluate a plan and write its results to ``folder``.

    Args:
        config: The sweep as it was written.
        plan: The same, checked and with its traces.
        workloads: What to repeat each workload with, for sweep.json.
        folder: Where results go.
        order: Who works, and what happens to what is in the folder.
        tell: Told what is going on.
        advance: Told how many of all points are done.

    Raises:
        UserError: Anything that does not fit; chunks finished before stay for ``--resume``.
    """
    parquet = plan.space.points > MOST_CSV_POINTS and not order.csv
    if parquet:
        load_pyarrow()
    if config.method.kind == "search":
        load_optuna()
    store, inputs = Store(folder), sweep_inputs(config, plan)
    if store.open(inputs, resume=order.resume, force=order.force):
        return load_sweep(folder)
    tell("compiling, or loading what is compiled")
    executor = open_executor(plan, order.workers, order.scheduler)
    try:
        tally = _evaluate(plan, store, executor, advance)
    finally:
        executor.close()
    tell("writing the table")
    return _finish(config, plan, workloads, store, inputs, tally, parquet)


def load_sweep(folder: Path) -> SweepResult:
    """Return the result that a finished sweep left in ``folder``."""
    path = folder / SWEEP
    try:
        return sweep_from_json(read_json(path))
    except (KeyError, TypeError, ValueError) as cause:
        raise UserError("is no result of a sweep", file=path) from cause


def nothing_feasible(result: SweepResult, file: object) -> UserError | None:
    """Return what to tell where no design meets everything, None where one does."""
    if result.feasible:
        return None
    reasons = Counter(dict(result.refused))
    for bound in result.constraints:
        text = f"{bound.quantity}: {_bounds(bound)}"
        reasons[text] += bound.failed
    worst = [f"{count} x {reason}" for reason, count in reasons.most_common(MOST_FAILURES_TOLD)]
    return UserError(
        f"none of {result.points} designs can run and meets all constraints",
        file=file,
        allowed="; ".join(worst),
    )


def _bounds(bound: SweepBound) -> str:
    parts = []
    if bound.at_least is not None:
        parts.append(f"at_least {bound.at_least:g}")
    if bound.at_most is not None:
        parts.append(f"at_most {bound.at_most:g}")
    return ", ".join(parts)


def _evaluate(plan: Plan, store: Store, executor: Executor, advance: Advance) -> Tally:
    """Evaluate and keep every chunk that is not there yet; return what is known of all."""
    done, tally = store.finished(), empty_tally(plan)
    if plan.space.method.kind == "search":
        journal, evaluate = store.folder / STUDY, partial(_generation, plan, store, executor, done)
        for chunk in search(plan, journal, evaluate):
            tally.add(plan, chunk)
            advance((chunk.number + 1) * plan.chunk_rows, plan.space.points)
        return tally
    points = 0
    for number in sorted(done):
        tally.add(plan, store.load(number))
        points += _task(plan, number).size
    advance(points, plan.space.points)
    missing = (_task(plan, number) for number in range(plan.chunks) if number not in done)
    for chunk in executor.run(missing):
        store.save(chunk)
        tally.add(plan, chunk)
        points += _task(plan, chunk.number).size
        advance(points, plan.space.points)
    return tally


def _task(plan: Plan, number: int) -> Task:
    start = number * plan.chunk_rows
    return Task(number, start, min(start + plan.chunk_rows, plan.space.points))


def _generation(plan: Plan, store: Store, executor: Executor, done: set[int], task: Task) -> Chunk:
    """Return the chunk of a generation: kept from before, or shared out and put together."""
    if task.number in done:
        return store.load(task.number)
    assert task.levels is not None
    share = -(-len(task.levels) // executor.workers)
    parts = [
        Task(place, task.start + first, task.start + first + len(rows), rows)
        for place, first in enumerate(range(0, len(task.levels), share))
        if len(rows := task.levels[first : first + share])
    ]
    chunks = sorted(executor.run(parts), key=lambda chunk: chunk.number)
    chunk = _joined(task.number, chunks)
    store.save(chunk)
    return chunk


def _joined(number: int, chunks: list[Chunk]) -> Chunk:
    refused: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for chunk in chunks:
        refused.update(chunk.refused)
        failed.update(chunk.failed)
    return Chunk(
        number,
        np.concatenate([chunk.index for chunk in chunks]),
        np.concatenate([chunk.levels for chunk in chunks]),
        np.concatenate([chunk.feasible for chunk in chunks]),
        np.concatenate([chunk.integers for chunk in chunks], axis=1),
        np.concatenate([chunk.floats for chunk in chunks], axis=1),
        dict(sorted(refused.items())),
        dict(failed),
    )


def _finish(
    config: SweepConfig,
    plan: Plan,
    workloads: tuple[Mapping[str, Any], ...],
    store: Store,
    inputs: Mapping[str, str],
    tally: Tally,
    parquet: bool,
) -> SweepResult:
    """Write the table, then sweep.json, then remove the chunks: each step can be repeated."""
    front = np.sort(tally.index)

    def flagged() -> Iterator[tuple[Chunk, npt.NDArray[np.bool_]]]:
        for chunk in map(store.load, range(plan.chunks)):
            first, last = (np.searchsorted(front, chunk.index, side) for side in ("left", "right"))
            yield chunk, first < last

    (write_parquet if parquet else write_csv)(plan, flagged(), store.folder)
    result = _result(config, plan, workloads, tally, inputs, PARQUET if parquet else CSV)
    # A line for each key: indented, a front of many rows would fill most of the file with spaces.
    lines = (
        f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}"
        for key, value in sweep_to_json(result).items()
    )
    content = "{\n" + ",\n".join(lines) + "\n}\n"
    write_whole(store.folder / SWEEP, content.encode(), allowed=GO_ON, durable=True)
    store.remove_chunks()
    return result


def _result(
    config: SweepConfig,
    plan: Plan,
    workloads: tuple[Mapping[str, Any], ...],
    tally: Tally,
    inputs: Mapping[str, str],
    table: str,
) -> SweepResult:
    signs = [1.0 if objective.goal == "min" else -1.0 for objective in plan.objectives]
    order = np.lexsort((tally.index, *tally.points.T[::-1]))
    front = tuple(
        FrontRow(
            int(tally.index[row]),
            tuple(tally.levels[row].tolist()),
            tuple((tally.points[row] * signs).tolist()),
        )
        for row in order
    )
    return SweepResult(
        schema_version=SCHEMA_VERSION,
        name=config.name,
        description=config.description,
        bases=plan.space.bases,
        axes=tuple(
            SweepAxis(axis.paths, axis.values, tuple(c is not None for c in axis.columns))
            for axis in plan.space.axes
        ),
        constraints=tuple(
            SweepBound(
                bound.quantity,
                bound.at_least,
                bound.at_most,
                tally.failed.get(bound_text(bound), 0),
            )
            for bound in plan.constraints
        ),
        objectives=tuple((objective.quantity, objective.goal) for objective in plan.objectives),
        workloads=workloads,
        method={**config.method.model_dump(exclude_none=True), "chunk_rows": plan.chunk_rows},
        points=plan.space.points,
        designs=tally.designs,
        feasible=tally.feasible,
        refused=dict(sorted(tally.refused.items())),
        front=front,
        knee=int(tally.index[order][knee(tally.points[order])]) if front else None,
        columns=table_columns(plan),
        table=table,
        inputs=dict(inputs),
    )
