"""One GEMM instance of an operator on a matrix unit: folds, cycles, SRAM accesses."""

from __future__ import annotations

from accelsim.engine.columns import (
    G_ACTIVATION,
    G_EXECUTED,
    G_FOLDS,
    G_OUTPUT,
    G_PARTIAL,
    G_STEADY,
    G_TOTAL,
    G_UNIT_STEPS,
    G_WEIGHT,
)
from accelsim.engine.timing import gemm_accesses, gemm_cycles
from accelsim.engine.transfers import HALF, ceil_div
from accelsim.hardware.design import Organisation
from accelsim.kernels import kernel
from accelsim.trace import Kind


@kernel
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
    a, w, o, p = gemm_accesses(unit.organisation, unit.rows, unit.cols, unit.lanes, m, k, n)
    out[G_FOLDS] += folds
    out[G_STEADY] += steady
    out[G_TOTAL] += total
    out[G_ACTIVATION] += a
    out[G_WEIGHT] += w
    out[G_OUTPUT] += o
    out[G_PARTIAL] += p
    out[G_EXECUTED] += m * k * n
    out[G_UNIT_STEPS] += m * n * ceil_div(k, unit.lanes)


@kernel
def _chunked_gemm(unit, output_bytes, m, k, n, out):
    """Add a GEMM to ``out``, cut along its streaming dimension where partial sums would not fit.

    ws and is keep a column of partial sums per PE column until the last k-fold; half of the output
    buffer holds them while the other half drains.
    """
    room = output_bytes // HALF * 8 // (unit.cols * unit.accumulator_bits)
    chunk = max(room, 1)
    if unit.organisation == Organisation.SYSTOLIC_WS:
        start = 0
        while start < m:
            _one_gemm(unit, min(chunk, m - start), k, n, out)
            start += chunk
    elif unit.organisation == Organisation.SYSTOLIC_IS:
        start = 0
        while start < n:
            _one_gemm(unit, m, k, min(chunk, n - start), out)
            start += chunk
    else:
        _one_gemm(unit, m, k, n, out)


@kernel
def array_gemm(unit, output_bytes, kind, causal, m, k, n, out, whole):
    """Fill ``out`` with one instance; ``whole`` is scratch of the same size.

    Causal attention runs either as one GEMM over the full context, masked afterwards, or block by
    block of queries with only the keys that the block's last query sees. The faster is taken.
    """
    out[:] = 0
    if causal == 0:
        _chunked_gemm(unit, output_bytes, m, k, n, out)
        return
    whole[:] = 0
    _chunked_gemm(unit, output_bytes, m, k, n, whole)
    rows_hold_queries = (
        unit.organisation == Organisation.SYSTOLIC_OS or unit.organisation == Organisation.DOT
    )
    block = unit.rows if rows_hold_queries else unit.cols
    start = 0
    while start < m:
        queries = min(block, m - start)
        context = start + queries
        if kind == Kind.ATTENTION_QK:
            _chunked_gemm(unit, output_bytes, queries, k, context, out)
        else:
            _chunked_gemm(unit, output_bytes, queries, context, n, out)
        start += block
    if whole[G_TOTAL] <= out[G_TOTAL]:
        out[:] = whole


@kernel
def pairs(op, m, k, n):
    """Return the weight-activation pairs one instance needs, without masked ones."""
    if op.causal == 1:
        kept = k if op.kind == Kind.ATTENTION_QK else n
        return m * (m + 1) // 2 * kept
    return m * k * n
