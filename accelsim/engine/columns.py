"""Columns of the engine's tables, shared by its kernels."""

from __future__ import annotations

# Cycles of one operator on one design: by cause, then busy times, then totals.
IDEAL, SPATIAL, TEMPORAL, MEMORY, EXPOSED_VECTOR = 0, 1, 2, 3, 4
BUSY_COMPUTE, BUSY_MEMORY, BUSY_VECTOR, FOLDS, UNIT, DRAM_BYTES, SRAM_BITS = 5, 6, 7, 8, 9, 10, 11
CYCLE_COLUMNS = 12

# One GEMM instance on an array: cycles, then elements through the SRAM ports, then work.
G_FOLDS, G_STEADY, G_TOTAL, G_ACTIVATION, G_WEIGHT, G_PARTIAL, G_RESULTS = 0, 1, 2, 3, 4, 5, 6
G_EXECUTED, G_UNIT_STEPS, G_REDUCTIONS = 7, 8, 9
# Words that registers take: moving operands, second operands, sums, sums on their way out.
G_ACTIVATION_MOVES, G_WEIGHT_MOVES, G_SUM_MOVES, G_DRAIN_MOVES = 10, 11, 12, 13
GEMM_COLUMNS = 14

# What instances transfer, as a tuple: bytes (read and written in whole bursts), then cycles.
F_WEIGHTS, F_INPUTS, F_OUTPUTS, F_READ, F_WRITTEN = 0, 1, 2, 3, 4
F_COMPUTE, F_TRANSFER, F_ELAPSED = 5, 6, 7
