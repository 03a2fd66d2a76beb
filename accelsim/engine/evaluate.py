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
    EXPOSED_VECTOR,
    GEMM_COLUMNS,
    IDEAL,
    MEMORY,
    SPATIAL,
    SRAM_BITS,
    TEMPORAL,
    UNIT,
)
from accelsim.engine.elementwise import elementwise
from accelsim.engine.matrix import matrix_on_array, matrix_on_vector
from accelsim.hardware.actions import (
    COUNTERS,
    SHARED,
    UNIT_ACTIONS,
    Role,
    SharedAction,
    UnitAction,
)
from accelsim.hardware.design import ARRAY, VECTOR, Gating
from accelsim.kernels import inner_kernel, kernel
from accelsim.trace import Kind


@inner_kernel
def _role(kind):
    if kind == Kind.LM_HEAD:
        return Role.LM_HEAD
    if kind == Kind.ATTENTION_QK or kind == Kind.ATTENTION_AV:
        return Role.ATTENTION
    return Role.LINEAR


@inner_kernel
def _place(machine, role):
    if role == Role.ATTENTION:
        return machine.place_attention
    if role == Role.LM_HEAD:
        return machine.place_lm_head
    return ARRAY


@inner_kernel
def _clock_the_unused(units, op_cycles, used, counts):
    """Count the registers of units that have no part in an operator but no gate either."""
    for index in range(2):
        unit = units[index]
        if index != used and unit.gating == Gating.NONE:
            role = Role.LINEAR if index == ARRAY else Role.ATTENTION
            idle = (unit.operand_register_bits + unit.sum_register_bits) * op_cycles
            counts[role * UNIT_ACTIONS + UnitAction.IDLE_CLOCK] += idle


@inner_kernel
def _evaluate(
    op,
    units,
    machine,
    layers,
    passes,
    kept,
    totals,
    lead,
    recipes,
    cycles,
    counts,
    gemm,
    whole,
    moves,
):
    """Fill ``cycles`` and ``counts`` of one operator; return the lead left to the next one."""
    role = _role(op.kind)
    place = VECTOR if op.kind < Kind.GEMM else _place(machine, role)
    if op.kind < Kind.GEMM:
        left = elementwise(
            op, machine, units[ARRAY], layers, passes, kept, totals, lead, recipes, cycles, counts
        )
    elif place == VECTOR:
        left = matrix_on_vector(
            op,
            units[ARRAY],
            machine,
            role,
            layers,
            passes,
            kept,
            totals,
            lead,
            cycles,
            counts,
        )
    else:
        left = matrix_on_array(
            op,
            units[place],
            machine,
            role,
            layers,
            passes,
            kept,
            totals,
            lead,
            cycles,
            counts,
            gemm,
            whole,
            moves,
        )
    cycles[UNIT] = place
    _total_up(units, place, cycles, counts)
    # Beside attention the DRAM is left to the cache.
    return 0 if role == Role.ATTENTION or op.kind == Kind.SOFTMAX else left


@inner_kernel
def _total_up(units, place, cycles, counts):
    """Fill what follows from an operator's cycles and counts."""
    total = cycles[IDEAL] + cycles[SPATIAL] + cycles[TEMPORAL] + cycles[MEMORY]
    total += cycles[EXPOSED_VECTOR]
    _clock_the_unused(units, total, place, counts)
    counts[SHARED + SharedAction.CYCLE] += total
    for action in (SharedAction.DRAM_READ, SharedAction.DRAM_WRITE):
        cycles[DRAM_BYTES] += counts[SHARED + action]
    for action in range(SharedAction.ACTIVATION_READ, SharedAction.OUTPUT_WRITE + 1):
        cycles[SRAM_BITS] += counts[SHARED + action]


@kernel
def _evaluate_all(
    operators, units, machines, layers, passes, kept, totals, recipes, cycles, counts
):
    gemm = np.empty(GEMM_COLUMNS, dtype=np.int64)
    whole = np.empty(GEMM_COLUMNS, dtype=np.int64)
    moves = np.empty(2, dtype=np.float64)
    nothing = np.int64(0)  # a literal 0 would have every callee compiled again
    for d in range(len(machines)):
        lead = nothing
        for o in range(len(operators)):
            op = operators[o]
            if o > 0 and (
                op.in_layer > operators[o - 1].in_layer or op.phase != operators[o - 1].phase
            ):
                lead = nothing  # what stands before it in the table came before it only once
            lead = _evaluate(
                op,
                units[d],
                machines[d],
                layers,
                passes[op.phase],
                kept[d],
                totals[d],
                lead,
                recipes,
                cycles[d, o],
                counts[d, o],
                gemm,
                whole,
                moves,
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
    _evaluate_all(
        _read_only(operators),
        _read_only(units),
        _read_only(machines),
        layers,
        _read_only(passes),
        _read_only(kept),
        _read_only(totals),
        _read_only(recipes),
        cycles,
        counts,
    )
    return cycles, counts


def _read_only(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view that cannot be written: one kind of argument, compiled once."""
    view = table.view()
    view.setflags(write=False)
    return view
