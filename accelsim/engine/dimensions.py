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
from accelsim.kernels import inner_borrowing_kernel
from accelsim.trace import Series

MANY, EXTENT, TILES, SKEW = 0, 1, 2, 3


@inner_borrowing_kernel
def keeps_sums(unit):
    """Whether sums stay in the PEs: os and dot. In ws and is operands do."""
    return unit.organisation == Organisation.SYSTOLIC_OS or unit.organisation == Organisation.DOT


@inner_borrowing_kernel
def tiled(extent, size):
    """Return a dimension of ``extent``, cut into tiles of ``size``."""
    if size == 1:
        return 1, extent, extent, 0
    whole = extent // size
    rest = extent - whole * size
    tiles = whole + (1 if rest > 0 else 0)
    return 1, extent, tiles, whole * (size * (size - 1) // 2) + rest * (rest - 1) // 2


@inner_borrowing_kernel
def words_held(unit, output_bytes):
    """Return how many words ws and is stream before the next k-fold.

    A column of partial sums waits in half of the output buffer until the last k-fold, while the
    other half drains.
    """
    return max(output_bytes // HALF * 8 // (unit.cols * unit.accumulator_bits), 1)


@inner_borrowing_kernel
def streamed(unit, chunk, k, extent):
    """Return the dimension that ws and is stream, cut into GEMMs of ``chunk`` words.

    A GEMM of one k-fold has no partial sums and is never cut.
    """
    if k <= unit.rows or extent <= chunk:
        return 1, extent, extent, 0
    return ceil_div(extent, chunk), extent, extent, 0


@inner_borrowing_kernel
def laid_out(unit, chunk, m, k, n):
    """Return the dimensions m, k and n of a GEMM on ``unit``."""
    if keeps_sums(unit):
        return tiled(m, unit.rows), tiled(k, unit.lanes), tiled(n, unit.cols)
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return streamed(unit, chunk, k, m), tiled(k, unit.rows), tiled(n, unit.cols)
    return tiled(m, unit.cols), tiled(k, unit.rows), streamed(unit, chunk, k, n)


@inner_borrowing_kernel
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


@inner_borrowing_kernel
def weight_passes(unit, m, k, n):
    """Return (how often an array streams the second operand, the pieces it can do so by)."""
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return m[MANY], n[TILES]
    if unit.organisation == Organisation.SYSTOLIC_IS:
        return m[TILES], n[MANY]
    return m[TILES], n[TILES]


@inner_borrowing_kernel
def first_tiles(unit, m, k, n):
    """Return how many tiles the second operand has; the first must arrive before the first step."""
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return n[TILES] * k[TILES]
    return n[TILES]  # of is, which streams it, the words


@inner_borrowing_kernel
def cycles_of_gemm(unit, chunk, m, k, n):
    """Return the cycles of one GEMM."""
    if keeps_sums(unit):
        return _cycles_of_folds(unit, m[TILES] * n[TILES], k[TILES])
    stream, across = m, n
    if unit.organisation == Organisation.SYSTOLIC_IS:
        stream, across = n, m
    folds, pieces = k[TILES] * across[TILES], stream[MANY] - 1
    last = _cycles_of_folds(unit, folds, stream[EXTENT] - pieces * chunk)
    if pieces == 0:
        return last
    return pieces * _cycles_of_folds(unit, folds, chunk) + last


@inner_borrowing_kernel
def _cycles_of_folds(unit, folds, steps):
    """Return the cycles of ``folds`` folds, one after the other, of ``steps`` steps each."""
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
    return (folds - 1) * stride + fold


@inner_borrowing_kernel
def reductions_of_gemm(unit, m, k, n):
    """Return the additions of one GEMM that join interleaved partial sums."""
    if unit.interleave == 0 or not keeps_sums(unit):
        return 0
    sums = partial_sums(k[TILES], unit.latency, unit.interval, True)
    return m[EXTENT] * n[EXTENT] * (sums - 1)
