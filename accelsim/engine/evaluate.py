"""What one operator does on one design: cycles by cause and counts of every action.

``evaluate_all`` is the engine's only loop. It walks designs x operators, so that a single run is a
sweep of one, and sums are int64: exact, whatever the order. The model it applies is stated in
docs/timing.md (array cycles) and docs/engine.md (memory, vector unit, overlap, counts).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.engine.columns import (
    CYCLE_COLUMNS,
    DRAM_BYTES,
    GEMM_COLUMNS,
    SRAM_BITS,
    UNIT,
)
from accelsim.engine.elementwise import elementwise
from accelsim.engine.matrix import matrix_on_array, matrix_on_vector
from accelsim.engine.work import work_rows
from accelsim.hardware.actions import (
    COUNTERS,
    SHARED,
    UNIT_ACTIONS,
    Role,
    SharedAction,
    UnitAction,
)
from accelsim.hardware.design import ARRAY, VECTOR, Gating
from accelsim.kernels import kernel, lean_kernel
from accelsim.trace import Kind

# First and last of the counters that are DRAM bytes, and of those that are SRAM bits.
_MEMORIES = (
    (SharedAction.DRAM_READ, SharedAction.DRAM_WRITE),
    (SharedAction.ACTIVATION_READ, SharedAction.OUTPUT_WRITE),
)


@lean_kernel
def _role(kind):
    if kind == Kind.LM_HEAD:
        return Role.LM_HEAD
    if kind == Kind.ATTENTION_QK or kind == Kind.ATTENTION_AV:
        return Role.ATTENTION
    return Role.LINEAR


@lean_kernel
def _place(machine, role):
    if role == Role.ATTENTION:
        return machine.place_attention
    if role == Role.LM_HEAD:
        return machine.place_lm_head
    return ARRAY


@lean_kernel
def _clock_the_unused(units, op_cycles, used, counts):
    """Count the registers of units that have no part in an operator but no gate either."""
    for index in range(2):
        unit = units[index]
        if index != used and unit.gating == Gating.NONE:
            role = Role.LINEAR if index == ARRAY else Role.ATTENTION
            idle = (unit.operand_register_bits + unit.sum_register_bits) * op_cycles
            counts[role * UNIT_ACTIONS + UnitAction.IDLE_CLOCK] += idle


@lean_kernel
def _evaluate(op, units, machine, kept, totals, lead, recipes, cycles, counts, gemm):
    """Add one operator to ``cycles`` and ``counts``; return the lead left to the next one."""
    role = _role(op.kind)
    place = VECTOR if op.kind < Kind.GEMM else _place(machine, role)
    if op.kind < Kind.GEMM:
        total, left = elementwise(
            op, machine, units[ARRAY], kept, totals, lead, recipes, cycles, counts
        )
    elif place == VECTOR:
        total, left = matrix_on_vector(
            op, units[ARRAY], machine, role, kept, totals, lead, cycles, counts
        )
    else:
        total, left = matrix_on_array(
            op, units[place], machine, role, kept, totals, lead, cycles, counts, gemm
        )
    cycles[UNIT] = place
    _clock_the_unused(units, total, place, counts)
    counts[SHARED + SharedAction.CYCLE] += total
    # Beside attention the DRAM is left to the cache.
    return 0 if role == Role.ATTENTION or op.kind == Kind.SOFTMAX else left


@lean_kernel
def _evaluate_design(operators, units, machine, kept, totals, recipes, cycles, counts, gemm):
    """Add all operators, in execution order, to the rows of one design."""
    lead = np.int64(0)  # a literal 0 would have every callee compiled again
    for o in range(len(operators)):
        op = operators[o]
        if op.no_lead == 1:
            lead = np.int64(0)
        lead = _evaluate(
            op,
            units,
            machine,
            kept,
            totals,
            lead,
            recipes,
            cycles[op.target],
            counts[op.target],
            gemm,
        )


@kernel
def _evaluate_all(operators, units, machines, kept, totals, recipes, cycles, counts, gemm):
    for d in range(len(machines)):
        _evaluate_design(
            operators,
            units[d],
            machines[d],
            kept[d],
            totals[d],
            recipes,
            cycles[d],
            counts[d],
            gemm,
        )


def evaluate_all(
    operators: npt.NDArray[np.void],
    units: npt.NDArray[np.void],
    machines: npt.NDArray[np.void],
    layers: int,
    passes: npt.NDArray[np.int64],
    kept: npt.NDArray[np.int64],
    totals: npt.NDArray[np.int64],
    recipes: npt.NDArray[np.int64],
    target: npt.NDArray[np.int64] | None = None,
    rows: int | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Evaluate every operator on every design.

    Args:
        operators: ``OPERATOR_DTYPE`` [O].
        units: ``UNIT_DTYPE`` [D, 2].
        machines: ``MACHINE_DTYPE`` [D].
        layers: Decoder layers of the network.
        passes: Passes of each phase, int64 [2], at least 1 each.
        kept: Bytes of each Resident class that stay in SRAM, int64 [D, classes].
        totals: Bytes of each class over the workload, int64 [D, classes].
        recipes: ``recipe_table()``.
        target: To which of ``rows`` each operator is added, int64 [O]; by default a row each. The
            unit of a row is that of its last operator.
        rows: R, by default O.

    Returns:
        Cycles int64 [D, R, CYCLE_COLUMNS] and action counts int64 [D, R, COUNTERS].
    """
    target = np.arange(len(operators)) if target is None else target
    rows = len(operators) if rows is None else rows
    cycles = np.zeros((len(machines), rows, CYCLE_COLUMNS), dtype=np.int64)
    counts = np.zeros((len(machines), rows, COUNTERS), dtype=np.int64)
    _evaluate_all(
        work_rows(operators, layers, passes, target),
        _read_only(units),
        _read_only(machines),
        _read_only(kept),
        _read_only(totals),
        _read_only(recipes),
        cycles,
        counts,
        np.empty(GEMM_COLUMNS, dtype=np.int64),
    )
    dram, sram = (counts[:, :, SHARED + first : SHARED + last + 1] for first, last in _MEMORIES)
    cycles[:, :, DRAM_BYTES], cycles[:, :, SRAM_BITS] = dram.sum(axis=2), sram.sum(axis=2)
    return cycles, counts


def _read_only(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view that cannot be written: one kind of argument, compiled once."""
    view = table.view()
    view.setflags(write=False)
    return view
