"""Build and simulation of arrays in SystemVerilog, beside the engine's closed form.

For each array: CPU seconds of a first build (the cache is set aside), cycles that the bench
simulates in a CPU second, its loading and checking of operands included, and how many times faster
the closed form gives the cycles of the same GEMM. Prints a table and, last, one JSON line.

    python benchmarks/rtl_arrays.py [LARGEST_EDGE]      # 16 by default; 32 takes minutes
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable

import numpy as np

from accelsim.engine.timing import ArrayTiming, cycles_of_gemms
from accelsim.hardware.design import Organisation
from accelsim.rtl.arrays import Bench, RtlArray

EDGES = (4, 8, 16, 32)
STEPS = 500  # reduction length
CALLS, RUNS = 20_000, 10  # of the closed form, of the bench


def seconds(action: Callable[[], object]) -> float:
    """Return the CPU time of one call, and of the processes that it waits for."""
    start = os.times()
    action()
    end = os.times()
    return sum(end[:4]) - sum(start[:4])


def measure(timing: ArrayTiming) -> dict[str, object]:
    """Build and run one ternary array on a GEMM of sixteen tiles."""
    array = RtlArray(timing, depth=1 << 12)
    build = seconds(array.build)
    rng = np.random.default_rng(0)
    m, k, n = shape = (4 * timing.rows, STEPS, 4 * timing.cols)
    activations, weights = rng.integers(-128, 128, (m, k)), rng.integers(-1, 2, (k, n))
    table = np.array([shape], dtype=np.int64)
    cycles = int(cycles_of_gemms(timing, table)[0, -1])
    with Bench(array, array.build()) as bench:
        run = seconds(lambda: [bench.gemm(activations, weights, 2 * cycles) for _ in range(RUNS)])
    run /= RUNS
    closed = seconds(lambda: [cycles_of_gemms(timing, table) for _ in range(CALLS)]) / CALLS
    return {
        "array": f"{timing.organisation.name} {timing.rows} x {timing.cols} x {timing.lanes}",
        "build_s": build,
        "kilocycles_per_s": cycles / run / 1e3,
        "closed_form_ratio": run / closed,
    }


def main() -> None:
    """Measure ternary arrays up to an edge, each in a cache of its own."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        RtlArray(ArrayTiming(Organisation.SYSTOLIC_OS, 1, 1)).build()  # Verilator's runtime, once
        for edge in (edge for edge in EDGES if edge <= largest):
            for organisation in (Organisation.SYSTOLIC_OS, Organisation.SYSTOLIC_WS):
                rows.append(measure(ArrayTiming(organisation, edge, edge)))
            side = max(1, edge // 4)
            rows.append(measure(ArrayTiming(Organisation.DOT, side, side, 16)))
    print("array                       build s   kcycles/s   closed form is faster by")
    for row in rows:
        print(
            f"{row['array']:<26} {row['build_s']:8.1f} {row['kilocycles_per_s']:11.0f}"
            f" {row['closed_form_ratio']:14.0f} x"
        )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
