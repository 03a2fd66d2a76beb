"""Designs a second of the engine, alone, in the chain of a sweep, and with everything written.

The claim: prefill 512 and decode 128 of bitnet-b1.58-2b-4t, all operators and energy by component,
at 100,000 designs a second on two cores. Designs vary the array's shape, accumulators, buffers,
bandwidth and vector lanes, all numbers at once. "Written" is `accelsim sweep` of points of the
sweep `million` in as many processes, from its first finished chunk to its last byte: rules, chunks
that survive a loss of power, the front, Parquet. Cost is linear in designs: ten thousand, a hundred
thousand and a million are evaluated too, and written at two sizes.
Prints a table and, last, one JSON line; needs `accelsim[parquet]`.

    python benchmarks/sweep.py [DESIGN] [--threads N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from accelsim import locate
from accelsim.api import load_design
from accelsim.config import read_yaml
from accelsim.engine.bill import build_bill
from accelsim.engine.evaluate import evaluate_all, whole_workload
from accelsim.engine.many import evaluate_family
from accelsim.hardware.columns import build_designs
from accelsim.hardware.design import ARRAY, Family
from accelsim.hardware.technology import Technology
from accelsim.sweeps import Order, sweep
from accelsim.trace import Phase, Trace
from accelsim.workloads import Request, open_source

# Designs of a task, as many as sweeps of half a million designs and more hand out.
CHUNK, CHUNKS, ROUNDS = 8192, 16, 3
SIZES = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000}
SWEEP, SMALL, LARGE = "million", 102_400, 204_800  # points; all of them make Parquet
WRITTEN_CHUNK = 4096
# Seconds that these tools were seen to take for one GEMM on one design: quoted, not run again here.
# They choose among mappings, so only searched mappings compare: `designs_per_s_searched`.
PEERS = {
    "ZigZag 3.9, mapping search": "0.5 to 6",
    "AccelForge (Timeloop), mapping search": "0.6 to 13",
    "SCALE-Sim 3, traces": "minutes",
}
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
    return statistics.median(once(work, threads, CHUNKS) for _ in range(ROUNDS))


def once(work: Callable[[], object], threads: int, chunks: int) -> float:
    """Return designs a second of ``work`` on some chunks; what they return is dropped."""

    def one() -> None:
        work()

    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        for done in [pool.submit(one) for _ in range(chunks)]:
            done.result()
        return chunks * CHUNK / (time.perf_counter() - start)


def written(points: int, workers: int) -> float:
    """Return designs a second of a sweep that starts, shares out, evaluates and writes."""
    content = read_yaml(locate.resolve(SWEEP, locate.SWEEPS, option="SWEEP"))
    content |= {"method": {"kind": "random", "samples": points}, "chunk_rows": WRITTEN_CHUNK}
    ready: list[tuple[int, float]] = []

    def advance(done: int, of: int) -> None:
        if done and not ready:
            ready.append((done, time.perf_counter()))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sweep.yaml")
        path.write_text(json.dumps(content))
        order = Order(workers=workers)
        result, _ = sweep(str(path), out=Path(folder, "out"), order=order, advance=advance)
        done, start = ready[0]
        return (result.points - done) / (time.perf_counter() - start)


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
    fixed = works["designs_per_s_fixed"]
    found["designs_per_s_fixed_one_thread"] = rate(fixed, 1)
    for name, size in SIZES.items():
        found[f"designs_per_s_fixed_{name}"] = once(fixed, given.threads, -(-size // CHUNK))
    found |= {
        "designs_per_s_written_small": written(SMALL, given.threads),
        "designs_per_s_written": written(LARGE, given.threads),
    }
    for name, value in found.items():
        share = 1e6 * (1 if name.endswith("one_thread") else given.threads) / value
        print(f"{name:30s} {value:10,.0f}   {share:6.2f} us a design and thread")
    print(f"written: {SMALL:,} and {LARGE:,} points; {os.cpu_count()} cores")
    print("for comparison with searched mappings, seconds a GEMM and design:")
    for name, seconds in PEERS.items():
        print(f"{name:38s} {seconds:>10s}")
    print(json.dumps({"design": given.design, "threads": given.threads, "chunk": CHUNK, **found}))


if __name__ == "__main__":
    main()
