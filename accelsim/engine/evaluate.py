"""What one operator does on one design: cycles by cause and counts of every action.

``evaluate_all`` is the engine's only loop. It walks designs x operators, so that a single run is a
sweep of one, and sums are int64: exact, whatever the order. The model it applies is stated in
docs/timing.md (array cycles) and docs/engine.md (memory, vector unit, overlap, counts).
"""

from __future__ import annotations

from dataclasses import dataclass
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
from accelsim.engine.mapping import Mappings, fixed_mapping, unit_variants
from accelsim.engine.matrix import matrix_on_array, matrix_on_vector
from accelsim.engine.pricing import BLOCK, add_block
from accelsim.engine.residency import class_bytes, kept_bytes, loaded_machines, passes_of
from accelsim.engine.work import standing_counts, work_rows
from accelsim.hardware.actions import (
    COUNTERS,
    SHARED,
    UNIT_ACTIONS,
    Role,
    SharedAction,
    UnitAction,
)
from accelsim.hardware.design import ARRAY, VECTOR, Designs, Family, Gating
from accelsim.kernels import inlined_kernel, kernel, lean_kernel
from accelsim.trace import Kind, Trace

# First and last of the counters that are DRAM bytes, and of those that are SRAM bits.
_DRAM = (int(SharedAction.DRAM_READ), int(SharedAction.DRAM_WRITE))
_SRAM = (int(SharedAction.ACTIVATION_READ), int(SharedAction.OUTPUT_WRITE))


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
def place_of(op, machine):
    """Return the unit that a design names for an operator: ARRAY, MAC or VECTOR."""
    return VECTOR if op.kind < Kind.GEMM else _place(machine, _role(op.kind))


@inlined_kernel
def _clock_the_unused(units, op_cycles, used, counts):
    """Count the registers of units that have no part in an operator but no gate either."""
    for index in range(2):
        unit = units[index, 0]
        if index != used and unit.gating == Gating.NONE:
            role = Role.LINEAR if index == ARRAY else Role.ATTENTION
            idle = (unit.operand_register_bits + unit.sum_register_bits) * op_cycles
            counts[role * UNIT_ACTIONS + UnitAction.IDLE_CLOCK] += idle


@inlined_kernel
def evaluate_operator(op, units, machine, mapping, lead, cycles, counts, gemm):
    """Add one operator to ``cycles`` and ``counts``; return the lead left to the next one."""
    role = _role(op.kind)
    place = place_of(op, machine)
    if op.kind < Kind.GEMM:
        total, left = elementwise(op, machine, units[ARRAY, 0], lead, cycles, counts)
    elif place == VECTOR:
        total, left = matrix_on_vector(op, units[ARRAY, 0], machine, role, lead, cycles, counts)
    else:
        unit = units[place, 1 + mapping.organisation]  # the first is the unit as it is
        total, left = matrix_on_array(op, unit, machine, mapping, role, lead, cycles, counts, gemm)
    cycles[UNIT] = place
    _clock_the_unused(units, total, place, counts)
    counts[SHARED + SharedAction.CYCLE] += total
    # Beside attention the DRAM is left to the cache.
    return 0 if role == Role.ATTENTION or op.kind == Kind.SOFTMAX else left


@inlined_kernel
def add_standing(standing, machine, counts):
    """Add what a workload counts on every design alike."""
    for row in range(len(counts)):
        for action in range(COUNTERS - SHARED):
            counts[row, SHARED + action] += standing[machine.scale_on_drain, row, action]


@inlined_kernel
def add_memories(cycles, counts):
    """Fill the columns of cycles that are sums of counters of memories."""
    for row in range(len(counts)):
        for action in range(_DRAM[0], _DRAM[1] + 1):
            cycles[row, DRAM_BYTES] += counts[row, SHARED + action]
        for action in range(_SRAM[0], _SRAM[1] + 1):
            cycles[row, SRAM_BITS] += counts[row, SHARED + action]


@lean_kernel
def of_design(operators, units, machine, standing, mappings, cycles, counts, gemm, d=0):
    """Add all operators, in execution order, to the rows of one design.

    ``mappings`` has a row for each design and a record for each operator, or one for all.
    """
    add_standing(standing, machine, counts)
    lead = np.int64(0)  # a literal 0 would have every callee compiled again
    d, last = min(d, len(mappings) - 1), mappings.shape[1] - 1
    for o in range(len(operators)):
        op = operators[o]
        if op.no_lead == 1:
            lead = np.int64(0)
        lead = evaluate_operator(
            *(op, units, machine, mappings[d, min(o, last)], lead),
            *(cycles[op.target], counts[op.target], gemm),
        )
    add_memories(cycles, counts)


@kernel
def _evaluate_all(operators, units, machines, standing, mappings, cycles, counts, gemm):
    for d in range(len(machines)):
        of_design(
            *(operators, units[d], machines[d], standing),
            *(mappings, cycles[d], counts[d], gemm, d),
        )


@kernel
def evaluate_blocks(
    operators,
    units,
    machines,
    standing,
    mappings,
    cycles,
    counts,
    gemm,
    columns,
    fixed,
    varying,
    components,
    steps,
    causes,
):
    """Evaluate and price designs by blocks, whose ``counts`` then stay in the nearest caches."""
    for start in range(0, len(machines), BLOCK):
        size = min(BLOCK, len(machines) - start)
        counts[:] = 0
        for g in range(size):
            d = start + g
            of_design(
                *(operators, units[d], machines[d], standing),
                *(mappings, cycles[d], counts[g], gemm, d),
            )
        for row in range(counts.shape[1]):
            sums = components[row], steps[row], causes[row]
            add_block(columns, fixed, varying, counts[:size, row], *sums, start)


@dataclass(frozen=True)
class Workload:
    """What a kernel walks: operators O on designs D, added to ``results`` rows.

    Attributes:
        rows: ``WORK_DTYPE`` [O].
        units: ``UNIT_DTYPE`` [D, 2].
        machines: ``MACHINE_DTYPE`` [D].
        kept: Bytes of each Resident class that stay in SRAM, int64 [D, classes].
        totals: Bytes of each class over the workload, int64 [D, classes].
        results: How many rows of results there are.
    """

    rows: npt.NDArray[np.void]
    units: npt.NDArray[np.void]
    machines: npt.NDArray[np.void]
    kept: npt.NDArray[np.int64]
    totals: npt.NDArray[np.int64]
    results: int

    def loaded(self) -> npt.NDArray[np.void]:
        """Return the machines with what stays in their SRAM, ``LOADED_DTYPE`` [D]."""
        return loaded_machines(self.machines, self.kept, self.totals)

    def tables(self, variants: bool = True) -> tuple[npt.NDArray[Any], ...]:
        """Return what kernels read; units in every organisation, or only as they are."""
        units = unit_variants(self.units) if variants else self.units[:, :, np.newaxis]
        standing = standing_counts(self.rows, self.results)
        parts = (self.rows, units, self.loaded(), standing)
        return tuple(read_only(np.ascontiguousarray(part)) for part in parts)


def whole_workload(
    trace: Trace,
    designs: Designs | Family,
    target: npt.NDArray[np.int64] | None = None,
    results: int | None = None,
) -> Workload:
    """Return a trace on designs as a workload, each design's residents decided.

    Args:
        trace: O operators.
        designs: D designs.
        target: To which row of the results each operator is added, int64 [O]; by default a row
            each. The unit of a row is that of its last operator.
        results: Rows, by default O.
    """
    totals = class_bytes(trace, designs)
    target = np.arange(len(trace.operators)) if target is None else target
    rows = work_rows(trace.operators, trace.layers, passes_of(trace), target)
    kept = kept_bytes(totals, designs)
    results = len(rows) if results is None else results
    return Workload(rows, designs.units, designs.machines, kept, totals, results)


def evaluate_all(
    workload: Workload, mappings: Mappings | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Evaluate every operator on every design.

    Args:
        workload: O operators on D designs, added to R rows.
        mappings: ``MAPPING_DTYPE`` [D, O]; without, the fixed mapping.

    Returns:
        Cycles int64 [D, R, CYCLE_COLUMNS] and action counts int64 [D, R, COUNTERS].
    """
    size = (len(workload.machines), workload.results)
    cycles = np.zeros((*size, CYCLE_COLUMNS), dtype=np.int64)
    counts = np.zeros((*size, COUNTERS), dtype=np.int64)
    chosen = read_only(fixed_mapping() if mappings is None else mappings)
    gemm = np.empty(GEMM_COLUMNS, dtype=np.int64)
    tables = (*workload.tables(variants=mappings is not None), chosen, cycles, counts, gemm)
    _evaluate_all(*tables)
    return cycles, counts


def read_only(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view that cannot be written: one kind of argument, compiled once."""
    view = table.view()
    view.setflags(write=False)
    return view
