"""The sums of a bill, over a family of designs."""

from __future__ import annotations

import numpy as np

from accelsim.kernels import inlined_kernel, kernel, lean_kernel

# Designs whose counts and sums stay in the nearest cache while all lines pass.
BLOCK = 32


@kernel
def add_lines(columns, fixed, varying, counts, components, steps, causes):
    """Add the energy of every line, in order, to its component, step and cause.

    Args:
        columns: Counter, component, step, cause and row of ``varying`` (or -1) of each line, int64
            [lines, 5].
        fixed: pJ per count at value, low and high where all designs have one, float64 [3, lines].
        varying: The others, float64 [3, rows, G].
        counts: int64 [G, COUNTERS].
        components: float64 [components, G], at value.
        steps: float64 [steps, G], at value.
        causes: float64 [causes, 3, G].
    """
    for start in range(0, len(counts), BLOCK):
        end = min(start + BLOCK, len(counts))
        add_block(columns, fixed, varying, counts[start:end], components, steps, causes, start)


@lean_kernel
def add_block(columns, fixed, varying, counts, components, steps, causes, start):
    """Add the energy of a block of designs, the first of which is design ``start``."""
    for line in range(len(columns)):
        counter, component, step, cause, row = columns[line]
        if not _is_used(counts, counter):
            continue
        value, low, high = fixed[0, line], fixed[1, line], fixed[2, line]
        for d in range(len(counts)):
            g = start + d
            if row >= 0:
                value, low, high = varying[0, row, g], varying[1, row, g], varying[2, row, g]
            count = float(counts[d, counter])
            components[component, g] += count * value
            steps[step, g] += count * value
            causes[cause, 0, g] += count * value
            causes[cause, 1, g] += count * low
            causes[cause, 2, g] += count * high


@inlined_kernel
def _is_used(counts, counter):
    """Whether any of some designs counts an action: what none counts costs nothing."""
    used = np.int64(0)
    for d in range(len(counts)):
        used |= counts[d, counter]
    return used != 0
