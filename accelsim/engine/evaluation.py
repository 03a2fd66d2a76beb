"""A workload on designs, counted: what prices, invariants and results start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.engine.bill import Bill
from accelsim.engine.evaluate import Workload, evaluate_all, whole_workload
from accelsim.engine.invariants import check_evaluation
from accelsim.engine.mapping import FIXED
from accelsim.engine.search import Searched, counter_rates, search
from accelsim.hardware.design import Designs
from accelsim.trace import Trace

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """Exact integers of every operator on every design.

    Attributes:
        cycles: int64 [D, O, CYCLE_COLUMNS].
        counts: int64 [D, O, COUNTERS].
        workload: What was counted.
        mapped: What a search found; None with the fixed mapping.
    """

    cycles: Integers
    counts: Integers
    workload: Workload
    mapped: Searched | None = None


def evaluate(
    trace: Trace, designs: Designs, mapping: str = FIXED, bills: Sequence[Bill] = ()
) -> Evaluation:
    """Map and count a whole workload on all designs.

    Args:
        trace: The workload.
        designs: D machines.
        mapping: ``fixed``, or the objective of a search: ``latency``, ``energy`` or ``edp``.
        bills: What each design charges, [D] of families of one; a search needs them.
    """
    workload = whole_workload(trace, designs)
    mapped = None
    if mapping == FIXED:
        cycles, counts = evaluate_all(workload)
    else:
        rates = np.concatenate([counter_rates(bill) for bill in bills])
        mapped = search(workload, rates, mapping)
        cycles, counts = mapped.cycles, mapped.counts
    check_evaluation(trace, designs, cycles, counts)
    return Evaluation(cycles, counts, workload, mapped)
