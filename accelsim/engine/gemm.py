"""One GEMM instance of an operator on a matrix unit: folds, cycles, SRAM accesses, work."""

from __future__ import annotations

from accelsim.engine.columns import (
    G_ACTIVATION,
    G_EXECUTED,
    G_FOLDS,
    G_PARTIAL,
    G_REDUCTIONS,
    G_RESULTS,
    G_STEADY,
    G_TOTAL,
    G_UNIT_STEPS,
    G_WEIGHT,
    GEMM_COLUMNS,
)
from accelsim.engine.registers import add_moves
from accelsim.engine.timing import gemm_accesses, gemm_cycles, partial_sums
from accelsim.engine.transfers import HALF, ceil_div
from accelsim.hardware.design import Organisation
from accelsim.kernels import inner_kernel, kernel
from accelsim.trace import Kind


@inner_kernel
def _one_gemm(unit, m, k, n, out):
    """Add one GEMM on ``unit`` to ``out`` [GEMM_COLUMNS]; partial sums fit the output buffer."""
    folds, steady, _, _, total = gemm_cycles(
        unit.organisation,
        unit.rows,
        unit.cols,
        unit.lanes,
        unit.latency,
        unit.interval,
        unit.interleave == 1,
        unit.overlap == 1,
        m,
        k,
        n,
    )
    a, w, _, p = gemm_accesses(unit.organisation, unit.rows, unit.cols, unit.lanes, m, k, n)
    steps = ceil_div(k, unit.lanes)
    reductions = 0
    if unit.organisation == Organisation.SYSTOLIC_OS or unit.organisation == Organisation.DOT:
        sums = partial_sums(steps, unit.latency, unit.interval, unit.interleave == 1)
        reductions = m * n * (sums - 1)
    out[G_FOLDS] += folds
    out[G_STEADY] += steady
    out[G_TOTAL] += total
    out[G_ACTIVATION] += a
    out[G_WEIGHT] += w
    out[G_PARTIAL] += p
    out[G_RESULTS] += m * n
    out[G_EXECUTED] += m * k * n
    out[G_UNIT_STEPS] += m * n * steps
    out[G_REDUCTIONS] += reductions
    add_moves(unit, m, k, n, reductions, out)


@inner_kernel
def stream_chunk(unit, output_bytes, m, k, n):
    """Return how many words ws and is stream before the next k-fold.

    A column of partial sums waits in half of the output buffer until the last k-fold, while the
    other half drains; a GEMM of one k-fold has none.
    """
    streamed = m if unit.organisation == Organisation.SYSTOLIC_WS else n
    if k <= unit.rows:
        return streamed
    room = output_bytes // HALF * 8 // (unit.cols * unit.accumulator_bits)
    return min(max(room, 1), streamed)


@inner_kernel
def weight_passes(unit, output_bytes, m, k, n):
    """Return (how often an array streams the second operand, the pieces it can do so by)."""
    if unit.organisation == Organisation.SYSTOLIC_WS:
        chunk = stream_chunk(unit, output_bytes, m, k, n)
        return ceil_div(m, chunk), ceil_div(n, unit.cols)
    if unit.organisation == Organisation.SYSTOLIC_IS:
        chunk = stream_chunk(unit, output_bytes, m, k, n)
        return ceil_div(m, unit.cols), ceil_div(n, chunk)
    return ceil_div(m, unit.rows), ceil_div(n, unit.cols)


@inner_kernel
def _chunked_gemm(unit, output_bytes, m, k, n, out):
    """Add a GEMM to ``out``, cut along its streaming dimension where partial sums would not fit."""
    if unit.organisation == Organisation.SYSTOLIC_OS or unit.organisation == Organisation.DOT:
        _one_gemm(unit, m, k, n, out)
        return
    chunk = stream_chunk(unit, output_bytes, m, k, n)
    streams_m = unit.organisation == Organisation.SYSTOLIC_WS
    left = m if streams_m else n
    while left > 0:
        part = min(chunk, left)
        _one_gemm(unit, part if streams_m else m, k, n if streams_m else part, out)
        left -= part


@kernel
def array_gemm(unit, output_bytes, kind, causal, m, k, n, out, whole):
    """Fill ``out`` with one instance; ``whole`` is scratch of the same size.

    Causal attention runs either as one GEMM over the full context, masked afterwards, or block by
    block of queries with only the keys that the block's last query sees. The faster is taken.
    """
    for column in range(GEMM_COLUMNS):
        out[column], whole[column] = 0, 0
    if causal == 0:
        _chunked_gemm(unit, output_bytes, m, k, n, out)
        return
    _chunked_gemm(unit, output_bytes, m, k, n, whole)
    rows_hold_queries = (
        unit.organisation == Organisation.SYSTOLIC_OS or unit.organisation == Organisation.DOT
    )
    block = unit.rows if rows_hold_queries else unit.cols
    start = 0
    while start < m:
        queries = min(block, m - start)
        context = start + queries
        keys = k if kind == Kind.ATTENTION_QK else context
        outputs = context if kind == Kind.ATTENTION_QK else n
        _chunked_gemm(unit, output_bytes, queries, keys, outputs, out)
        start += block
    if whole[G_TOTAL] <= out[G_TOTAL]:
        for column in range(GEMM_COLUMNS):
            out[column] = whole[column]


@inner_kernel
def pairs(op, m, k, n):
    """Return the weight-activation pairs one instance needs, without masked ones."""
    if op.causal == 1:
        kept = k if op.kind == Kind.ATTENTION_QK else n
        return m * (m + 1) // 2 * kept
    return m * k * n
