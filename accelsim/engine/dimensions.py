"""The dimensions of a GEMM as an array sees them: extents cut into tiles.

A dimension is four whole numbers ``(many, extent, tiles, skew)``: in how many GEMMs it is, how long
it is, into how many tiles of the array it is cut, and how many skew registers its words pass.
Everything that one GEMM counts is a sum of products with one of these numbers from each of m, k
and n. So GEMMs that differ in one dimension are counted at once, from the sums of its four numbers.
Cycles are the exception: how long a fold takes is not linear in the steps that it streams.
"""

from __future__ import annotations

from accelsim.engine.timing import fold_cycles, partial_sums
from accelsim.engine.transfers import HALF, ceil_div
from accelsim.hardware.design import Organisation
from accelsim.kernels import inlined_kernel, lean_kernel
from accelsim.trace import Series

MANY, EXTENT, TILES, SKEW = 0, 1, 2, 3


@inlined_kernel
def keeps_sums(unit):
    """Whether sums stay in the PEs: os and dot. In ws and is operands do."""
    return unit.organisation == Organisation.SYSTOLIC_OS or unit.organisation == Organisation.DOT


@inlined_kernel
def tiled(extent, size):
    """Return a dimension of ``extent``, cut into tiles of ``size``."""
    if size == 1:
        return 1, extent, extent, 0
    whole = int(extent / size)  # exact below 2**53, and sooner than a division of integers
    rest = extent - whole * size
    tiles = whole + (1 if rest > 0 else 0)
    return 1, extent, tiles, whole * (size * (size - 1) // 2) + rest * (rest - 1) // 2


@lean_kernel
def words_held(unit, output_bytes):
    """Return how many words ws and is stream before the next k-fold.

    A column of partial sums waits in half of the output buffer until the last k-fold, while the
    other half drains.
    """
    return max(output_bytes // HALF * 8 // (unit.cols * unit.accumulator_bits), 1)


@inlined_kernel
def streamed(unit, chunk, k, extent):
    """Return the dimension that ws and is stream, cut into GEMMs of ``chunk`` words.

    A GEMM of one k-fold has no partial sums and is never cut.
    """
    if k <= unit.rows or extent <= chunk:
        return 1, extent, extent, 0
    return ceil_div(extent, chunk), extent, extent, 0


@lean_kernel
def laid_out(unit, chunk, m, k, n):
    """Return the dimensions m, k and n of a GEMM on ``unit``."""
    if keeps_sums(unit):
        return tiled(m, unit.rows), tiled(k, unit.lanes), tiled(n, unit.cols)
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return streamed(unit, chunk, k, m), tiled(k, unit.rows), tiled(n, unit.cols)
    return tiled(m, unit.cols), tiled(k, unit.rows), streamed(unit, chunk, k, n)


@inlined_kernel
def grown(unit, chunk, series, extent, m, k, n):
    """Return the dimensions of a GEMM of which k or n has grown to ``extent``."""
    held = not keeps_sums(unit)
    if series == Series.N:
        if unit.organisation == Organisation.SYSTOLIC_IS:
            return m, k, streamed(unit, chunk, k[EXTENT], extent)
        return m, k, tiled(extent, unit.cols)
    if held and unit.organisation == Organisation.SYSTOLIC_WS:
        m = streamed(unit, chunk, extent, m[EXTENT])
    elif held:
        n = streamed(unit, chunk, extent, n[EXTENT])
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
def streams(unit, series):
    """Whether the growing dimension is the one whose steps decide how long a fold takes."""
    if keeps_sums(unit):
        return series == Series.K
    return unit.organisation == Organisation.SYSTOLIC_IS and series == Series.N


@lean_kernel
def pace_of(unit, chunk, m, k, n):
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
    last_stride, last_fold = _stride_and_fold(unit, steps - pieces * chunk)
    stride, fold = last_stride, last_fold
    if pieces > 0:
        stride, fold = _stride_and_fold(unit, chunk)
    extra = 0
    if unit.interleave == 1 and keeps_sums(unit):
        extra = partial_sums(steps, unit.latency, unit.interval, True) - 1
    return stride, fold, last_stride, last_fold, extra


@lean_kernel
def _stride_and_fold(unit, steps):
    stride, fold, _ = fold_cycles(
        unit.organisation,
        unit.rows,
        unit.cols,
        unit.lanes,
        unit.latency,
        unit.interval,
        unit.interleave == 1,
        unit.overlap == 1,
        steps,
    )
    return stride, fold


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
