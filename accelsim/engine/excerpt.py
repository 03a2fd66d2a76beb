"""A timeline excerpt: one prefill, the first and the last decode step, instance by instance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from accelsim.engine.columns import BUSY_MEMORY, IDEAL, UNIT
from accelsim.engine.evaluate import Workload, evaluate_all
from accelsim.engine.evaluation import Evaluation
from accelsim.engine.work import work_rows
from accelsim.hardware.design import Designs
from accelsim.result import CAUSES, UNITS, Segment
from accelsim.trace import Phase, Series, Trace

Integers = npt.NDArray[np.int64]


def timeline(trace: Trace, designs: Designs, index: int, done: Evaluation) -> tuple[Segment, ...]:
    """Return the segments of one design; cycles count from the start of each excerpt."""
    segments: list[Segment] = []
    passes = max(trace.workload.decode, 1)
    for excerpt, phase, member in _excerpts(trace):
        chosen = np.flatnonzero(trace.operators["phase"] == phase)
        operators = _single_pass(
            trace.operators[chosen], 1 if phase == Phase.PREFILL else passes, member
        )
        one = slice(index, index + 1)
        rows = work_rows(operators, trace.layers, np.ones(2, np.int64), np.arange(len(operators)))
        kept, totals = done.workload.kept[one], done.workload.totals[one]
        tables = (designs.units[one], designs.machines[one], kept, totals)
        mappings = None if done.mapped is None else done.mapped.mappings[one][:, chosen]
        cycles, _ = evaluate_all(Workload(rows, *tables, len(rows)), mappings)
        names = [trace.names[i].partition("/")[2] or trace.names[i] for i in chosen]
        segments += _lay_out(excerpt, names, operators, cycles[0], trace.layers)
    return tuple(segments)


def _excerpts(trace: Trace) -> Iterator[tuple[str, Phase, int]]:
    yield "prefill", Phase.PREFILL, 0
    if trace.workload.decode:
        yield "first decode step", Phase.DECODE, 0
    if trace.workload.decode > 1:
        yield "last decode step", Phase.DECODE, trace.workload.decode - 1


def _single_pass(operators: npt.NDArray[np.void], passes: int, member: int) -> npt.NDArray[np.void]:
    """Return the rows of one pass, growing dimensions fixed at series member ``member``.

    Counts stay as they are: they decide energy, not cycles.
    """
    rows = operators.copy()
    for series, column in ((Series.K, "k"), (Series.N, "n")):
        grows = rows["series"] == series
        rows[column] += np.where(grows, rows["series_step"] * member, 0)
    fixed = rows["series"] == Series.NONE
    rows["repeat"] = np.where(fixed, np.maximum(rows["repeat"] // passes, 1), rows["repeat"])
    rows["series"], rows["series_step"], rows["series_count"] = Series.NONE, 0, 1
    return rows


def _lay_out(
    excerpt: str, names: list[str], operators: npt.NDArray[np.void], cycles: Integers, layers: int
) -> Iterator[Segment]:
    """Place rows one after the other: those of a layer once per layer, the others around them."""
    inside = np.flatnonzero(operators["in_layer"] == 1)
    first, last = (int(inside[0]), int(inside[-1])) if inside.size else (len(names), -1)
    order = [*range(first), *(list(range(first, last + 1)) * layers), *range(last + 1, len(names))]
    now = 0
    for o in order:
        share = layers if operators["in_layer"][o] else 1
        length = int(cycles[o, IDEAL : IDEAL + len(CAUSES)].sum()) // share
        transfer = int(cycles[o, BUSY_MEMORY]) // share
        yield Segment(
            excerpt,
            names[o],
            UNITS[int(cycles[o, UNIT])],
            now,
            length,
            max(now + length - transfer, 0),
            min(transfer, now + length),
        )
        now += length
