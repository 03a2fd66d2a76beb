"""What counting costs: a traced run beside the same run alone, and one linear beside its product.

The claim: exact counts of every operand add at most 15 % to running a network. Whole runs are those
of the network that ships, 256 + 64 tokens; the linear is the largest of 2B4T, 2560 inputs and 6912
outputs, whose weight is counted once, however often it runs. Runs alternate and the median of the
ratios counts, so that what else the machine does meets both. Prints a table and, last, one JSON
line.

    python benchmarks/trace_counts.py
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from accelsim.functional import count_kernels, counts, operators
from accelsim.functional.checkpoint import TernaryWeight, read_checkpoint
from accelsim.functional.generate import generate
from accelsim.functional.linear import build_linear
from accelsim.functional.network import Network
from accelsim.functional.threads import Threads
from accelsim.functional.tracer import trace_network
from accelsim.locate import NETWORKS, shipped
from accelsim.trace import Workload

ROUNDS = 21
PREFILL, DECODE = 256, 64
INPUTS, OUTPUTS = 2560, 6912


def seconds(work: Callable[[], Any]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median(values: list[float]) -> float:
    """Return the median; of pairs of a measurement, see `alternate`."""
    return statistics.median(values)


def alternate(*works: Callable[[], Any]) -> list[list[float]]:
    """Return the times of each work, one after the other in every round."""
    for work in works:
        work()  # compiles
    rounds = [[seconds(work) for work in works] for _ in range(ROUNDS)]
    return [list(times) for times in zip(*rounds, strict=True)]


def runs() -> dict[str, float]:
    """Measure prefill alone and with decode, plain and traced."""
    network = Network(read_checkpoint(shipped(NETWORKS) / "austen-12m"))
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, network.config.vocab_size, (1, PREFILL))

    def plain(decode: int) -> Callable[[], Any]:
        return lambda: generate(network, tokens, decode + 1)

    def traced(decode: int) -> Callable[[], Any]:
        workload = Workload(PREFILL, decode)
        return lambda: trace_network(network, tokens, workload, name="austen-12m")

    bare, counted, both_bare, both_counted = alternate(
        plain(0), traced(0), plain(DECODE), traced(DECODE)
    )
    decode_bare = [b - a for a, b in zip(bare, both_bare, strict=True)]
    decode_counted = [b - a for a, b in zip(counted, both_counted, strict=True)]
    return row("prefill", bare, counted) | row("decode", decode_bare, decode_counted)


def linear(m: int, name: str) -> dict[str, float]:
    """Measure one product of m tokens and the counts of its instance."""
    rng = np.random.default_rng(0)
    threads = Threads()
    packed = rng.choice(np.array([0, 1, 2, 4, 5, 6, 8, 9, 10], np.uint8), (OUTPUTS // 4, INPUTS))
    packed |= packed[::-1] << 4
    weight = TernaryWeight(packed, np.float32(1))
    built: Any = build_linear("linear", weight, True, threads)
    codes = rng.integers(-127, 128, (m, INPUTS), dtype=np.int8)
    sums = operators.ternary_gemm(codes, built.weights, threads)
    fixed = counts.tally_ternary(weight)
    tally = np.zeros(count_kernels.TALLY, np.int64)

    count = counts.LinearCounter().of(fixed.nonzero, tally)

    product, counted, once = alternate(
        lambda: operators.ternary_gemm(codes, built.weights, threads),
        lambda: count(codes.copy(), sums),  # a copy is not known from the round before
        lambda: counts.tally_ternary(weight),
    )
    both = [a + b for a, b in zip(product, counted, strict=True)]
    print(f"{'its weight, once':<22}{'':12}{1e3 * median(once):9.3f} ms", end="")
    print(f"   {packed.nbytes / median(once) / 1e9:.2f} GB/s of packed bytes")
    return row(name, product, both)


def row(name: str, bare: list[float], counted: list[float]) -> dict[str, float]:
    """Print one comparison and return its ratio."""
    overhead = median([b / a - 1 for a, b in zip(bare, counted, strict=True)])
    print(f"{name:<22}{1e3 * median(bare):9.3f} ms{1e3 * median(counted):9.3f} ms", end="")
    print(f"   {100 * overhead:+6.1f} %")
    return {f"overhead_{name}": round(overhead, 4)}


def main() -> None:
    """Print the table and the line."""
    print(f"{'':<22}{'alone':>12}{'counted':>12}   on top")
    ratios = runs() | linear(128, "gemm") | linear(1, "gemv")
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
