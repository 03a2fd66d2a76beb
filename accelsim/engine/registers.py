"""How many words the registers of an array take in GEMMs: what the clock is spent on.

The registers are those of docs/timing.md. Only words that belong to the GEMM count: an operand at a
PE in use, a partial sum on its way down, a finished sum on its way out. Arguments m, k and n are
dimensions (`accelsim/engine/dimensions.py`), at most one of them a sum over GEMMs.
"""

from __future__ import annotations

from accelsim.engine.dimensions import EXTENT, MANY, SKEW, TILES
from accelsim.hardware.design import Organisation
from accelsim.kernels import inlined_kernel


@inlined_kernel
def operand_moves(unit, m, k, n):
    """Return the words that registers of activations and of second operands take."""
    if unit.organisation == Organisation.DOT:
        return m[EXTENT] * k[EXTENT] * n[TILES], m[TILES] * k[EXTENT] * n[EXTENT]
    if unit.organisation == Organisation.SYSTOLIC_OS:
        outputs = m[EXTENT] * n[EXTENT]
        activations = k[EXTENT] * (outputs + m[SKEW] * n[TILES])
        return activations, k[EXTENT] * (outputs + m[TILES] * n[SKEW])
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return _streaming_moves(unit, m, k, n), _held_moves(unit, m, k, n)
    return _held_moves(unit, n, k, m), _streaming_moves(unit, n, k, m)


@inlined_kernel
def _streaming_moves(unit, stream, k, across):
    """Return the words that registers of the streamed operand take, skew included."""
    skew = unit.latency * k[SKEW] * across[TILES]
    return stream[EXTENT] * (k[EXTENT] * across[EXTENT] + skew)


@inlined_kernel
def _held_moves(unit, stream, k, across):
    """Return the words that registers take while held operands are loaded."""
    if unit.overlap == 0:
        column = k[SKEW] + k[EXTENT]  # the chain is the operand registers themselves
    elif unit.latency == 1:
        column = k[SKEW] + 2 * k[EXTENT]  # a shadow chain, then the swap
    else:
        column = (unit.latency - 1) * k[SKEW] + k[EXTENT]
    return stream[MANY] * (across[EXTENT] * column + k[EXTENT] * across[SKEW])


@inlined_kernel
def sum_moves(unit, m, k, n, reductions):
    """Return the words that registers of running and partial sums take."""
    if unit.organisation == Organisation.DOT:
        return (m[EXTENT] * k[TILES] * n[EXTENT] + reductions) * unit.latency
    if unit.organisation == Organisation.SYSTOLIC_OS:
        return (m[EXTENT] * k[EXTENT] * n[EXTENT] + reductions) * unit.latency
    return m[EXTENT] * k[TILES] * n[EXTENT] * (unit.rows + 1) * unit.latency


@inlined_kernel
def drain_moves(unit, m, k, n):
    """Return the words that registers of finished sums take on their way out."""
    if unit.organisation == Organisation.DOT or unit.organisation == Organisation.SYSTOLIC_OS:
        down = n[EXTENT] * (m[EXTENT] * (unit.rows - 1 + unit.overlap) - m[SKEW])
        if unit.organisation == Organisation.DOT:
            return k[MANY] * down
        return k[MANY] * (down + m[EXTENT] * (n[EXTENT] * (unit.cols - 1) - n[SKEW]))
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return m[EXTENT] * k[TILES] * (n[EXTENT] * (unit.cols - 1) - n[SKEW])
    return n[EXTENT] * k[TILES] * (m[EXTENT] * (unit.cols - 1) - m[SKEW])
