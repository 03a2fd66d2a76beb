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
    cycles_of,
    dram_of_gemm,
    dram_of_tiles,
    half_stream,
    quotient,
    share_of,
    spilled_activations,
)
from accelsim.hardware.design import Organisation, Resident
from accelsim.kernels import inlined_kernel, lean_kernel
from accelsim.trace import Series


@lean_kernel
def _read(op, machine, mapping, stored, inputs, passes, n):
    """Return (weight bytes, activation bytes) that an instance reads from DRAM."""
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
    even = cache[0] * machine.kv_bits * op.series_step % 8 == 0  # members differ by whole bytes
    if even and op.sharing == 1 and mapping.stays == Stays.RULE and cache[5] == 0:
        return _plain_transfers(op, unit, machine, cache, run, m, k, n)
    return _other_transfers(op, unit, machine, mapping, cache, run, m, k, n)


@lean_kernel
def _plain_transfers(op, unit, machine, cache, run, m, k, n):
    """Return what members transfer that stream a cache, each longer by the same bytes.

    What is resident of a member is a quotient; from one to the next it and its rest grow evenly.
    Cycles are whole numbers below 2**53, as floats: rounding up needs no integer.
    """
    other, cached, total, share, _, _, _, written, half = cache
    group, step, per_cycle = op.group, op.series_step, machine.dram_bytes_per_cycle
    size, extent, tiles = (
        size_of_growing(unit, op.series),
        run[R_FIRST][EXTENT],
        run[R_FIRST][TILES],
    )
    inside, whole, rest = extent - (tiles - 1) * size, step // size, step % size
    times, pieces = weight_passes(unit, m, k, n)
    more_pieces, more_tiles = added_by_tile(unit, op.series, k, n)
    room, more_room = half * pieces, half * more_pieces
    stored = bytes_of(extent * other, machine.kv_bits)
    longer = bytes_of(step * other, machine.kv_bits)
    resident, more_resident = (
        quotient(stored * cached, total, share),
        quotient(longer * cached, total, share),
    )
    over, more_over = stored * cached - resident * total, longer * cached - more_resident * total
    compute, slope = float(run[R_CYCLES] * group), float(run[R_SLOPE] * group)
    tile, more_tile = float(first_tiles(unit, m, k, n)), float(more_tiles)
    longest = stored + run[R_COUNT] * longer
    latest = np.ceil(np.ceil(longest / tile) / per_cycle)  # at which a first tile is there
    weights, read, transfer, elapsed = ZERO, ZERO, 0.0, 0.0
    for _ in range(run[R_COUNT]):
        come = stored - resident
        wanted = come
        if come > room:
            come *= times
        moved = bursts(come, machine.burst)
        cycles = np.ceil((moved + written) * group / per_cycle)
        weights += come
        read += moved
        transfer += cycles
        if compute + latest > cycles:
            cycles = max(compute + np.ceil(np.ceil(wanted / tile) / per_cycle), cycles)
        elapsed += cycles
        stored += longer
        over += more_over
        carry = 1 if over >= total else 0
        over -= carry * total
        resident += more_resident + carry
        inside += rest
        gained = 1 if inside > size else 0
        inside -= gained * size
        gained += whole
        compute += slope * gained
        room += more_room * gained
        tile += more_tile * gained
    return weights, ZERO, read, int(transfer), int(elapsed)


@lean_kernel
def _other_transfers(op, unit, machine, mapping, cache, run, m, k, n):
    """Return what members transfer one by one: in tiles, beside spilled activations, shared."""
    written, step = cache[7], op.series_step
    times, pieces = weight_passes(unit, m, k, n)
    tile, (more_pieces, more_tiles) = (
        first_tiles(unit, m, k, n),
        added_by_tile(unit, op.series, k, n),
    )
    size, extent, tiles = (
        size_of_growing(unit, op.series),
        run[R_FIRST][EXTENT],
        run[R_FIRST][TILES],
    )
    inside, compute, slope = extent - (tiles - 1) * size, run[R_CYCLES], run[R_SLOPE]
    weights, inputs, read, transfer, elapsed = ZERO, ZERO, ZERO, ZERO, ZERO
    for _ in range(run[R_COUNT]):
        stored = _stored(op, machine, cache, extent)
        columns = extent if op.series == Series.N else op.n
        come, came = _read(op, machine, mapping, stored, cache[5], (times, pieces), columns)
        moved = bursts(come + came, machine.burst)
        cycles = cycles_of((moved + written) * op.group, machine)
        weights += come
        inputs += came
        read += moved
        transfer += cycles
        elapsed += max(compute * op.group + cycles_of(share_of(stored, tile), machine), cycles)
        extent += step
        inside += step
        while inside > size:
            inside -= size
            compute += slope
            pieces += more_pieces
            tile += more_tiles
    return weights, inputs, read, transfer, elapsed


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
