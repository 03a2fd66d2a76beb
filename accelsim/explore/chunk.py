"""One chunk of a sweep: points by index become a table, on whatever machine does it."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.engine.feasible import run_rules
from accelsim.engine.many import evaluate_family
from accelsim.explore.figures import design_figures, workload_figures
from accelsim.explore.plan import Plan, bound_text, within
from accelsim.explore.points import Levels
from accelsim.hardware.columns import build_family
from accelsim.hardware.design import Family
from accelsim.hardware.fields import Fields
from accelsim.hardware.floorplan import memory_rules
from accelsim.hardware.memory import dram_kinds
from accelsim.hardware.rules import Rule, design_rules
from accelsim.hardware.technology import Technology

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Task:
    """Points ``start`` to ``stop`` by index; ``levels`` only where a search proposed them."""

    number: int
    start: int
    stop: int
    levels: Levels | None = None


@dataclass(frozen=True)
class Chunk:
    """What became of one task's points; R of them are designs that could be evaluated.

    Attributes:
        number: Of the task.
        index: Points, ascending, int64 [R].
        levels: Of every axis, int64 [R, axes].
        feasible: Whether all constraints are met, bool [R].
        integers: Figures that are whole, int64 [figures, R].
        floats: The other figures, float64 [figures, R].
        refused: How many points were left out, by reason.
        failed: Evaluated designs that break each constraint.
    """

    number: int
    index: Levels
    levels: Levels
    feasible: Flags
    integers: npt.NDArray[np.int64]
    floats: npt.NDArray[np.float64]
    refused: dict[str, int]
    failed: dict[str, int]


def evaluate_task(plan: Plan, task: Task) -> Chunk:
    """Evaluate the points of a task.

    Raises:
        UserError: A missing price, or a workload too large to count.
    """
    index = np.arange(task.start, task.stop, dtype=np.int64)
    levels = plan.space.levels(index) if task.levels is None else task.levels
    refused: Counter[str] = Counter()
    parts = []
    for members, fields in plan.space.families(levels):
        kept, columns = _evaluate(plan, fields, refused)
        if kept.size:
            parts.append((members[kept], columns))
    return _assemble(plan, task, index, levels, parts, refused)


def _evaluate(
    plan: Plan, fields: Fields, refused: Counter[str]
) -> tuple[npt.NDArray[np.int64], list[Any]]:
    """Return which designs of a family can be evaluated, and their figures by column."""
    kept = np.arange(fields.size)
    technology = plan.technologies[fields.config.technology]
    holds = _holding(_early_rules(plan, fields, technology), fields.size, refused)
    kept, fields = kept[holds], fields.some(holds)
    if not kept.size:
        return kept, []
    family = build_family(fields)
    holds = _holding(_late_rules(plan, family, technology), fields.size, refused)
    kept = kept[holds]
    if not kept.size:
        return kept, []
    return kept, _figures(plan, family.some(holds), technology)


def _early_rules(plan: Plan, fields: Fields, technology: Technology) -> Iterator[Rule]:
    """Yield what can be told from fields alone."""
    kind = fields.config.dram.kind
    known = kind in dram_kinds(technology)
    yield Rule("dram.kind", "unknown external memory of the technology", known, kind, "")
    yield from design_rules(fields)
    for bound in plan.constraints:
        if plan.swept(bound.quantity):
            values = np.asarray(fields.number(bound.quantity))
            text = bound_text(bound)
            yield Rule("constraint", text, within(bound, values), values, text)


def _late_rules(plan: Plan, family: Family, technology: Technology) -> Iterator[Rule]:
    """Yield what workloads and prices ask of designs whose fields fit together."""
    for run in plan.runs:
        yield from run_rules(family, run.traces[family.config.network_form], technology)
    yield from memory_rules(family, technology)


def _holding(rules: Iterable[Rule], size: int, refused: Counter[str]) -> Flags:
    """Return which designs obey all rules; count each of the others under the first it breaks."""
    holding = np.ones(size, dtype=bool)
    for rule in rules:
        broken = holding & ~np.broadcast_to(np.asarray(rule.holds, dtype=bool), size)
        if broken.any():
            refused[rule.reason] += int(broken.sum())
            holding &= ~broken
            if not holding.any():
                break
    return holding


def _figures(plan: Plan, family: Family, technology: Technology) -> list[Any]:
    columns: list[Any] = []
    for run in plan.runs:
        trace = run.traces[family.config.network_form]
        totals = evaluate_family(trace, family, technology, run.mapping)
        if not columns:
            columns += design_figures(family.units, totals)
        columns += workload_figures(trace.workload, family.machines["clock_mhz"], totals)
    return columns


def _assemble(
    plan: Plan,
    task: Task,
    index: Levels,
    levels: Levels,
    parts: Sequence[tuple[npt.NDArray[np.int64], list[Any]]],
    refused: Counter[str],
) -> Chunk:
    """Return families side by side, sorted by index."""
    members = np.concatenate([m for m, _ in parts]) if parts else np.empty(0, dtype=np.int64)
    order = np.argsort(members, kind="stable")
    rows = members[order]
    whole = [f for f, figure in enumerate(plan.figures) if figure.whole]
    other = [f for f, figure in enumerate(plan.figures) if not figure.whole]
    integers = np.empty((len(whole), len(rows)), dtype=np.int64)
    floats = np.empty((len(other), len(rows)), dtype=np.float64)
    for block, numbers in ((integers, whole), (floats, other)):
        for row, f in enumerate(numbers):
            if parts:
                block[row] = np.concatenate([columns[f] for _, columns in parts])[order]
    chunk = Chunk(
        task.number,
        index[rows],
        levels[rows],
        np.ones(len(rows), dtype=bool),
        integers,
        floats,
        dict(sorted(refused.items())),
        {},
    )
    return _judged(plan, chunk)


def _judged(plan: Plan, chunk: Chunk) -> Chunk:
    """Mark designs that break a constraint on their figures."""
    failed: dict[str, int] = {}
    feasible = chunk.feasible
    for bound in plan.constraints:
        if not plan.swept(bound.quantity):
            holds = within(bound, quantity(plan, chunk, bound.quantity))
            failed[bound_text(bound)] = int((~holds).sum())
            feasible = feasible & holds
    return Chunk(
        chunk.number,
        chunk.index,
        chunk.levels,
        feasible,
        chunk.integers,
        chunk.floats,
        chunk.refused,
        failed,
    )


def quantity(plan: Plan, chunk: Chunk, name: str) -> npt.NDArray[np.float64]:
    """Return a column of figures, or a swept number, float64 [R]."""
    place = plan.swept(name)
    if place is not None:
        column: Any = plan.space.axes[place[0]].columns[place[1]]
        return np.asarray(column[chunk.levels[:, place[0]]], dtype=np.float64)
    (at,) = (f for f, figure in enumerate(plan.figures) if figure.name == name)
    whole = plan.figures[at].whole
    row = sum(figure.whole == whole for figure in plan.figures[:at])
    block: Any = chunk.integers if whole else chunk.floats
    return np.asarray(block[row], dtype=np.float64)


def objective_rows(plan: Plan, chunk: Chunk) -> npt.NDArray[np.float64]:
    """Return what a front minimises, float64 [R, objectives]: maxima are negated."""
    columns = [
        quantity(plan, chunk, objective.quantity) * (1 if objective.goal == "min" else -1)
        for objective in plan.objectives
    ]
    return np.stack(columns, axis=1)


def encode_chunk(chunk: Chunk) -> bytes:
    """Return a chunk as the bytes of an npz file."""
    out = io.BytesIO()
    counts = json.dumps({"refused": chunk.refused, "failed": chunk.failed})
    np.savez(
        out,
        number=np.int64(chunk.number),
        index=chunk.index,
        levels=chunk.levels,
        feasible=chunk.feasible,
        integers=chunk.integers,
        floats=chunk.floats,
        counts=np.array(counts),
    )
    return out.getvalue()


def decode_chunk(content: bytes) -> Chunk:
    """Return the chunk that ``encode_chunk`` wrote."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        counts = json.loads(str(arrays["counts"]))
        return Chunk(
            int(arrays["number"]),
            arrays["index"],
            arrays["levels"],
            arrays["feasible"],
            arrays["integers"],
            arrays["floats"],
            counts["refused"],
            counts["failed"],
        )
