"""A growing context on an array: every pass of a decode, summed in one walk.

Only attention over the cache grows: keys add columns to its scores (n), values add steps (k). What
a GEMM counts is a sum of products of its dimensions and so is added once for all passes that differ
in one of them. Cycles and transfers round in every pass, so these are what the walk works out.
"""

from __future__ import annotations

from accelsim.engine.counts import gates_rows, idle_bits_of_rows, operand_bits, sum_bits
from accelsim.engine.dimensions import (
    EXTENT,
    MANY,
    SKEW,
    TILES,
    ZERO,
    cycles_of_gemm,
    first_tiles,
    form_of,
    grown,
    keeps_sums,
    laid_out,
    pace_of,
    reductions_of_gemm,
    streamed,
    streams,
    tiled,
    weight_passes,
)
from accelsim.engine.gemm import add_lot, clear
from accelsim.engine.mapping import Stays
from accelsim.engine.registers import drain_moves, operand_moves, sum_moves
from accelsim.engine.transfers import (
    bursts,
    bytes_of,
    cycles_of,
    dram_of_gemm,
    dram_of_tiles,
    fetched,
    share_of,
    spilled_activations,
)
from accelsim.hardware.design import Organisation, Resident
from accelsim.kernels import inlined_kernel, lean_kernel
from accelsim.trace import Series


@inlined_kernel
def _last_of_lot(op, unit, member):
    """Return up to which member GEMMs differ in the growing dimension alone.

    A growing k cuts what ws and is stream into pieces as soon as it takes two folds.
    """
    if member > 0 or op.series == Series.N or keeps_sums(unit) or op.k > unit.rows:
        return op.series_count
    return min((unit.rows - op.k) // max(op.series_step, 1) + 1, op.series_count)


@inlined_kernel
def _one_more(op, unit, form, extent, size):
    """Return the growing dimension at ``extent``, cut into tiles of ``size`` unless streamed."""
    if op.series == Series.N and unit.organisation == Organisation.SYSTOLIC_IS:
        return streamed(unit, form, op.k, extent)
    return tiled(extent, size)


@inlined_kernel
def _tile_size(op, unit):
    if op.series == Series.N:
        return unit.cols
    return unit.lanes if keeps_sums(unit) else unit.rows


@inlined_kernel
def _read_in_pass(op, machine, mapping, stored, inputs, passes, m, n):
    """Return (weight bytes, activation bytes) that an instance reads from DRAM."""
    if mapping.stays == Stays.RULE:
        return dram_of_gemm(op, machine, stored, inputs, passes[0], passes[1])
    return dram_of_tiles(mapping, machine, stored, inputs, m[EXTENT], n[EXTENT])


@inlined_kernel
def _mean_moves(op, unit, m, k, n, sums, skew):
    """Return the moves of the mean word of both operands, summed over a lot.

    Moves are linear in the growing dimension. So moves per word are linear in what is left of that
    dimension when each pass is divided by its extent: one a pass, and the sum of ``skew``.
    """
    shares = 0.0, float(sums[MANY]), 0.0, skew
    if op.series == Series.K:
        activations, weights = operand_moves(unit, m, shares, n)
        return activations / m[EXTENT], weights / n[EXTENT]
    activations, _ = operand_moves(unit, m, k, sums)
    _, weights = operand_moves(unit, m, k, shares)
    return activations / (m[EXTENT] * k[EXTENT]), weights / k[EXTENT]


@inlined_kernel
def _clocked_bits(unit, m, k, n, reductions):
    """Return the bits clocked into the registers of os and dot by words of one GEMM."""
    executed, unit_steps = m[EXTENT] * k[EXTENT] * n[EXTENT], m[EXTENT] * k[TILES] * n[EXTENT]
    activations, weights = operand_moves(unit, m, k, n)
    bits = sum_bits(unit, sum_moves(unit, m, k, n, reductions), executed, unit_steps)
    drain = drain_moves(unit, m, k, n) * unit.accumulator_bits
    return bits + operand_bits(unit, activations, weights) + drain


@lean_kernel
def growing_gemms(op, unit, machine, mapping, kept, totals, gemm):
    """Fill ``gemm`` with one instance of each member of a growing context.

    The cache takes no part in what comes early, so members neither use nor leave a lead.

    Returns:
        The flow, idle bits of gated rows, the mean moves of both operands, and the lead left.
    """
    form = form_of(unit, machine.output_stream, mapping.chunk)
    m, k, n = laid_out(unit, form, op.m, op.k, op.n)
    extent, size, group = op.k if op.series == Series.K else op.n, _tile_size(op, unit), op.group
    inputs, outputs = spilled_activations(op, machine, group, op.m, op.k, op.n)
    written, other = bursts(outputs, machine.burst), op.n if op.series == Series.K else op.k
    weights, read, busy, transfer, elapsed, idle = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    activation_moves, weight_moves, inputs_read, left, member = 0.0, 0.0, ZERO, ZERO, ZERO
    clear(gemm)
    while member < op.series_count:
        end = _last_of_lot(op, unit, member)
        m, k, n = grown(unit, form, op.series, extent, m, k, n)
        pace = pace_of(unit, form, m, k, n)
        many, extents, tiles, skews = ZERO, ZERO, ZERO, ZERO
        skew, total, reductions = 0.0, ZERO, ZERO
        while member < end:
            more = _one_more(op, unit, form, extent, size)
            if op.series == Series.K:
                k = more
            else:
                n = more
            if streams(unit, op.series):
                pace = pace_of(unit, form, m, k, n)
            compute, added = cycles_of_gemm(unit, pace, m, k, n), reductions_of_gemm(pace, m, n)
            stored = bytes_of(extent * other, machine.kv_bits)
            stored = share_of(fetched(op, stored, kept, Resident.CACHE, totals), op.sharing)
            passes = weight_passes(unit, m, k, n)
            come, came = _read_in_pass(op, machine, mapping, stored, inputs, passes, m, n)
            moved = bursts(come + came, machine.burst)
            cycles = cycles_of((moved + written) * group, machine)
            wait = cycles_of(share_of(stored, first_tiles(unit, m, k, n)), machine)
            ended = max(compute * group + wait, cycles)
            if gates_rows(unit):
                working = _clocked_bits(unit, m, k, n, added)
                idle += idle_bits_of_rows(unit, op.m, compute, working)
            weights += come
            inputs_read += came
            read += moved
            transfer += cycles
            elapsed += ended
            left = ended - cycles
            many += more[MANY]
            extents += extent
            tiles += more[TILES]
            skews += more[SKEW]
            skew += more[SKEW] / extent
            total += compute
            reductions += added
            extent += op.series_step
            member += 1
        sums = many, extents, tiles, skews
        add_lot(unit, op.series, m, k, n, sums, total, reductions, gemm)
        a, w = _mean_moves(op, unit, m, k, n, sums, skew)
        activation_moves += a
        weight_moves += w
        busy += total
    count = op.series_count
    flow = weights, inputs_read, outputs * count, read, written * count, busy, transfer, elapsed
    return flow, idle, (activation_moves / count, weight_moves / count), left
