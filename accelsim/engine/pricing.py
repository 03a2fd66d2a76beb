"""The sums of a bill, over a family of designs."""

from __future__ import annotations

from accelsim.kernels import kernel

# Designs whose counts and sums stay in the nearest cache while all lines pass.
BLOCK = 32


@kernel
def add_lines(columns, rates, counts, components, steps, causes):
    """Add the energy of every line, in order, to its component, step and cause.

    Args:
        columns: Counter, component, step and cause of each line, int64 [lines, 4].
        rates: pJ per count at value, low and high, float64 [3, lines, G].
        counts: int64 [G, COUNTERS].
        components: float64 [components, G], at value.
        steps: float64 [steps, G], at value.
        causes: float64 [causes, 3, G].
    """
    for start in range(0, len(counts), BLOCK):
        end = min(start + BLOCK, len(counts))
        for line in range(len(columns)):
            counter, component, step, cause = columns[line]
            for g in range(start, end):
                count = float(counts[g, counter])
                value = count * rates[0, line, g]
                components[component, g] += value
                steps[step, g] += value
                causes[cause, 0, g] += value
                causes[cause, 1, g] += count * rates[1, line, g]
                causes[cause, 2, g] += count * rates[2, line, g]
