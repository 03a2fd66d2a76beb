"""Columns of the engine's tables, shared by its kernels."""

from __future__ import annotations

# Cycles of one operator on one design: by cause, then busy times, then totals.
IDEAL, SPATIAL, TEMPORAL, MEMORY, EXPOSED_VECTOR = 0, 1, 2, 3, 4
BUSY_COMPUTE, BUSY_MEMORY, BUSY_VECTOR, FOLDS, UNIT, DRAM_BYTES, SRAM_BITS = 5, 6, 7, 8, 9, 10, 11
CYCLE_COLUMNS = 12

# One GEMM instance on an array.
G_FOLDS, G_STEADY, G_TOTAL, G_ACTIVATION, G_WEIGHT, G_OUTPUT, G_PARTIAL = 0, 1, 2, 3, 4, 5, 6
G_EXECUTED, G_UNIT_STEPS = 7, 8
GEMM_COLUMNS = 9
