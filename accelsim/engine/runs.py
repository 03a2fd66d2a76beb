"""GEMMs of which one dimension grows evenly, summed without a look at each of them.

Such are the passes of a decode and the blocks of causal attention: k or n grows by the same step
from one GEMM to the next. A *lot* are those that differ in this dimension alone, so that all that
they count follows from the sums of its four numbers. A *run* are those of a lot whose cycles are
also linear in its tiles: nearly always the whole lot.
"""

from __future__ import annotations

from accelsim.engine.dimensions import (
    ACCUMULATORS,
    CHUNK,
    EXTENT,
    GIVEN,
    MANY,
    SKEW,
    TILES,
    ZERO,
    cycles_of_gemm,
    grown,
    keeps_sums,
    pace_of,
    reductions_of_gemm,
    streams,
)
from accelsim.engine.timing import grows_evenly
from accelsim.hardware.design import Organisation
from accelsim.kernels import inlined_kernel, lean_kernel
from accelsim.trace import Series

# Columns of a run, a tuple: how many GEMMs, the growing dimension of the first and summed, the
# cycles of the first, what each further tile adds to them, and cycles and reductions of all.
R_COUNT, R_FIRST, R_SUMS, R_CYCLES, R_SLOPE, R_TOTAL, R_REDUCTIONS = 0, 1, 2, 3, 4, 5, 6


@inlined_kernel
def joined_sums(sums, more):
    """Return the sums of a dimension over GEMMs and further ones."""
    return (
        sums[MANY] + more[MANY],
        sums[EXTENT] + more[EXTENT],
        sums[TILES] + more[TILES],
        sums[SKEW] + more[SKEW],
    )


@inlined_kernel
def size_of_growing(unit, series):
    """Return the size of tiles of a growing dimension, k or n; 1 where it is streamed."""
    if series == Series.N:
        return 1 if unit.organisation == Organisation.SYSTOLIC_IS else unit.cols
    return unit.lanes if keeps_sums(unit) else unit.rows


@inlined_kernel
def lot_of(unit, series, extent, step, left):
    """Return how many of ``left`` GEMMs from ``extent`` on differ in the growing dimension alone.

    A growing k cuts what ws and is stream into pieces as soon as it takes two folds.
    """
    if series == Series.N or keeps_sums(unit) or extent > unit.rows:
        return left
    return min((unit.rows - extent) // step + 1, left)


@inlined_kernel
def _run_of(unit, form, series, first, size, step, left, k_extent):
    """Return how many of ``left`` GEMMs have cycles linear in the tiles of what grows."""
    if not streams(unit, series):
        return left  # folds alone become more
    if series == Series.N:
        return min(_streamed_alike(unit, form, first, step, k_extent), left)
    places = form[ACCUMULATORS]
    if grows_evenly(first[TILES], unit.latency, unit.interval, places, unit.rows):
        return left
    return min((first[TILES] * size - first[EXTENT]) // step + 1, left)


@inlined_kernel
def _streamed_alike(unit, form, first, step, k_extent):
    """Return how many streams of is are cut into equally many pieces, the last ones alike.

    Alike are those that all hide the load of the next fold, or that all end before it does.
    """
    count, last = form[CHUNK], first[EXTENT] - (first[MANY] - 1) * form[CHUNK]
    if k_extent <= unit.rows and not form[GIVEN]:
        count = 1 << 40  # never cut
    count = (count - last) // step + 1
    load = max(unit.rows, unit.latency + 1)
    if unit.overlap == 1 and last * unit.interval < load:
        count = min(count, (load // unit.interval - last) // step + 1)
    return count


@inlined_kernel
def sums_of_grown(first, size, step, count):
    """Return the sums of a dimension over ``count`` extents, each ``step`` longer than before."""
    extents = count * first[EXTENT] + step * (count * (count - 1) // 2)
    if size == 1:
        return first[MANY] * count, extents, extents, ZERO
    start = first[EXTENT] - (first[TILES] - 1) * size
    period, tiles, squares, gained = until_again(start, size, step, count)
    if period < count:
        times = count // period
        tiles = times * tiles + gained * period * (times * (times - 1) // 2)
        squares, rest = times * squares, count - times * period
        _, more, further, _ = until_again(start, size, step, rest)
        tiles, squares = tiles + more + rest * times * gained, squares + further
    # A tile of x words passes x (x - 1) / 2 skew registers, all but the last are full.
    full = tiles + count * (first[TILES] - 1)
    skews = full * (size * (size - 1) // 2) + (squares - (extents - full * size)) // 2
    return first[MANY] * count, extents, full + count, skews


@inlined_kernel
def until_again(start, size, step, most):
    """Walk extents whose last tile has ``start`` words first, until it has so many again.

    Returns:
        How many extents, at most ``most``; the tiles that they have beyond those of the first,
        summed; the squares of the words in their last tiles, summed; and the tiles gained.
    """
    whole, rest, inside = step // size, step % size, start
    count, tile, tiles, squares = ZERO, ZERO, ZERO, ZERO
    while count < most:
        tiles += tile
        squares += inside * inside
        inside += rest
        over = 1 if inside > size else 0
        inside -= over * size
        tile += whole + over
        count += 1
        if inside == start:
            break
    return count, tiles, squares, tile


@lean_kernel
def skew_shares(first, size, step, count):
    """Return the sum of skew / extent over ``count`` extents, each ``step`` longer than before."""
    _, extent, tiles, _ = first
    full, inside, shares = size * (size - 1) // 2, extent - (tiles - 1) * size, 0.0
    for _ in range(count):
        shares += ((tiles - 1) * full + inside * (inside - 1) // 2) / extent
        extent += step
        inside += step
        while inside > size:
            inside -= size
            tiles += 1
    return shares


@lean_kernel
def sum_of_run(unit, form, series, extent, step, left, m, k, n):
    """Sum the first run of ``left`` GEMMs, of which k or n has ``extent`` and grows by ``step``.

    Returns:
        A tuple of ``R_`` columns.
    """
    size = size_of_growing(unit, series)
    m, k, n = grown(unit, form, series, extent, m, k, n)
    first = k if series == Series.K else n
    count = _run_of(unit, form, series, first, size, step, left, k[EXTENT])
    pace = pace_of(unit, form, m, k, n)
    cycles, sums = cycles_of_gemm(unit, pace, m, k, n), sums_of_grown(first, size, step, count)
    slope, more = ZERO, sums[TILES] - count * first[TILES]
    if series == Series.K:
        reductions = count * reductions_of_gemm(pace, m, n)
    else:
        reductions = reductions_of_gemm(pace, m, sums)
    if more > 0:
        m, k, n = grown(unit, form, series, extent + step * (count - 1), m, k, n)
        last = k if series == Series.K else n
        added = cycles_of_gemm(unit, pace_of(unit, form, m, k, n), m, k, n) - cycles
        slope = added // (last[TILES] - first[TILES])
    return count, first, sums, cycles, slope, count * cycles + slope * more, reductions
