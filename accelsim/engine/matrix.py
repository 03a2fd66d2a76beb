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
    IDEAL,
    MEMORY,
    SPATIAL,
    TEMPORAL,
)
from accelsim.engine.counts import (
    count_adds,
    count_array_ports,
    count_dram,
    count_idle,
    count_toggles,
    count_unit,
    count_weights,
    mean_moves,
)
from accelsim.engine.gemm import array_gemm, pairs, weight_passes
from accelsim.engine.transfers import (
    activation_bits,
    bursts,
    bytes_of,
    ceil_div,
    dram_of_gemm,
    first_tile,
    layer_instances,
    overlapped,
    prefetchable,
    spilled,
    stored_of_instance,
)
from accelsim.hardware.actions import SHARED, UNIT_ACTIONS, SharedAction, UnitAction
from accelsim.hardware.design import Organisation
from accelsim.kernels import inner_kernel
from accelsim.trace import Kind, Series

VECTOR_ACCUMULATE_SLOTS = 2  # a multiply-add is two primitives


@inner_kernel
def shape_of(op, member):
    """Return m, k, n of an instance in pass ``member`` of a growing context."""
    k = op.k + (op.series_step * member if op.series == Series.K else 0)
    n = op.n + (op.series_step * member if op.series == Series.N else 0)
    return op.m, k, n


@inner_kernel
def _spilled_activations(op, machine, per_layer, m, k, n):
    """Return bytes of an instance's input and output that live in DRAM.

    Scores and probabilities never do: attention consumes them block by block. Int32 sums that the
    vector unit has to scale leave the output buffer through it.
    """
    inputs, outputs = 0, 0
    if op.kind != Kind.ATTENTION_AV:
        size = bytes_of(m * k, activation_bits(op, machine))
        inputs = size if spilled(machine, size * per_layer) else 0
    scaled_later = op.activation_bits == 8 and machine.scale_on_drain == 0
    if op.kind != Kind.ATTENTION_QK and not scaled_later:
        size = bytes_of(m * n, machine.activation_bits)
        outputs = size if spilled(machine, size * per_layer) else 0
    return inputs, outputs


@inner_kernel
def matrix_on_array(
    op, unit, machine, role, layers, passes, kept, totals, lead, cycles, counts, gemm, whole, moves
):
    """Evaluate a matrix product on an array; return the lead it leaves to the next operator."""
    group = layer_instances(op, layers, passes)
    groups = op.repeat // group
    parallel = unit.rows * unit.cols * unit.lanes
    left = 0
    moves[0], moves[1] = 0.0, 0.0
    for member in range(op.series_count):
        m, k, n = shape_of(op, member)
        array_gemm(unit, machine.output_stream, op.kind, op.causal, m, k, n, gemm, whole)
        stored = stored_of_instance(op, machine, kept, totals, layers, passes, k, n)
        inputs, outputs = _spilled_activations(op, machine, group, m, k, n)
        times, pieces = weight_passes(unit, machine.output_stream, m, k, n)
        weights, inputs = dram_of_gemm(op, machine, stored, inputs, times, pieces)
        moved = bursts(weights + inputs, machine.burst) + bursts(outputs, machine.burst)
        total, transfer, left = overlapped(
            gemm[G_TOTAL] * group,
            moved * group,
            first_tile(unit, stored, k, n),
            prefetchable(op, machine, stored),
            lead,
            machine,
        )
        ideal = ceil_div(pairs(op, m, k, n), parallel)
        cycles[IDEAL] += ideal * op.repeat
        cycles[SPATIAL] += (gemm[G_STEADY] - ideal) * op.repeat
        cycles[TEMPORAL] += (gemm[G_TOTAL] - gemm[G_STEADY]) * op.repeat
        cycles[MEMORY] += total * groups - gemm[G_TOTAL] * op.repeat
        cycles[BUSY_COMPUTE] += gemm[G_TOTAL] * op.repeat
        cycles[BUSY_MEMORY] += transfer * groups
        cycles[FOLDS] += gemm[G_FOLDS] * op.repeat
        working = count_unit(op, unit, role, gemm, op.repeat, counts)
        busy = gemm[G_TOTAL]
        count_idle(unit, total * groups, busy, op.repeat, m, working, role, counts)
        mean_moves(op, gemm, m, k, n, 1.0 / op.series_count, moves)
        count_array_ports(op, unit, machine, role, gemm, weights, op.repeat, counts)
        count_dram(machine, weights, inputs, outputs, op.repeat, counts)
        counts[SHARED + SharedAction.INSTRUCTION] += gemm[G_FOLDS] * op.repeat
        counts[SHARED + SharedAction.CONTROL_CYCLE] += gemm[G_TOTAL] * op.repeat
    if unit.skips_zero == 1 and unit.organisation != Organisation.DOT:
        additions = op.weight_nonzero * op.m
        count_adds(unit, additions, role * UNIT_ACTIONS, counts)
        counts[role * UNIT_ACTIONS + UnitAction.PRODUCT_TERNARY] += additions
    count_toggles(op, unit, role, moves, counts)
    return left


@inner_kernel
def matrix_on_vector(op, unit, machine, role, layers, passes, kept, totals, lead, cycles, counts):
    """Evaluate a matrix product on the vector unit; return the lead it leaves.

    A multiply-add is two lane primitives and reads its second operand from SRAM.
    """
    group = layer_instances(op, layers, passes)
    groups, scale = op.repeat // group, op.repeat
    left = 0
    for member in range(op.series_count):
        m, k, n = shape_of(op, member)
        needed = pairs(op, m, k, n)
        busy = ceil_div(needed * VECTOR_ACCUMULATE_SLOTS, machine.vector_lanes)
        busy += machine.vector_latency
        weights = stored_of_instance(op, machine, kept, totals, layers, passes, k, n)
        inputs, outputs = _spilled_activations(op, machine, group, m, k, n)
        moved = bursts(weights + inputs, machine.burst) + bursts(outputs, machine.burst)
        early = prefetchable(op, machine, weights)
        first = ceil_div(weights, n)
        total, transfer, left = overlapped(busy * group, moved * group, first, early, lead, machine)
        cycles[MEMORY] += total * groups - busy * scale
        cycles[EXPOSED_VECTOR] += busy * scale
        cycles[BUSY_VECTOR] += busy * scale
        cycles[BUSY_MEMORY] += transfer * groups
        counts[role * UNIT_ACTIONS + UnitAction.VECTOR_MAC] += needed * scale
        inputs_read = m * k * activation_bits(op, machine)
        counts[SHARED + SharedAction.ACTIVATION_READ] += inputs_read * scale
        written = m * n * machine.activation_bits
        counts[SHARED + SharedAction.ACTIVATION_WRITE] += written * scale
        count_weights(op, unit, machine, role, needed, weights, scale, counts)
        count_dram(machine, weights, inputs, outputs, scale, counts)
        counts[SHARED + SharedAction.INSTRUCTION] += scale
    return left
