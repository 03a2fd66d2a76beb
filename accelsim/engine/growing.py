"""A growing context on an array: every pass of a decode, summed in one walk.

Only attention over the cache grows: keys add columns to its scores (n), values add steps (k). What
a GEMM counts is a sum of products of its dimensions and so is added once for all passes that differ
in one of them. Cycles and transfers round in every pass, so these are what the walk works out.
"""

from __future__ import annotations

from accelsim.engine.counts import gates_rows, idle_bits_of_rows, operand_bits, sum_bits
from accelsim.engine.dimensions import (
    ACCUMULATORS,
    EXTENT,
    MANY,
    ONE,
    TILES,
    ZERO,
    cycles_of_gemm,
    first_tiles,
    form_of,
    grown,
    laid_out,
    pace_of,
    reductions_of_gemm,
    streams,
    tiled,
    weight_passes,
)
from accelsim.engine.gemm import add_lot, clear, growing_at, grown_sums, lot_of, size_of_growing
from accelsim.engine.mapping import Stays
from accelsim.engine.registers import drain_moves, operand_moves, sum_moves
from accelsim.engine.timing import grows_evenly
from accelsim.engine.transfers import (
    bursts,
    bytes_of,
    cycles_of,
    dram_of_gemm,
    dram_of_tiles,
    half_stream,
    quotient,
    spilled_activations,
)
from accelsim.hardware.design import Resident
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
def _reductions(op, pace, m, n, sums):
    """Return the reductions of members whose growing dimension has ``sums``."""
    if op.series == Series.K:
        return sums[MANY] * reductions_of_gemm(pace, m, n)
    return reductions_of_gemm(pace, m, sums)


@inlined_kernel
def _cache_of(op, machine, kept, totals):
    """Return what the transfers of all members share; the growing operand is the second one."""
    inputs, outputs = spilled_activations(op, machine, op.group, op.m, op.k, op.n)
    cached, total = kept[Resident.CACHE], max(totals[Resident.CACHE], 1)
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


@inlined_kernel
def _alike(op, unit, form, extent, size, most):
    """Return how many members, at most ``most``, from ``extent`` on grow by equally many cycles.

    Either they have equally many tiles, or each has a step more and every step takes the same.
    """
    if gates_rows(unit):
        return ONE  # idle bits are worked out for each
    if not streams(unit, op.series):
        return _equal_tiles(op, extent, size, most)
    if op.series == Series.N:
        return ONE
    if size > 1:
        return _equal_tiles(op, extent, size, most)
    even = grows_evenly(extent, unit.latency, unit.interval, form[ACCUMULATORS], unit.rows)
    return most if even else ONE


@inlined_kernel
def _equal_tiles(op, extent, size, most):
    room = tiled(extent, size)[TILES] * size - extent
    return min(room // op.series_step + 1, most)


@inlined_kernel
def _gemm_at(op, unit, form, extent, size, m, k, n):
    """Return the dimensions of the member grown to ``extent``, its cycles and its pace."""
    more = growing_at(unit, form, op.series, extent, size, op.k)
    if op.series == Series.K:
        k = more
    else:
        n = more
    pace = pace_of(unit, form, m, k, n)
    return m, k, n, cycles_of_gemm(unit, pace, m, k, n), pace


@lean_kernel
def _transfers(op, machine, mapping, cache, extent, alike, compute, slope, passes, tile):
    """Return what ``alike`` members transfer, from ``extent`` on: bytes and cycles, summed.

    The first takes ``compute`` cycles, each one ``slope`` more than the one before it.

    Returns:
        Weight bytes, input bytes, bytes read in whole bursts, DRAM cycles and cycles.
    """
    spilled_inputs, _, written, half = cache[5:]
    plain, part = mapping.stays == Stays.RULE and spilled_inputs == 0, 1.0 / tile
    weights, inputs, read, transfer, elapsed = ZERO, ZERO, ZERO, ZERO, ZERO
    for _ in range(alike):
        stored = _stored(op, machine, cache, extent)
        come, came = stored * (passes[0] if stored > half * passes[1] else 1), spilled_inputs
        if not plain:
            n = extent if op.series == Series.N else op.n
            come, came = _read_otherwise(op, machine, mapping, stored, came, passes, n)
        moved = bursts(come + came, machine.burst)
        cycles = cycles_of((moved + written) * op.group, machine)
        wait = cycles_of(quotient(stored + tile - 1, tile, part), machine)
        weights += come
        inputs += came
        read += moved
        transfer += cycles
        elapsed += max(compute * op.group + wait, cycles)
        compute += slope
        extent += op.series_step
    return weights, inputs, read, transfer, elapsed


@lean_kernel
def _dimension_sums(dimension, size, step, alike):
    """Return the sums of a dimension over members that grow by ``step``, and of skew / extent.

    ``alike`` members have equally many tiles of ``size``, or tiles of one.
    """
    many, extent, tiles, skew = dimension
    if alike == 1:
        return dimension, skew / extent
    extents = alike * extent + step * (alike * (alike - 1) // 2)
    if size == 1:
        return (alike, extents, extents, ZERO), 0.0
    skews, shares, inside = ZERO, 0.0, extent - (tiles - 1) * size
    before = skew - inside * (inside - 1) // 2
    for _ in range(alike):
        skew = before + inside * (inside - 1) // 2
        skews += skew
        shares += skew / extent
        inside += step
        extent += step
    return (many * alike, extents, tiles * alike, skews), shares


@lean_kernel
def growing_gemms(op, unit, machine, mapping, kept, totals, gemm):
    """Fill ``gemm`` with one instance of each member of a growing context.

    The cache takes no part in what comes early, so members neither use nor leave a lead.

    Returns:
        The flow, idle bits of gated rows, and the mean moves of both operands.
    """
    form = form_of(unit, machine.output_stream, mapping.chunk)
    cache, size, step = (
        _cache_of(op, machine, kept, totals),
        size_of_growing(unit, op.series),
        op.series_step,
    )
    m, k, n = laid_out(unit, form, op.m, op.k, op.n)
    extent, step = op.k if op.series == Series.K else op.n, op.series_step
    weights, inputs, read, busy, transfer, elapsed = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    activation_moves, weight_moves, idle, member = 0.0, 0.0, ZERO, ZERO
    clear(gemm)
    while member < op.series_count:
        end = member + lot_of(unit, op.series, extent, step, op.series_count - member)
        m, k, n = grown(unit, form, op.series, extent, m, k, n)
        sums, skew, total, reductions = (ZERO, ZERO, ZERO, ZERO), 0.0, ZERO, ZERO
        while member < end:
            alike, slope = _alike(op, unit, form, extent, size, end - member), ZERO
            m, k, n, compute, pace = _gemm_at(op, unit, form, extent, size, m, k, n)
            if size == 1 and alike > 1:
                slope = _gemm_at(op, unit, form, extent + step, size, m, k, n)[3] - compute
            if gates_rows(unit):
                working = _clocked_bits(unit, m, k, n, reductions_of_gemm(pace, m, n))
                idle += idle_bits_of_rows(unit, op.m, compute, working)
            passes, tile = weight_passes(unit, m, k, n), first_tiles(unit, m, k, n)
            moved = _transfers(
                op, machine, mapping, cache, extent, alike, compute, slope, passes, tile
            )
            weights, inputs, read = weights + moved[0], inputs + moved[1], read + moved[2]
            transfer, elapsed = transfer + moved[3], elapsed + moved[4]
            grows = k if op.series == Series.K else n
            some, shares = _dimension_sums(grows, size, step, alike)
            reductions += _reductions(op, pace, m, n, some)
            sums, skew = grown_sums(op.series, sums, some, some), skew + shares
            total += compute * alike + slope * (alike * (alike - 1) // 2)
            extent += step * alike
            member += alike
        add_lot(unit, op.series, m, k, n, sums, total, reductions, gemm)
        a, w = _mean_moves(op, unit, m, k, n, sums, skew)
        activation_moves, weight_moves = activation_moves + a, weight_moves + w
        busy += total
    count, outputs, written = op.series_count, cache[6], cache[7]
    moves = activation_moves / count, weight_moves / count
    flow = weights, inputs, outputs * count, read, written * count, busy, transfer, elapsed
    return flow, idle, moves
