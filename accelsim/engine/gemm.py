"""GEMMs of an operator on a matrix unit: folds, cycles, SRAM accesses, work, register moves."""

from __future__ import annotations

import numpy as np

from accelsim.engine.columns import (
    G_ACTIVATION,
    G_ACTIVATION_MOVES,
    G_DRAIN_MOVES,
    G_EXECUTED,
    G_FOLDS,
    G_PARTIAL,
    G_REDUCTIONS,
    G_RESULTS,
    G_STEADY,
    G_SUM_MOVES,
    G_TOTAL,
    G_UNIT_STEPS,
    G_WEIGHT,
    G_WEIGHT_MOVES,
)
from accelsim.engine.dimensions import (
    EXTENT,
    MANY,
    ONE,
    SKEW,
    TILES,
    ZERO,
    cycles_of_gemm,
    form_of,
    grown,
    keeps_sums,
    laid_out,
    pace_of,
    reductions_of_gemm,
    streamed,
    tiled,
)
from accelsim.engine.mapping import Blocks
from accelsim.engine.registers import drain_moves, operand_moves, sum_moves
from accelsim.engine.runs import (
    R_COUNT,
    R_REDUCTIONS,
    R_SUMS,
    R_TOTAL,
    joined_sums,
    lot_of,
    sum_of_run,
)
from accelsim.engine.transfers import ceil_div
from accelsim.hardware.design import Organisation
from accelsim.kernels import inlined_kernel, kernel, lean_kernel
from accelsim.trace import Kind, Series


@lean_kernel
def clear(row):
    """Set every cell to zero."""
    for column in range(len(row)):
        row[column] = 0


@lean_kernel
def add_gemms(unit, m, k, n, total, reductions, out):
    """Add GEMMs of which at most one dimension is a sum to ``out`` [GEMM_COLUMNS].

    ``total`` and ``reductions`` are the sums of their cycles and reductions.
    """
    results = m[EXTENT] * n[EXTENT] * k[MANY]
    if keeps_sums(unit):
        folds, steps = m[TILES] * k[MANY] * n[TILES], m[TILES] * k[TILES] * n[TILES]
        out[G_ACTIVATION] += m[EXTENT] * k[EXTENT] * n[TILES]
        out[G_WEIGHT] += m[TILES] * k[EXTENT] * n[EXTENT]
        out[G_UNIT_STEPS] += m[EXTENT] * k[TILES] * n[EXTENT]
    else:
        if unit.organisation == Organisation.SYSTOLIC_WS:
            folds, steps = m[MANY] * k[TILES] * n[TILES], m[EXTENT] * k[TILES] * n[TILES]
            out[G_ACTIVATION] += m[EXTENT] * k[EXTENT] * n[TILES]
            out[G_WEIGHT] += m[MANY] * k[EXTENT] * n[EXTENT]
        else:
            folds, steps = m[TILES] * k[TILES] * n[MANY], m[TILES] * k[TILES] * n[EXTENT]
            out[G_ACTIVATION] += m[EXTENT] * k[EXTENT] * n[MANY]
            out[G_WEIGHT] += m[TILES] * k[EXTENT] * n[EXTENT]
        out[G_UNIT_STEPS] += m[EXTENT] * k[EXTENT] * n[EXTENT]
        out[G_PARTIAL] += m[EXTENT] * k[TILES] * n[EXTENT] - results
    activations, weights = operand_moves(unit, m, k, n)
    out[G_FOLDS] += folds
    out[G_STEADY] += steps
    out[G_TOTAL] += total
    out[G_RESULTS] += results
    out[G_EXECUTED] += m[EXTENT] * k[EXTENT] * n[EXTENT]
    out[G_REDUCTIONS] += reductions
    out[G_ACTIVATION_MOVES] += activations
    out[G_WEIGHT_MOVES] += weights
    out[G_SUM_MOVES] += sum_moves(unit, m, k, n, reductions)
    out[G_DRAIN_MOVES] += drain_moves(unit, m, k, n)


@lean_kernel
def add_lot(unit, series, m, k, n, sums, total, reductions, out):
    """Add GEMMs whose growing dimension has ``sums`` to ``out`` [GEMM_COLUMNS]."""
    if series == Series.K:
        k = sums
    else:
        n = sums
    add_gemms(unit, m, k, n, total, reductions, out)


@lean_kernel
def causal_gemm(unit, form, kind, blocks, m, k, n, out):
    """Fill ``out`` with causal attention over full dimensions m, k and n.

    It runs either as one GEMM over the full context, masked afterwards, or block by block of
    queries with only the keys that the block's last query sees. The mapping says which.
    """
    clear(out)
    if blocks != Blocks.WHOLE:
        _add_blocks(unit, form, kind, m, k, n, out)
    if blocks != Blocks.BLOCKS:
        pace = pace_of(unit, form, m, k, n)
        whole = cycles_of_gemm(unit, pace, m, k, n)
        if blocks == Blocks.WHOLE or whole <= out[G_TOTAL]:
            clear(out)
            add_gemms(unit, m, k, n, whole, reductions_of_gemm(pace, m, n), out)


@lean_kernel
def _add_blocks(unit, form, kind, m, k, n, out):
    """Add the GEMMs of causal attention block by block of queries."""
    series = np.int64(Series.N) if kind == Kind.ATTENTION_QK else np.int64(Series.K)
    block = min(unit.rows if keeps_sums(unit) else unit.cols, m[EXTENT])
    whole = m[EXTENT] // block
    rest = m[EXTENT] - whole * block
    _add_equal_blocks(unit, form, series, block, block, whole, k, n, out)
    if rest > 0:
        _add_equal_blocks(unit, form, series, rest, m[EXTENT], ONE, k, n, out)


@lean_kernel
def _add_equal_blocks(unit, form, series, queries, extent, left, k, n, out):
    """Add ``left`` GEMMs of equally many queries, the first over ``extent`` keys."""
    while left > 0:
        m = _queries(unit, form, k[EXTENT], queries)
        m, k, n = grown(unit, form, series, extent, m, k, n)
        sums, total, reductions = (ZERO, ZERO, ZERO, ZERO), ZERO, ZERO
        after = left - lot_of(unit, series, extent, queries, left)
        while left > after:
            run = sum_of_run(unit, form, series, extent, queries, left - after, m, k, n)
            sums, total = joined_sums(sums, run[R_SUMS]), total + run[R_TOTAL]
            reductions += run[R_REDUCTIONS]
            extent += queries * run[R_COUNT]
            left -= run[R_COUNT]
        add_lot(unit, series, m, k, n, sums, total, reductions, out)


@inlined_kernel
def _queries(unit, form, k_extent, queries):
    """Return the dimension m of a block of queries."""
    if keeps_sums(unit):
        return tiled(queries, unit.rows)
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return streamed(unit, form, k_extent, queries)
    return tiled(queries, unit.cols)


@lean_kernel
def split_gemm(unit, form, m, k_extent, k_tile, n, out):
    """Fill ``out`` with one GEMM on os or dot whose k is cut into tiles, one after the other.

    The sums of a tile drain into the output buffer, where those of the next are added: each ends
    later by the latency of that adder.
    """
    clear(out)
    k, rest = tiled(k_tile, unit.lanes), k_extent % k_tile
    parts = ceil_div(k_extent, k_tile)
    pace, whole = pace_of(unit, form, m, k, n), k_extent // k_tile
    total = whole * cycles_of_gemm(unit, pace, m, k, n) + (parts - 1) * unit.latency
    reductions = whole * reductions_of_gemm(pace, m, n)
    sums = parts, k_extent, whole * k[TILES], whole * k[SKEW]
    if rest > 0:
        k = tiled(rest, unit.lanes)
        pace = pace_of(unit, form, m, k, n)
        total += cycles_of_gemm(unit, pace, m, k, n)
        reductions += reductions_of_gemm(pace, m, n)
        sums = parts, k_extent, sums[TILES] + k[TILES], sums[SKEW] + k[SKEW]
    add_gemms(unit, m, sums, n, total, reductions, out)
    partial = m[EXTENT] * n[EXTENT] * (parts - 1)
    out[G_RESULTS] -= partial
    out[G_PARTIAL] += partial
    out[G_SUM_MOVES] += partial * unit.latency


@kernel
def array_gemm(unit, output_bytes, tokens, length, outputs, out):
    """Fill ``out`` [GEMM_COLUMNS] with one GEMM, tokens x length x outputs."""
    form = form_of(unit, output_bytes, 0)
    m, k, n = laid_out(unit, form, tokens, length, outputs)
    pace = pace_of(unit, form, m, k, n)
    clear(out)
    add_gemms(
        unit, m, k, n, cycles_of_gemm(unit, pace, m, k, n), reductions_of_gemm(pace, m, n), out
    )
