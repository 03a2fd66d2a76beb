"""A growing context on an array: every pass of a decode, summed in one walk.

Only attention over the cache grows: keys add columns to its scores (n), values add steps (k). What
a GEMM counts is a sum of products of its dimensions and so is added once for all passes that differ
in one of them. Cycles and transfers round in every pass, so these are what the walk works out.
"""

from __future__ import annotations

import numpy as np

from accelsim.engine.counts import gates_rows, idle_bits_of_rows, operand_bits, sum_bits
from accelsim.engine.dimensions import (
    EXTENT,
    MANY,
    TILES,
    ZERO,
    added_by_tile,
    cycles_of_gemm,
    first_tiles,
    form_of,
    grown,
    laid_out,
    pace_of,
    reductions_of_gemm,
    weight_passes,
)
from accelsim.engine.gemm import add_lot, clear
from accelsim.engine.mapping import Stays
from accelsim.engine.registers import drain_moves, operand_moves, sum_moves
from accelsim.engine.runs import (
    R_COUNT,
    R_CYCLES,
    R_FIRST,
    R_REDUCTIONS,
    R_SLOPE,
    R_SUMS,
    R_TOTAL,
    joined_sums,
    lot_of,
    size_of_growing,
    skew_shares,
    sum_of_run,
)
from accelsim.engine.transfers import (
    bursts,
    bytes_of,
    dram_of_gemm,
    dram_of_tiles,
    half_stream,
    quotient,
    spilled_activations,
)
from accelsim.hardware.design import Organisation, Resident
from accelsim.kernels import inlined_kernel, lean_kernel
from accelsim.trace import Series


@lean_kernel
def _read_otherwise(op, machine, mapping, stored, inputs, passes, n):
    """Return (weight bytes, activation bytes) of an instance that is no plain stream of a cache."""
    if mapping.stays == Stays.RULE:
        return dram_of_gemm(op, machine, stored, inputs, passes[0], passes[1])
    return dram_of_tiles(mapping, machine, stored, inputs, op.m, n)


@inlined_kernel
def _stored(op, machine, cache, extent):
    """Return bytes of a second operand that come from DRAM, residents and sharing taken off."""
    other, cached, total, share, sharing = cache[:5]
    stored = bytes_of(extent * other, machine.kv_bits)
    if cached > 0:
        stored -= quotient(stored * cached, total, share)
    if op.sharing == 1:
        return stored
    return quotient(stored + op.sharing - 1, op.sharing, sharing)


@inlined_kernel
def _cache_of(op, machine):
    """Return what the transfers of all members share; the growing operand is the second one."""
    inputs, outputs = spilled_activations(op, machine, op.group, op.m, op.k, op.n)
    cached, total = machine.kept[Resident.CACHE], max(machine.totals[Resident.CACHE], 1)
    other = op.n if op.series == Series.K else op.k
    written, half = bursts(outputs, machine.burst), half_stream(op, machine)
    return other, cached, total, 1.0 / total, 1.0 / op.sharing, inputs, outputs, written, half


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
def _idle_of_run(op, unit, form, extent, count, m, k, n):
    """Return the idle bits of gated rows in ``count`` members from ``extent`` on."""
    idle = ZERO
    for _ in range(count):
        m, k, n = grown(unit, form, op.series, extent, m, k, n)
        pace = pace_of(unit, form, m, k, n)
        working = _clocked_bits(unit, m, k, n, reductions_of_gemm(pace, m, n))
        idle += idle_bits_of_rows(unit, op.m, cycles_of_gemm(unit, pace, m, k, n), working)
        extent += op.series_step
    return idle


@lean_kernel
def _transfers(op, unit, machine, mapping, cache, run, m, k, n):
    """Return what the members of a run transfer: bytes and cycles, summed.

    Returns:
        Weight bytes, input bytes, bytes read in whole bursts, DRAM cycles and cycles.
    """
    spilled_inputs, _, written, half = cache[5:]
    plain = mapping.stays == Stays.RULE and spilled_inputs == 0
    times, pieces = weight_passes(unit, m, k, n)
    tile, group = first_tiles(unit, m, k, n), op.group
    more_pieces, more_tiles = added_by_tile(unit, op.series, k, n)
    extent, size, step = run[R_FIRST][EXTENT], size_of_growing(unit, op.series), op.series_step
    inside = extent - (run[R_FIRST][TILES] - 1) * size  # words in the last tile
    whole, rest = step // size, step % size
    # Cycles are whole numbers below 2**53, as floats: rounding up needs no integer.
    compute, slope, tile = float(run[R_CYCLES] * group), float(run[R_SLOPE] * group), float(tile)
    weights, inputs, read, transfer, elapsed = ZERO, ZERO, ZERO, 0.0, 0.0
    for _ in range(run[R_COUNT]):
        stored = _stored(op, machine, cache, extent)
        come, came = stored * (times if stored > half * pieces else 1), spilled_inputs
        if not plain:
            n_extent = extent if op.series == Series.N else op.n
            come, came = _read_otherwise(
                op, machine, mapping, stored, came, (times, pieces), n_extent
            )
        moved = bursts(come + came, machine.burst)
        cycles = np.ceil((moved + written) * group / machine.dram_bytes_per_cycle)
        wait = np.ceil(np.ceil(stored / tile) / machine.dram_bytes_per_cycle)
        weights += come
        inputs += came
        read += moved
        transfer += cycles
        elapsed += max(compute + wait, cycles)
        extent += step
        inside += rest
        over = 1 if inside > size else 0
        inside -= over * size
        compute += slope * (whole + over)
        pieces += more_pieces * (whole + over)
        tile += more_tiles * (whole + over)
    return weights, inputs, read, int(transfer), int(elapsed)


@lean_kernel
def growing_gemms(op, unit, machine, mapping, gemm):
    """Fill ``gemm`` with one instance of each member of a growing context.

    The cache takes no part in what comes early, so members neither use nor leave a lead.

    Returns:
        The flow, idle bits of gated rows, and the mean moves of both operands.
    """
    form = form_of(unit, machine.output_stream, mapping.chunk)
    cache, size = _cache_of(op, machine), size_of_growing(unit, op.series)
    m, k, n = laid_out(unit, form, op.m, op.k, op.n)
    extent, step = op.k if op.series == Series.K else op.n, op.series_step
    weights, inputs, read, busy, transfer, elapsed = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    activation_moves, weight_moves, idle, left = 0.0, 0.0, ZERO, op.series_count
    clear(gemm)
    while left > 0:
        after = left - lot_of(unit, op.series, extent, step, left)
        sums, skew, total, reductions = (ZERO, ZERO, ZERO, ZERO), 0.0, ZERO, ZERO
        while left > after:
            m, k, n = grown(unit, form, op.series, extent, m, k, n)
            run = sum_of_run(unit, form, op.series, extent, step, left - after, m, k, n)
            count = run[R_COUNT]
            if gates_rows(unit):
                idle += _idle_of_run(op, unit, form, extent, count, m, k, n)
            if size > 1 and unit.organisation != Organisation.DOT:  # whose operands pass no skew
                skew += skew_shares(run[R_FIRST], size, step, count)
            moved = _transfers(op, unit, machine, mapping, cache, run, m, k, n)
            weights, inputs, read = weights + moved[0], inputs + moved[1], read + moved[2]
            transfer, elapsed = transfer + moved[3], elapsed + moved[4]
            sums, total = joined_sums(sums, run[R_SUMS]), total + run[R_TOTAL]
            reductions += run[R_REDUCTIONS]
            extent += step * count
            left -= count
        add_lot(unit, op.series, m, k, n, sums, total, reductions, gemm)
        a, w = _mean_moves(op, unit, m, k, n, sums, skew)
        activation_moves, weight_moves = activation_moves + a, weight_moves + w
        busy += total
    count, outputs, written = op.series_count, cache[6], cache[7]
    moves = activation_moves / count, weight_moves / count
    flow = weights, inputs, outputs * count, read, written * count, busy, transfer, elapsed
    return flow, idle, moves
