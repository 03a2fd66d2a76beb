"""Matrix products: on an array, or as multiply-adds of the vector unit."""

from __future__ import annotations

from accelsim.engine.columns import (
    BUSY_COMPUTE,
    BUSY_MEMORY,
    BUSY_VECTOR,
    EXPOSED_VECTOR,
    F_COMPUTE,
    F_ELAPSED,
    F_TRANSFER,
    F_WEIGHTS,
    FOLDS,
    G_ACTIVATION_MOVES,
    G_DRAIN_MOVES,
    G_EXECUTED,
    G_FOLDS,
    G_STEADY,
    G_SUM_MOVES,
    G_TOTAL,
    G_UNIT_STEPS,
    G_WEIGHT_MOVES,
    IDEAL,
    MEMORY,
    SPATIAL,
    TEMPORAL,
)
from accelsim.engine.counts import (
    count_array_ports,
    count_clocks,
    count_dram,
    count_toggles,
    count_unit,
    count_weights,
    gates_rows,
    idle_bits_of_rows,
    operand_bits,
    sum_bits,
)
from accelsim.engine.dimensions import (
    EXTENT,
    ZERO,
    cycles_of_gemm,
    first_tiles,
    form_of,
    laid_out,
    pace_of,
    reductions_of_gemm,
    weight_passes,
)
from accelsim.engine.gemm import (
    add_gemms,
    causal_gemm,
    clear,
    split_gemm,
)
from accelsim.engine.growing import growing_gemms
from accelsim.engine.mapping import Stays
from accelsim.engine.transfers import (
    activation_bits,
    carried,
    ceil_div,
    dram_of_gemm,
    dram_of_tiles,
    joined,
    nothing_carried,
    prefetchable,
    share_of,
    spilled_activations,
    stored_of_instance,
    sum_of_ceils,
)
from accelsim.hardware.actions import SHARED, UNIT_ACTIONS, SharedAction, UnitAction
from accelsim.kernels import inlined_kernel, lean_kernel
from accelsim.trace import Kind, Series

VECTOR_ACCUMULATE_SLOTS = 2  # a multiply-add is two primitives


@inlined_kernel
def _pairs(op, m, k, n):
    """Return the weight-activation pairs one instance needs, without masked ones."""
    if op.causal == 1:
        kept = k if op.kind == Kind.ATTENTION_QK else n
        return m * (m + 1) // 2 * kept
    return m * k * n


@inlined_kernel
def _pairs_in_series(op):
    """Return the pairs of the first member's instance, and by how many each next one has more."""
    first = _pairs(op, op.m, op.k, op.n)
    if op.series == Series.K:
        return first, op.m * op.series_step * op.n
    return first, op.m * op.k * op.series_step


@lean_kernel
def matrix_on_array(op, unit, machine, mapping, role, lead, cycles, counts, gemm):
    """Evaluate a matrix product on an array; return its cycles and the lead it leaves."""
    if op.causal == 1:
        flow, idle, moves, left = _causal(op, unit, machine, mapping, lead, gemm)
    elif op.series_count > 1:
        flow, idle, moves = growing_gemms(op, unit, machine, mapping, gemm)
        left = ZERO
    else:
        flow, idle, moves, left = _single(op, unit, machine, mapping, lead, gemm)
    scale, elapsed = op.repeat, flow[F_ELAPSED] * op.groups
    first, step = _pairs_in_series(op)
    ideal = sum_of_ceils(first, step, op.series_count, unit.rows * unit.cols * unit.lanes)
    cycles[IDEAL] += ideal * scale
    cycles[SPATIAL] += (gemm[G_STEADY] - ideal) * scale
    cycles[TEMPORAL] += (gemm[G_TOTAL] - gemm[G_STEADY]) * scale
    cycles[MEMORY] += elapsed - gemm[G_TOTAL] * scale
    cycles[BUSY_COMPUTE] += gemm[G_TOTAL] * scale
    cycles[BUSY_MEMORY] += flow[F_TRANSFER] * op.groups
    cycles[FOLDS] += gemm[G_FOLDS] * scale
    count_unit(op, unit, role, gemm, scale, counts)
    count_clocks(unit, gemm, elapsed, idle, scale, role, counts)
    count_array_ports(op, unit, machine, role, gemm, flow[F_WEIGHTS], scale, counts)
    count_dram(flow, scale, counts)
    counts[SHARED + SharedAction.INSTRUCTION] += gemm[G_FOLDS] * scale
    counts[SHARED + SharedAction.CONTROL_CYCLE] += gemm[G_TOTAL] * scale
    count_toggles(op, unit, role, gemm[G_EXECUTED], moves, counts)
    return elapsed, left


@inlined_kernel
def _causal(op, unit, machine, mapping, lead, gemm):
    """Fill ``gemm`` with one instance of causal attention; return as ``_single`` does.

    Masked probabilities are no operands: only as many count in the mean moves as were streamed.
    """
    form = form_of(unit, machine.output_stream, mapping.chunk)
    m, k, n = laid_out(unit, form, op.m, op.k, op.n)
    causal_gemm(unit, form, op.kind, mapping.blocks, m, k, n, gemm)
    flow, left = _moved(op, unit, machine, mapping, gemm[G_TOTAL], lead, m, k, n)
    streamed = op.m * op.k if op.kind == Kind.ATTENTION_QK else gemm[G_EXECUTED] // op.n
    moves = gemm[G_ACTIVATION_MOVES] / streamed, gemm[G_WEIGHT_MOVES] / (op.k * op.n)
    return flow, _idle_in_rows(op, unit, gemm), moves, left


@inlined_kernel
def _single(op, unit, machine, mapping, lead, gemm):
    """Fill ``gemm`` with one instance, its k cut or not; also return the lead left."""
    form = form_of(unit, machine.output_stream, mapping.chunk)
    m, k, n = laid_out(unit, form, op.m, op.k, op.n)
    clear(gemm)
    if mapping.split > 1:
        split_gemm(unit, form, m, op.k, mapping.k_tile, n, gemm)
    else:
        pace = pace_of(unit, form, m, k, n)
        compute = cycles_of_gemm(unit, pace, m, k, n)
        add_gemms(unit, m, k, n, compute, reductions_of_gemm(pace, m, n), gemm)
    flow, left = _moved(op, unit, machine, mapping, gemm[G_TOTAL], lead, m, k, n)
    moves = gemm[G_ACTIVATION_MOVES] / (op.m * op.k), gemm[G_WEIGHT_MOVES] / (op.k * op.n)
    return flow, _idle_in_rows(op, unit, gemm), moves, left


@inlined_kernel
def _idle_in_rows(op, unit, gemm):
    """Return the idle bits of gated rows in one instance of which ``gemm`` counts everything."""
    if not gates_rows(unit):
        return 0
    working = sum_bits(unit, gemm[G_SUM_MOVES], gemm[G_EXECUTED], gemm[G_UNIT_STEPS])
    working += operand_bits(unit, gemm[G_ACTIVATION_MOVES], gemm[G_WEIGHT_MOVES])
    working += gemm[G_DRAIN_MOVES] * unit.accumulator_bits
    return idle_bits_of_rows(unit, op.m, gemm[G_TOTAL], working)


@inlined_kernel
def _moved(op, unit, machine, mapping, compute, lead, m, k, n):
    """Return what an instance of ``compute`` cycles transfers, and the lead it leaves."""
    stored = stored_of_instance(op, machine, k[EXTENT], n[EXTENT])
    inputs, outputs = spilled_activations(op, machine, op.group, m[EXTENT], k[EXTENT], n[EXTENT])
    if mapping.stays == Stays.RULE:
        times, pieces = weight_passes(unit, m, k, n)
        weights, inputs = dram_of_gemm(op, machine, stored, inputs, times, pieces)
    else:
        weights, inputs = dram_of_tiles(mapping, machine, stored, inputs, m[EXTENT], n[EXTENT])
    first = share_of(stored, first_tiles(unit, m, k, n))
    early = prefetchable(op, machine, stored)
    return carried(op, machine, compute, weights, inputs, outputs, first, early, lead)


@lean_kernel
def matrix_on_vector(op, unit, machine, role, lead, cycles, counts):
    """Evaluate a matrix product on the vector unit; return its cycles and the lead it leaves.

    A multiply-add is two lane primitives and reads its second operand from SRAM.
    """
    left, needed, inputs_read, results, flow = 0, 0, 0, 0, nothing_carried()
    for member in range(op.series_count):
        k = op.k + (op.series_step * member if op.series == Series.K else 0)
        n = op.n + (op.series_step * member if op.series == Series.N else 0)
        pairs = _pairs(op, op.m, k, n)
        busy = ceil_div(pairs * VECTOR_ACCUMULATE_SLOTS, machine.vector_lanes)
        busy += machine.vector_latency
        weights = stored_of_instance(op, machine, k, n)
        inputs, outputs = spilled_activations(op, machine, op.group, op.m, k, n)
        first, early = ceil_div(weights, n), prefetchable(op, machine, weights)
        moved, left = carried(op, machine, busy, weights, inputs, outputs, first, early, lead)
        flow = joined(flow, moved)
        needed += pairs
        inputs_read += op.m * k
        results += op.m * n
    scale, elapsed = op.repeat, flow[F_ELAPSED] * op.groups
    cycles[MEMORY] += elapsed - flow[F_COMPUTE] * scale
    cycles[EXPOSED_VECTOR] += flow[F_COMPUTE] * scale
    cycles[BUSY_VECTOR] += flow[F_COMPUTE] * scale
    cycles[BUSY_MEMORY] += flow[F_TRANSFER] * op.groups
    counts[role * UNIT_ACTIONS + UnitAction.VECTOR_MAC] += needed * scale
    read, written = activation_bits(op, machine), machine.activation_bits
    counts[SHARED + SharedAction.ACTIVATION_READ] += inputs_read * read * scale
    counts[SHARED + SharedAction.ACTIVATION_WRITE] += results * written * scale
    count_weights(op, unit, machine, role, needed, flow[F_WEIGHTS], scale, counts)
    count_dram(flow, scale, counts)
    counts[SHARED + SharedAction.INSTRUCTION] += op.series_count * scale
    return elapsed, left
