"""The mapping of every operator that serves an objective best, design by design."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.engine.bill import Bill
from accelsim.engine.candidates import LOOKED, energy_of, search_operator
from accelsim.engine.columns import CYCLE_COLUMNS, GEMM_COLUMNS
from accelsim.engine.evaluate import (
    Workload,
    add_memories,
    add_standing,
    evaluate_operator,
    of_design,
)
from accelsim.engine.mapping import MAPPING_DTYPE, OBJECTIVES, Mappings, fixed_mapping
from accelsim.hardware.actions import COUNTERS, SHARED, SharedAction
from accelsim.kernels import kernel, lean_kernel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
LATENCY, ENERGY, EDP = range(len(OBJECTIVES))


@dataclass(frozen=True)
class Searched:
    """What a search found for D designs, O operators and R rows of results.

    Attributes:
        mappings: ``MAPPING_DTYPE`` [D, O]; the fixed one everywhere on a design it serves better.
        looked: Mappings looked at, int64 [D, O]; 0 for what no matrix unit does.
        cycles: int64 [D, R, CYCLE_COLUMNS].
        counts: int64 [D, R, COUNTERS].
        fixed_cycles: Of the fixed mapping, likewise.
        fixed_counts: Likewise.
    """

    mappings: Mappings
    looked: Integers
    cycles: Integers
    counts: Integers
    fixed_cycles: Integers
    fixed_counts: Integers


def counter_rates(bill: Bill) -> Floats:
    """Return pJ per count at value of every counter, float64 [G, COUNTERS]."""
    rates = np.zeros((bill.plan.size, COUNTERS))
    for index, line in enumerate(bill.lines):
        rates[:, line.counter] += bill.rate(index)
    return rates


def search(workload: Workload, rates: Floats, objective: str) -> Searched:
    """Search the mapping of every operator on every design.

    Args:
        workload: Operators and designs.
        rates: pJ per count, float64 [D, COUNTERS].
        objective: One of ``OBJECTIVES``.
    """
    designs, operators = len(workload.machines), len(workload.rows)
    size = (designs, workload.results)
    tables = [np.zeros((*size, columns), np.int64) for columns in (CYCLE_COLUMNS, COUNTERS)]
    fixed = [np.zeros_like(table) for table in tables]
    mappings = np.zeros((designs, operators), dtype=MAPPING_DTYPE)
    looked = np.zeros((designs, operators), dtype=np.int64)
    work = [np.empty(columns, np.int64) for columns in (CYCLE_COLUMNS, COUNTERS, GEMM_COLUMNS)]
    given = (np.ascontiguousarray(rates), OBJECTIVES.index(objective), fixed_mapping())
    trial = np.zeros(1, dtype=MAPPING_DTYPE)
    found = (mappings, looked, *tables, *fixed, trial, *work)
    _search_all(*(*workload.tables(), *given, *found))
    return Searched(mappings, looked, tables[0], tables[1], fixed[0], fixed[1])


@kernel
def _search_all(
    operators,
    units,
    machines,
    standing,
    rates,
    objective,
    fixed,
    mappings,
    looked,
    cycles,
    counts,
    fixed_cycles,
    fixed_counts,
    trial,
    work_cycles,
    work_counts,
    gemm,
):
    state = np.zeros(2)
    work = trial[0], work_cycles, work_counts, gemm, state
    for d in range(len(machines)):
        parts = operators, units[d], machines[d], standing
        of_design(*parts, fixed, fixed_cycles[d], fixed_counts[d], gemm)
        goal = objective, rates[d], fixed_counts[d]
        _search_design(parts, goal, mappings[d], looked[d], cycles[d], counts[d], work)
        better = _objective(objective, counts[d], rates[d])
        if better > _objective(objective, fixed_counts[d], rates[d]):
            for o in range(len(operators)):
                mappings[d, o] = fixed[0, 0]
            cycles[d], counts[d] = fixed_cycles[d], fixed_counts[d]


@lean_kernel
def _totals(counts, rates):
    """Return cycles and pJ of all rows."""
    cycles, energy = 0.0, 0.0
    for row in range(len(counts)):
        cycles += counts[row, SHARED + SharedAction.CYCLE]
        energy += energy_of(counts[row], rates)
    return cycles, energy


@lean_kernel
def _objective(objective, counts, rates):
    cycles, energy = _totals(counts, rates)
    if objective == LATENCY:
        return cycles
    return energy if objective == ENERGY else cycles * energy


@lean_kernel
def _search_design(parts, goal, mappings, looked, cycles, counts, work):
    """Choose mappings one after the other, each with the lead that the one before leaves."""
    operators, units, machine, standing = parts
    objective, rates, fixed_counts = goal
    trial, work_cycles, work_counts, gemm, state = work
    per_cycle, per_pj = 1.0, 0.0
    if objective == ENERGY:
        per_cycle, per_pj = 0.0, 1.0
    elif objective == EDP:
        # To first order a product falls by the sum of both relative gains.
        delay, energy = _totals(fixed_counts, rates)
        per_cycle, per_pj = 1.0 / delay, 1.0 / energy
    add_standing(standing, machine, counts)
    lead = np.int64(0)
    for o in range(len(operators)):
        op, best = operators[o], mappings[o]
        if op.no_lead == 1:
            lead = np.int64(0)
        job = (
            *(op, units, machine, lead, per_cycle, per_pj, rates),
            *(work_cycles, work_counts, gemm),
        )
        search_operator(job, trial, best, state)
        looked[o] = int(state[LOOKED])
        lead = evaluate_operator(
            *(op, units, machine, best, lead),
            *(cycles[op.target], counts[op.target], gemm),
        )
    add_memories(cycles, counts)
