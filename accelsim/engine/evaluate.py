"""What one operator does on one design: cycles by cause and counts of every action.

``evaluate_all`` is the engine's only loop. It walks designs x operators, so that a single run is a
sweep of one, and sums are int64: exact, whatever the order. The model it applies is stated in
docs/timing.md (array cycles) and docs/engine.md (memory, vector unit, overlap, counts).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.engine.columns import (
    CYCLE_COLUMNS,
    DRAM_BYTES,
    EXPOSED_VECTOR,
    GEMM_COLUMNS,
    IDEAL,
    MEMORY,
    SPATIAL,
    SRAM_BITS,
    TEMPORAL,
    UNIT,
)
from accelsim.engine.counts import count_idle
from accelsim.engine.elementwise import elementwise
from accelsim.engine.matrix import matrix_on_array, matrix_on_vector
from accelsim.engine.transfers import HALF
from accelsim.hardware.actions import COUNTERS, SHARED, Role, SharedAction
from accelsim.hardware.design import ARRAY, VECTOR, Gating
from accelsim.kernels import kernel
from accelsim.trace import Kind


@kernel
def _role(kind):
    if kind == Kind.LM_HEAD:
        return Role.LM_HEAD
    if kind == Kind.ATTENTION_QK or kind == Kind.ATTENTION_AV:
        return Role.ATTENTION
    return Role.LINEAR


@kernel
def _place(machine, role):
    if role == Role.ATTENTION:
        return machine.place_attention
    if role == Role.LM_HEAD:
        return machine.place_lm_head
    return ARRAY


@kernel
def _clock_the_unused(units, op_cycles, used, counts):
    """Count the registers of units that have no part in an operator but no gate either."""
    for index in range(2):
        unit = units[index]
        if index != used and unit.rows > 0 and unit.gating == Gating.NONE:
            role = Role.LINEAR if index == ARRAY else Role.ATTENTION
            count_idle(unit, unit.rows * unit.cols * op_cycles, 0, role, counts)


@kernel
def _evaluate(
    op, units, machine, layers, passes, kept, totals, credit, recipes, cycles, counts, gemm, whole
):
    """Fill ``cycles`` and ``counts`` of one operator; return DRAM cycles free for the next one."""
    role = _role(op.kind)
    place = VECTOR
    if op.kind < Kind.GEMM:
        idle = elementwise(
            op, machine, units[ARRAY], layers, passes, kept, totals, credit, recipes, cycles, counts
        )
    else:
        place = _place(machine, role)
        if place == VECTOR:
            idle = matrix_on_vector(
                op, machine, role, layers, passes, kept, totals, credit, cycles, counts
            )
        else:
            idle = matrix_on_array(
                op,
                units[place],
                machine,
                role,
                layers,
                passes,
                kept,
                totals,
                credit,
                cycles,
                counts,
                gemm,
                whole,
            )
    total = cycles[IDEAL] + cycles[SPATIAL] + cycles[TEMPORAL] + cycles[MEMORY]
    total += cycles[EXPOSED_VECTOR]
    _clock_the_unused(units, total, place, counts)
    cycles[UNIT] = place
    counts[SHARED + SharedAction.CYCLE] += total
    for action in (SharedAction.DRAM_READ, SharedAction.DRAM_WRITE):
        cycles[DRAM_BYTES] += counts[SHARED + action]
    for action in range(SharedAction.ACTIVATION_READ, SharedAction.OUTPUT_WRITE + 1):
        cycles[SRAM_BITS] += counts[SHARED + action]
    ahead = machine.weight_stream // HALF
    return min(idle, int(ahead / machine.dram_bytes_per_cycle))


@kernel
def _evaluate_all(
    operators, units, machines, layers, passes, kept, totals, recipes, cycles, counts
):
    gemm = np.empty(GEMM_COLUMNS, dtype=np.int64)
    whole = np.empty(GEMM_COLUMNS, dtype=np.int64)
    for d in range(len(machines)):
        credit = 0
        for o in range(len(operators)):
            credit = _evaluate(
                operators[o],
                units[d],
                machines[d],
                layers,
                passes[operators[o].phase],
                kept[d],
                totals[d],
                credit,
                recipes,
                cycles[d, o],
                counts[d, o],
                gemm,
                whole,
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

    Returns:
        Cycles int64 [D, O, CYCLE_COLUMNS] and action counts int64 [D, O, COUNTERS].
    """
    shape = (len(machines), len(operators))
    cycles = np.zeros((*shape, CYCLE_COLUMNS), dtype=np.int64)
    counts = np.zeros((*shape, COUNTERS), dtype=np.int64)
    _evaluate_all(operators, units, machines, layers, passes, kept, totals, recipes, cycles, counts)
    return cycles, counts
