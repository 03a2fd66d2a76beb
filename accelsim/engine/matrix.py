"""Matrix products: on an array, or as multiply-adds of the vector unit."""

from __future__ import annotations

from accelsim.engine.columns import (
    BUSY_COMPUTE,
    BUSY_MEMORY,
    BUSY_VECTOR,
    EXPOSED_VECTOR,
    F_COMPUTE,
    F_ELAPSED,
    F_IDLE,
    F_TRANSFER,
    F_WEIGHTS,
    FOLDS,
    G_ACTIVATION_MOVES,
    G_EXECUTED,
    G_FOLDS,
    G_STEADY,
    G_TOTAL,
    G_WEIGHT_MOVES,
    IDEAL,
    MEMORY,
    SPATIAL,
    TEMPORAL,
)
from accelsim.engine.counts import (
    clocked_bits,
    count_adds,
    count_array_ports,
    count_clocks,
    count_dram,
    count_toggles,
    count_unit,
    count_weights,
    gates_rows,
    idle_bits_of_rows,
)
from accelsim.engine.dimensions import (
    EXTENT,
    cycles_of_gemm,
    first_tiles,
    grown,
    laid_out,
    reductions_of_gemm,
    weight_passes,
    words_held,
)
from accelsim.engine.gemm import (
    add_lot,
    causal_gemm,
    clear,
    put_in_lot,
    starts_a_lot,
    whole_gemm,
)
from accelsim.engine.registers import operand_moves
from accelsim.engine.transfers import (
    activation_bits,
    bytes_of,
    carry,
    ceil_div,
    dram_of_gemm,
    prefetchable,
    spilled,
    stored_of_instance,
    sum_of_ceils,
)
from accelsim.hardware.actions import SHARED, UNIT_ACTIONS, SharedAction, UnitAction
from accelsim.hardware.design import Organisation
from accelsim.kernels import inner_borrowing_kernel
from accelsim.trace import Kind, Series

VECTOR_ACCUMULATE_SLOTS = 2  # a multiply-add is two primitives


@inner_borrowing_kernel
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


@inner_borrowing_kernel
def _pairs(op, m, k, n):
    """Return the weight-activation pairs one instance needs, without masked ones."""
    if op.causal == 1:
        kept = k if op.kind == Kind.ATTENTION_QK else n
        return m * (m + 1) // 2 * kept
    return m * k * n


@inner_borrowing_kernel
def _pairs_in_series(op):
    """Return the pairs of the first member's instance, and by how many each next one has more."""
    first = _pairs(op, op.m, op.k, op.n)
    if op.series == Series.K:
        return first, op.m * op.series_step * op.n
    return first, op.m * op.k * op.series_step


@inner_borrowing_kernel
def matrix_on_array(op, unit, machine, role, kept, totals, lead, cycles, counts, scratch):
    """Evaluate a matrix product on an array; return its cycles and the lead it leaves."""
    gemm, _, _, flow, moves = scratch
    clear(flow)
    if op.causal == 1:
        left = _causal(op, unit, machine, kept, totals, lead, scratch)
    else:
        left = _series(op, unit, machine, kept, totals, lead, scratch)
    scale, elapsed = op.repeat, flow[F_ELAPSED] * (op.repeat // op.group)
    first, step = _pairs_in_series(op)
    ideal = sum_of_ceils(first, step, op.series_count, unit.rows * unit.cols * unit.lanes)
    cycles[IDEAL] += ideal * scale
    cycles[SPATIAL] += (gemm[G_STEADY] - ideal) * scale
    cycles[TEMPORAL] += (gemm[G_TOTAL] - gemm[G_STEADY]) * scale
    cycles[MEMORY] += elapsed - gemm[G_TOTAL] * scale
    cycles[BUSY_COMPUTE] += gemm[G_TOTAL] * scale
    cycles[BUSY_MEMORY] += flow[F_TRANSFER] * (op.repeat // op.group)
    cycles[FOLDS] += gemm[G_FOLDS] * scale
    count_unit(op, unit, role, gemm, scale, counts)
    count_clocks(unit, gemm, elapsed, flow[F_IDLE], scale, role, counts)
    count_array_ports(op, unit, machine, role, gemm, flow[F_WEIGHTS], scale, counts)
    count_dram(flow, scale, counts)
    counts[SHARED + SharedAction.INSTRUCTION] += gemm[G_FOLDS] * scale
    counts[SHARED + SharedAction.CONTROL_CYCLE] += gemm[G_TOTAL] * scale
    if unit.skips_zero == 1 and unit.organisation != Organisation.DOT:
        additions = op.weight_nonzero * op.m
        count_adds(unit, additions, role * UNIT_ACTIONS, counts)
        counts[role * UNIT_ACTIONS + UnitAction.PRODUCT_TERNARY] += additions
    count_toggles(op, unit, role, moves, counts)
    return elapsed, left


@inner_borrowing_kernel
def _series(op, unit, machine, kept, totals, lead, scratch):
    """Fill ``scratch`` with one instance of each member of a growing context; return the lead left.

    Memory, the idle bits of rows and mean moves are no sums of products and go member by member;
    everything else is added at once, by lots that differ in the growing dimension only.
    """
    gemm, one, lot, flow, moves = scratch
    chunk, share = words_held(unit, machine.output_stream), 1.0 / op.series_count
    start = op.k if op.series == Series.K else op.n
    m, k, n = laid_out(unit, chunk, op.m, op.k, op.n)
    left, activations, weights = 0, 0.0, 0.0
    clear(gemm)
    for member in range(op.series_count):
        if member > 0:
            extent = start + op.series_step * member
            next_m, next_k, next_n = grown(unit, chunk, op.series, extent, m, k, n)
            if starts_a_lot(op.series, m, n, next_m, next_n):
                add_lot(unit, op.series, m, k, n, lot, gemm)
            m, k, n = next_m, next_k, next_n
        total = cycles_of_gemm(unit, chunk, m, k, n)
        put_in_lot(unit, op.series, k, n, total, reductions_of_gemm(unit, m, k, n), lot)
        left = _move(op, unit, machine, kept, totals, total, lead, m, k, n, flow)
        moved = operand_moves(unit, m, k, n)
        activations += share * (moved[0] / (m[EXTENT] * k[EXTENT]))
        weights += share * (moved[1] / (k[EXTENT] * n[EXTENT]))
        if gates_rows(unit):
            whole_gemm(unit, chunk, m, k, n, one)
            flow[F_IDLE] += idle_bits_of_rows(unit, op.m, total, clocked_bits(unit, one))
    add_lot(unit, op.series, m, k, n, lot, gemm)
    moves[0], moves[1] = activations, weights
    return left


@inner_borrowing_kernel
def _causal(op, unit, machine, kept, totals, lead, scratch):
    """Fill ``scratch`` with one instance of causal attention; return the lead left.

    Masked probabilities are no operands: only as many count in the mean moves as were streamed.
    """
    gemm, _, lot, flow, moves = scratch
    chunk = words_held(unit, machine.output_stream)
    m, k, n = laid_out(unit, chunk, op.m, op.k, op.n)
    causal_gemm(unit, chunk, op.kind, m, k, n, lot, gemm)
    left = _move(op, unit, machine, kept, totals, gemm[G_TOTAL], lead, m, k, n, flow)
    streamed = op.m * op.k if op.kind == Kind.ATTENTION_QK else gemm[G_EXECUTED] // op.n
    moves[0] = gemm[G_ACTIVATION_MOVES] / streamed
    moves[1] = gemm[G_WEIGHT_MOVES] / (op.k * op.n)
    if gates_rows(unit):
        flow[F_IDLE] += idle_bits_of_rows(unit, op.m, gemm[G_TOTAL], clocked_bits(unit, gemm))
    return left


@inner_borrowing_kernel
def _move(op, unit, machine, kept, totals, compute, lead, m, k, n, flow):
    """Add what an instance of ``compute`` cycles transfers to ``flow``; return the lead left."""
    stored = stored_of_instance(op, machine, kept, totals, k[EXTENT], n[EXTENT])
    inputs, outputs = _spilled_activations(op, machine, op.group, m[EXTENT], k[EXTENT], n[EXTENT])
    times, pieces = weight_passes(unit, m, k, n)
    weights, inputs = dram_of_gemm(op, machine, stored, inputs, times, pieces)
    first = ceil_div(stored, first_tiles(unit, m, k, n))
    early = prefetchable(op, machine, stored)
    return carry(op, machine, compute, weights, inputs, outputs, first, early, lead, flow)


@inner_borrowing_kernel
def matrix_on_vector(op, unit, machine, role, kept, totals, lead, cycles, counts, flow):
    """Evaluate a matrix product on the vector unit; return its cycles and the lead it leaves.

    A multiply-add is two lane primitives and reads its second operand from SRAM.
    """
    left, needed, inputs_read, results = 0, 0, 0, 0
    clear(flow)
    for member in range(op.series_count):
        k = op.k + (op.series_step * member if op.series == Series.K else 0)
        n = op.n + (op.series_step * member if op.series == Series.N else 0)
        pairs = _pairs(op, op.m, k, n)
        busy = ceil_div(pairs * VECTOR_ACCUMULATE_SLOTS, machine.vector_lanes)
        busy += machine.vector_latency
        weights = stored_of_instance(op, machine, kept, totals, k, n)
        inputs, outputs = _spilled_activations(op, machine, op.group, op.m, k, n)
        first, early = ceil_div(weights, n), prefetchable(op, machine, weights)
        left = carry(op, machine, busy, weights, inputs, outputs, first, early, lead, flow)
        needed += pairs
        inputs_read += op.m * k
        results += op.m * n
    scale, elapsed = op.repeat, flow[F_ELAPSED] * (op.repeat // op.group)
    cycles[MEMORY] += elapsed - flow[F_COMPUTE] * scale
    cycles[EXPOSED_VECTOR] += flow[F_COMPUTE] * scale
    cycles[BUSY_VECTOR] += flow[F_COMPUTE] * scale
    cycles[BUSY_MEMORY] += flow[F_TRANSFER] * (op.repeat // op.group)
    counts[role * UNIT_ACTIONS + UnitAction.VECTOR_MAC] += needed * scale
    read, written = activation_bits(op, machine), machine.activation_bits
    counts[SHARED + SharedAction.ACTIVATION_READ] += inputs_read * read * scale
    counts[SHARED + SharedAction.ACTIVATION_WRITE] += results * written * scale
    count_weights(op, unit, machine, role, needed, flow[F_WEIGHTS], scale, counts)
    count_dram(flow, scale, counts)
    counts[SHARED + SharedAction.INSTRUCTION] += op.series_count * scale
    return elapsed, left
