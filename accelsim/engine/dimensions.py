"""The dimensions of a GEMM as an array sees them: extents cut into tiles.

A dimension is four whole numbers ``(many, extent, tiles, skew)``: in how many GEMMs it is, how long
it is, into how many tiles of the array it is cut, and how many skew registers its words pass.
Everything that one GEMM counts is a sum of products with one of these numbers from each of m, k
and n. So GEMMs that differ in one dimension are counted at once, from the sums of its four numbers.
Cycles are the exception: how long a fold takes is not linear in the steps that it streams.
"""

from __future__ import annotations

import numpy as np

from accelsim.engine.timing import accumulators, fixed_cycles, fold_pace
from accelsim.engine.transfers import HALF, ceil_div
from accelsim.hardware.design import Organisation
from accelsim.kernels import inlined_kernel, lean_kernel
from accelsim.trace import Series

MANY, EXTENT, TILES, SKEW = 0, 1, 2, 3
CHUNK, FIXED, ACCUMULATORS, GIVEN = 0, 1, 2, 3
# Typed: a literal would have every callee compiled again.
ZERO, ONE = np.int64(0), np.int64(1)


@inlined_kernel
def keeps_sums(unit):
    """Whether sums stay in the PEs: os and dot. In ws and is operands do."""
    return unit.organisation == Organisation.SYSTOLIC_OS or unit.organisation == Organisation.DOT


@inlined_kernel
def tiled(extent, size):
    """Return a dimension of ``extent``, cut into tiles of ``size``."""
    if size == 1:
        return ONE, extent, extent, ZERO
    whole = int(extent / size)  # exact below 2**53, and sooner than a division of integers
    rest = extent - whole * size
    tiles = whole + (1 if rest > 0 else 0)
    return ONE, extent, tiles, whole * (size * (size - 1) // 2) + rest * (rest - 1) // 2


@inlined_kernel
def largest_chunk(unit, output_bytes):
    """Return how many sums of each column half of the output buffer holds, at least one."""
    return max(output_bytes // HALF * 8 // (unit.cols * unit.accumulator_bits), 1)


@lean_kernel
def form_of(unit, output_bytes, given_chunk):
    """Return what every GEMM on a unit shares: (chunk, fixed cycles, accumulators, given).

    ``chunk`` is how many words ws and is stream before the next k-fold: a column of partial sums
    waits in half of the output buffer until the last k-fold, while the other half drains. A mapping
    may give another, 0 is none.
    """
    chunk = given_chunk if given_chunk > 0 else largest_chunk(unit, output_bytes)
    overlap = unit.overlap == 1
    fixed = fixed_cycles(unit.organisation, unit.rows, unit.cols, unit.lanes, unit.latency, overlap)
    sums = accumulators(unit.latency, unit.interval, unit.interleave == 1)
    return chunk, fixed, sums, given_chunk > 0


@inlined_kernel
def streamed(unit, form, k, extent):
    """Return the dimension that ws and is stream, cut into GEMMs of a chunk each.

    A GEMM of one k-fold has no partial sums and is cut only where a mapping says so.
    """
    if extent <= form[CHUNK] or (k <= unit.rows and not form[GIVEN]):
        return ONE, extent, extent, ZERO
    return ceil_div(extent, form[CHUNK]), extent, extent, 0


@lean_kernel
def laid_out(unit, form, m, k, n):
    """Return the dimensions m, k and n of a GEMM on ``unit``."""
    if keeps_sums(unit):
        return tiled(m, unit.rows), tiled(k, unit.lanes), tiled(n, unit.cols)
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return streamed(unit, form, k, m), tiled(k, unit.rows), tiled(n, unit.cols)
    return tiled(m, unit.cols), tiled(k, unit.rows), streamed(unit, form, k, n)


@inlined_kernel
def grown(unit, form, series, extent, m, k, n):
    """Return the dimensions of a GEMM of which k or n has grown to ``extent``."""
    held = not keeps_sums(unit)
    if series == Series.N:
        if unit.organisation == Organisation.SYSTOLIC_IS:
            return m, k, streamed(unit, form, k[EXTENT], extent)
        return m, k, tiled(extent, unit.cols)
    if held and unit.organisation == Organisation.SYSTOLIC_WS:
        m = streamed(unit, form, extent, m[EXTENT])
    elif held:
        n = streamed(unit, form, extent, n[EXTENT])
    return m, tiled(extent, unit.rows if held else unit.lanes), n


@inlined_kernel
def weight_passes(unit, m, k, n):
    """Return (how often an array streams the second operand, the pieces it can do so by)."""
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return m[MANY], n[TILES]
    if unit.organisation == Organisation.SYSTOLIC_IS:
        return m[TILES], n[MANY]
    return m[TILES], n[TILES]


@inlined_kernel
def first_tiles(unit, m, k, n):
    """Return how many tiles the second operand has; the first must arrive before the first step."""
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return n[TILES] * k[TILES]
    return n[TILES]  # of is, which streams it, the words


@inlined_kernel
def added_by_tile(unit, series, k, n):
    """Return (pieces, tiles of the second operand) that a tile more of a growing k or n adds."""
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return (ZERO, n[TILES]) if series == Series.K else (ONE, k[TILES])
    if series == Series.K:
        return ZERO, ZERO
    return (ZERO if unit.organisation == Organisation.SYSTOLIC_IS else ONE), ONE


@inlined_kernel
def streams(unit, series):
    """Whether the growing dimension is the one whose steps decide how long a fold takes."""
    if keeps_sums(unit):
        return series == Series.K
    return unit.organisation == Organisation.SYSTOLIC_IS and series == Series.N


@inlined_kernel
def pace_of(unit, form, m, k, n):
    """Return how long folds take: (stride, fold, last stride, last fold, extra sums).

    ``stride`` lies between the starts of two folds, ``fold`` is the length of one. Where ws and is
    cut a GEMM into pieces, the last one is shorter. ``extra sums`` are the partial sums of a result
    beside its first, which os and dot add up at the end.
    """
    steps, pieces = k[TILES], 0
    if unit.organisation == Organisation.SYSTOLIC_WS:
        steps, pieces = m[EXTENT], m[MANY] - 1
    elif unit.organisation == Organisation.SYSTOLIC_IS:
        steps, pieces = n[EXTENT], n[MANY] - 1
    last_stride, last_fold, sums = _pace(unit, form, steps - pieces * form[CHUNK])
    if pieces == 0:
        return last_stride, last_fold, last_stride, last_fold, sums - 1
    stride, fold, _ = _pace(unit, form, form[CHUNK])
    return stride, fold, last_stride, last_fold, sums - 1


@inlined_kernel
def _pace(unit, form, steps):
    return fold_pace(
        unit.organisation,
        unit.rows,
        unit.latency,
        unit.interval,
        unit.overlap == 1,
        form[ACCUMULATORS],
        form[FIXED],
        steps,
    )


@inlined_kernel
def cycles_of_gemm(unit, pace, m, k, n):
    """Return the cycles of one GEMM at ``pace``."""
    stride, fold, last_stride, last_fold, _ = pace
    folds, pieces = m[TILES] * n[TILES], 0
    if unit.organisation == Organisation.SYSTOLIC_WS:
        folds, pieces = k[TILES] * n[TILES], m[MANY] - 1
    elif unit.organisation == Organisation.SYSTOLIC_IS:
        folds, pieces = k[TILES] * m[TILES], n[MANY] - 1
    whole = pieces * ((folds - 1) * stride + fold)
    return whole + (folds - 1) * last_stride + last_fold


@inlined_kernel
def reductions_of_gemm(pace, m, n):
    """Return the additions of one GEMM that join interleaved partial sums."""
    return m[EXTENT] * n[EXTENT] * pace[4]
