"""Matrix products: on an array, or as multiply-adds of the vector unit."""

from __future__ import annotations

from accelsim.engine.columns import (
    BUSY_COMPUTE,
    BUSY_MEMORY,
    BUSY_VECTOR,
    EXPOSED_VECTOR,
    FOLDS,
    G_FOLDS,
    G_STEADY,
    G_TOTAL,
    G_UNIT_STEPS,
    IDEAL,
    MEMORY,
    SPATIAL,
    TEMPORAL,
)
from accelsim.engine.counts import (
    clocked_pe_cycles,
    count_adds,
    count_idle,
    count_results,
    count_toggles,
    count_transfers,
    count_unit,
    used_rows,
)
from accelsim.engine.gemm import array_gemm, pairs
from accelsim.engine.transfers import (
    bursts,
    bytes_of,
    ceil_div,
    dram_of_gemm,
    first_tile,
    layer_instances,
    pair_time,
    spilled,
    stationary_bits,
    stored_of_instance,
)
from accelsim.hardware.actions import SHARED, UNIT_ACTIONS, SharedAction, UnitAction
from accelsim.hardware.design import Organisation
from accelsim.kernels import kernel
from accelsim.trace import Kind, Series, Stationary

VECTOR_ACCUMULATE_SLOTS = 2  # a multiply-add is two primitives


@kernel
def matrix_on_array(
    op, unit, machine, role, layers, passes, kept, totals, credit, cycles, counts, gemm, whole
):
    """Evaluate a matrix product on an array; returns the DRAM-idle cycles of its last instance."""
    per_layer = layer_instances(op, layers, passes)
    parallel = unit.rows * unit.cols * unit.lanes
    idle = 0
    for member in range(op.series_count):
        m, k, n = op.m, op.k, op.n
        if op.series == Series.K:
            k += op.series_step * member
        elif op.series == Series.N:
            n += op.series_step * member
        array_gemm(unit, machine.output_stream, op.kind, op.causal, m, k, n, gemm, whole)
        stored = stored_of_instance(op, machine, kept, totals, passes, k, n)
        inputs = 0
        if op.kind != Kind.ATTENTION_AV:
            size = bytes_of(m * k, op.activation_bits)
            inputs = size if spilled(machine, size * per_layer) else 0
        outputs = 0
        scaled = op.activation_bits == 8 and machine.scale_on_drain == 0
        if op.kind != Kind.ATTENTION_QK and not scaled:
            size = bytes_of(m * n, machine.activation_bits)
            outputs = size if spilled(machine, size * per_layer) else 0
        weights, inputs = dram_of_gemm(op, unit, machine, stored, inputs, m, k, n)
        moved = bursts(weights + inputs, machine.burst) + bursts(outputs, machine.burst)
        first = min(first_tile(unit, weights, k, n), moved)
        total, transfer = pair_time(
            gemm[G_TOTAL], moved, first, credit, machine.dram_bytes_per_cycle, cycles
        )
        idle = max(total - transfer, 0)
        ideal = ceil_div(pairs(op, m, k, n), parallel)
        cycles[IDEAL] += ideal * op.repeat
        cycles[SPATIAL] += (gemm[G_STEADY] - ideal) * op.repeat
        cycles[TEMPORAL] += (gemm[G_TOTAL] - gemm[G_STEADY]) * op.repeat
        cycles[MEMORY] += (total - gemm[G_TOTAL]) * op.repeat
        cycles[BUSY_COMPUTE] += gemm[G_TOTAL] * op.repeat
        cycles[BUSY_MEMORY] += transfer * op.repeat
        cycles[FOLDS] += gemm[G_FOLDS] * op.repeat
        count_unit(op, unit, machine, role, m, k, n, gemm, op.repeat, counts)
        count_transfers(op, unit, machine, role, gemm, weights, inputs, outputs, op.repeat, counts)
        count_results(op, unit, machine, m, n, op.repeat, counts)
        active = gemm[G_UNIT_STEPS] * op.repeat
        clocked = clocked_pe_cycles(
            unit, total * op.repeat, gemm[G_TOTAL] * op.repeat, used_rows(unit, m, k), active
        )
        count_idle(unit, clocked, active, role, counts)
        counts[SHARED + SharedAction.INSTRUCTION] += gemm[G_FOLDS] * op.repeat
        counts[SHARED + SharedAction.CONTROL_CYCLE] += gemm[G_TOTAL] * op.repeat
    if unit.skips_zero == 1 and unit.organisation != Organisation.DOT:
        additions = op.weight_nonzero * op.m
        count_adds(unit, additions, role * UNIT_ACTIONS, counts)
        counts[role * UNIT_ACTIONS + UnitAction.PRODUCT_TERNARY] += additions
    count_toggles(op, unit, role, op.m, op.n, counts)
    return idle


@kernel
def matrix_on_vector(op, machine, role, layers, passes, kept, totals, credit, cycles, counts):
    """Evaluate a matrix product on the vector unit: a multiply-add is two lane primitives."""
    per_layer = layer_instances(op, layers, passes)
    idle = 0
    for member in range(op.series_count):
        m, k, n = op.m, op.k, op.n
        if op.series == Series.K:
            k += op.series_step * member
        elif op.series == Series.N:
            n += op.series_step * member
        needed = pairs(op, m, k, n)
        ideal = ceil_div(needed * VECTOR_ACCUMULATE_SLOTS, machine.vector_lanes)
        busy = ideal + machine.vector_latency
        weights = stored_of_instance(op, machine, kept, totals, passes, k, n)
        size = bytes_of(m * k, op.activation_bits)
        spilled_input = op.kind != Kind.ATTENTION_AV and spilled(machine, size * per_layer)
        inputs = size if spilled_input else 0
        moved = bursts(weights + inputs, machine.burst)
        first = min(ceil_div(weights, n), moved)
        total, transfer = pair_time(
            busy, moved, first, credit, machine.dram_bytes_per_cycle, cycles
        )
        idle = max(total - transfer, 0)
        cycles[MEMORY] += (total - busy) * op.repeat
        cycles[EXPOSED_VECTOR] += busy * op.repeat
        cycles[BUSY_VECTOR] += busy * op.repeat
        cycles[BUSY_MEMORY] += transfer * op.repeat
        scale = op.repeat
        counts[role * UNIT_ACTIONS + UnitAction.VECTOR_MAC] += needed * scale
        numerator, _ = stationary_bits(machine, op.stationary)
        reads = needed * numerator * scale
        if op.stationary == Stationary.CACHE:
            counts[SHARED + SharedAction.ACTIVATION_READ] += reads
            counts[SHARED + SharedAction.ACTIVATION_WRITE] += weights * 8 * scale
        else:
            counts[SHARED + SharedAction.WEIGHT_READ] += reads
            counts[SHARED + SharedAction.WEIGHT_WRITE] += weights * 8 * scale
        counts[SHARED + SharedAction.ACTIVATION_READ] += m * k * 16 * scale
        counts[SHARED + SharedAction.ACTIVATION_WRITE] += (m * n * machine.activation_bits) * scale
        counts[SHARED + SharedAction.DRAM_READ] += moved * scale
        counts[SHARED + SharedAction.INSTRUCTION] += scale
    return idle
