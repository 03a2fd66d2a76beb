"""GEMMs of an operator on a matrix unit: folds, cycles, SRAM accesses, work, register moves."""

from __future__ import annotations

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
    GEMM_COLUMNS,
)
from accelsim.engine.dimensions import (
    EXTENT,
    MANY,
    SKEW,
    TILES,
    cycles_of_gemm,
    grown,
    keeps_sums,
    laid_out,
    reductions_of_gemm,
    words_held,
)
from accelsim.engine.registers import drain_moves, operand_moves, sum_moves
from accelsim.hardware.design import Organisation
from accelsim.kernels import borrowing_kernel, inner_borrowing_kernel
from accelsim.trace import Kind, Series

# GEMMs of which one dimension grows: its sums, then cycles and reductions.
LOT_CYCLES, LOT_REDUCTIONS, LOT_COLUMNS = 4, 5, 6


@inner_borrowing_kernel
def clear(row):
    """Set every cell to zero."""
    for column in range(len(row)):
        row[column] = 0


@inner_borrowing_kernel
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


@inner_borrowing_kernel
def put_in_lot(unit, series, k, n, total, reductions, lot):
    """Add a GEMM that differs from the others of ``lot`` [LOT_COLUMNS] in k or n only."""
    growing = k if series == Series.K else n
    lot[MANY] += growing[MANY]
    lot[EXTENT] += growing[EXTENT]
    lot[TILES] += growing[TILES]
    lot[SKEW] += growing[SKEW]
    lot[LOT_CYCLES] += total
    lot[LOT_REDUCTIONS] += reductions


@inner_borrowing_kernel
def add_lot(unit, series, m, k, n, lot, out):
    """Add the GEMMs of ``lot`` to ``out`` [GEMM_COLUMNS] and empty it."""
    growing = lot[MANY], lot[EXTENT], lot[TILES], lot[SKEW]
    if series == Series.K:
        k = growing
    else:
        n = growing
    add_gemms(unit, m, k, n, lot[LOT_CYCLES], lot[LOT_REDUCTIONS], out)
    clear(lot)


@inner_borrowing_kernel
def starts_a_lot(series, m, n, next_m, next_n):
    """Whether a GEMM differs from the ones before in another dimension than the growing one.

    A growing k cuts what ws and is stream into pieces as soon as it takes two folds.
    """
    other_n = series == Series.K and n[MANY] != next_n[MANY]
    return m[EXTENT] != next_m[EXTENT] or m[MANY] != next_m[MANY] or other_n


@inner_borrowing_kernel
def whole_gemm(unit, chunk, m, k, n, out):
    """Fill ``out`` [GEMM_COLUMNS] with one GEMM, given by its dimensions."""
    clear(out)
    total, reductions = cycles_of_gemm(unit, chunk, m, k, n), reductions_of_gemm(unit, m, k, n)
    add_gemms(unit, m, k, n, total, reductions, out)


@inner_borrowing_kernel
def causal_gemm(unit, chunk, kind, m, k, n, lot, out):
    """Fill ``out`` with causal attention over full dimensions m, k and n.

    It runs either as one GEMM over the full context, masked afterwards, or block by block of
    queries with only the keys that the block's last query sees. The faster is taken.
    """
    clear(out)
    series = Series.N if kind == Kind.ATTENTION_QK else Series.K
    block = unit.rows if keeps_sums(unit) else unit.cols
    queries, keys, outputs = laid_out(unit, chunk, min(block, m[EXTENT]), k[EXTENT], n[EXTENT])
    first, start = queries, 0
    while start < m[EXTENT]:
        if m[EXTENT] - start < block:
            first, _, _ = laid_out(unit, chunk, m[EXTENT] - start, k[EXTENT], n[EXTENT])
        context = min(start + block, m[EXTENT])
        next_m, keys_seen, next_n = grown(unit, chunk, series, context, first, k, n)
        if start > 0 and starts_a_lot(series, queries, outputs, next_m, next_n):
            add_lot(unit, series, queries, keys, outputs, lot, out)
        queries, keys, outputs = next_m, keys_seen, next_n
        total = cycles_of_gemm(unit, chunk, queries, keys, outputs)
        reductions = reductions_of_gemm(unit, queries, keys, outputs)
        put_in_lot(unit, series, keys, outputs, total, reductions, lot)
        start += block
    add_lot(unit, series, queries, keys, outputs, lot, out)
    if cycles_of_gemm(unit, chunk, m, k, n) <= out[G_TOTAL]:
        whole_gemm(unit, chunk, m, k, n, out)


@borrowing_kernel
def array_gemm(unit, output_bytes, m, k, n, out):
    """Fill ``out`` [GEMM_COLUMNS] with a GEMM of m x k x n whose operands are in SRAM."""
    chunk = words_held(unit, output_bytes)
    dimensions = laid_out(unit, chunk, m, k, n)
    whole_gemm(unit, chunk, dimensions[0], dimensions[1], dimensions[2], out)
