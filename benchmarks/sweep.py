"""Designs a second of the engine: the chain of a sweep, and its evaluation kernel alone.

The claim: prefill 512 and decode 128 of bitnet-b1.58-2b-4t, all operators and energy by component,
at 100,000 designs a second on two cores. Designs vary the array's shape, accumulators, buffers,
bandwidth and vector lanes, all numbers at once. Prints a table and, last, one JSON line.

    python benchmarks/sweep.py [DESIGN] [--threads N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from accelsim.api import load_design
from accelsim.engine.bill import build_bill
from accelsim.engine.evaluate import evaluate_all, whole_workload
from accelsim.engine.many import evaluate_family
from accelsim.hardware.columns import build_designs
from accelsim.hardware.design import ARRAY, Family
from accelsim.hardware.technology import Technology
from accelsim.trace import Phase, Trace
from accelsim.workloads import Request, open_source

CHUNK, CHUNKS, ROUNDS = 2048, 8, 5
KIB = 1024


def family_of(name: str, size: int) -> tuple[Family, Technology]:
    """Return ``size`` variations of a shipped design, and its prices."""
    loaded = load_design(name)
    base, draw = build_designs([loaded.config]), np.random.default_rng(0)
    units, machines = np.repeat(base.units, size, axis=0), np.repeat(base.machines, size)
    for edge in ("rows", "cols"):
        units[edge][:, ARRAY] = draw.integers(8, 65, size)
    units["accumulator_bits"][:, ARRAY] = draw.integers(20, 33, size)
    machines["dram_bytes_per_cycle"] *= draw.uniform(0.25, 4, size)
    machines["vector_lanes"] = draw.integers(8, 129, size)
    machines["weight_keep"] = draw.integers(0, 1024, size) * KIB
    machines["activation_keep"] = draw.integers(0, 256, size) * KIB
    return Family(loaded.config, units, machines), loaded.technology


def bare_kernel(trace: Trace, family: Family) -> Callable[[], object]:
    """Return a call of the evaluation kernel alone."""
    workload = whole_workload(trace, family, trace.operators["phase"], len(Phase))
    return lambda: evaluate_all(workload)


def rate(work: Callable[[], object], threads: int) -> float:
    """Return designs a second of ``work`` on a chunk of designs, the median of some rounds."""
    work()  # fills the kernel cache
    rounds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for done in [pool.submit(work) for _ in range(CHUNKS)]:
                done.result()
            rounds.append(CHUNKS * CHUNK / (time.perf_counter() - start))
    return statistics.median(rounds)


def main() -> None:
    """Measure the chain and its parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("design", nargs="?", default="ternary_os_32x32")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    source = open_source(Request(network="bitnet-b1.58-2b-4t", prefill=512, decode=128))
    family, technology = family_of(given.design, CHUNK)
    trace = source.trace(source.form(family.config.network_form), lambda text: None)
    works: dict[str, Callable[[], object]] = {
        "designs_per_s_fixed": lambda: evaluate_family(trace, family, technology),
        "designs_per_s_searched": lambda: evaluate_family(trace, family, technology, "edp"),
        "designs_per_s_bare_kernel": bare_kernel(trace, family),
        "bills_per_s": lambda: build_bill(family, technology),
    }
    found = {name: rate(work, given.threads) for name, work in works.items()}
    for name, value in found.items():
        share = 1e6 * given.threads / value
        print(f"{name:28s} {value:10,.0f}   {share:6.2f} us a design and thread")
    print(json.dumps({"design": given.design, "threads": given.threads, "chunk": CHUNK, **found}))


if __name__ == "__main__":
    main()
