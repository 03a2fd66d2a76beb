"""How many words the registers of an array take in one GEMM: what the clock is spent on.

The registers are those of docs/timing.md. Only words that belong to the GEMM count: an operand at a
PE in use, a partial sum on its way down, a finished sum on its way out.
"""

from __future__ import annotations

from accelsim.engine.columns import (
    G_ACTIVATION_MOVES,
    G_DRAIN_MOVES,
    G_SUM_MOVES,
    G_WEIGHT_MOVES,
)
from accelsim.engine.transfers import ceil_div
from accelsim.hardware.design import Organisation
from accelsim.kernels import inner_kernel


@inner_kernel
def places(extent, size):
    """Return the sum of positions i mod ``size`` over i < ``extent``: skew registers passed."""
    whole, rest = extent // size, extent % size
    return whole * (size * (size - 1) // 2) + rest * (rest - 1) // 2


@inner_kernel
def _held_moves(unit, k):
    """Return the words that registers of one column take while k held operands are loaded."""
    skew = places(k, unit.rows)
    if unit.overlap == 0:
        return skew + k  # the chain is the operand registers themselves
    if unit.latency == 1:
        return skew + 2 * k  # a shadow chain, then the swap
    return (unit.latency - 1) * skew + k


@inner_kernel
def add_moves(unit, m, k, n, reductions, out):
    """Add the register moves of one GEMM to ``out`` [GEMM_COLUMNS]."""
    rows, cols, latency = unit.rows, unit.cols, unit.latency
    if unit.organisation == Organisation.DOT:
        activations, weights = m * k * ceil_div(n, cols), k * n * ceil_div(m, rows)
        sums = (m * n * ceil_div(k, unit.lanes) + reductions) * latency
        drain = n * (m * (rows - 1 + unit.overlap) - places(m, rows))
    elif unit.organisation == Organisation.SYSTOLIC_OS:
        activations = k * (m * n + ceil_div(n, cols) * places(m, rows))
        weights = k * (m * n + ceil_div(m, rows) * places(n, cols))
        sums = (m * k * n + reductions) * latency
        drain = n * (m * (rows - 1 + unit.overlap) - places(m, rows))
        drain += m * (n * (cols - 1) - places(n, cols))
    else:
        streamed, across = m, n
        if unit.organisation == Organisation.SYSTOLIC_IS:
            streamed, across = n, m
        skew = latency * places(k, rows) * ceil_div(across, cols)
        streaming = streamed * (k * across + skew)
        held = across * _held_moves(unit, k) + k * places(across, cols)
        activations, weights = streaming, held
        if unit.organisation == Organisation.SYSTOLIC_IS:
            activations, weights = held, streaming
        k_folds = ceil_div(k, rows)
        sums = m * n * k_folds * (rows + 1) * latency
        drain = streamed * k_folds * (across * (cols - 1) - places(across, cols))
    out[G_ACTIVATION_MOVES] += activations
    out[G_WEIGHT_MOVES] += weights
    out[G_SUM_MOVES] += sums
    out[G_DRAIN_MOVES] += drain
