"""What counting costs: a traced run beside the same run alone, and one linear beside its product.

The claim: exact counts of every operand add at most 15 % to running a network. Whole runs are those
of the network that ships, or of a checkpoint that is given, 256 + 64 tokens; the linear is the
largest of 2B4T, 2560 inputs and 6912 outputs. A weight is counted once, in prefill, however often
it runs. Runs alternate and the least time of each pass counts, so that what else the machine does
stays out. Prints a table and, last, one JSON line.

    python benchmarks/trace_counts.py [CHECKPOINT] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.functional import count_kernels, counts, operators
from accelsim.functional.checkpoint import TernaryWeight, read_checkpoint
from accelsim.functional.generate import generate
from accelsim.functional.network import Network
from accelsim.functional.threads import Threads
from accelsim.functional.tracer import trace_network
from accelsim.locate import NETWORKS, shipped
from accelsim.trace import Workload

ROUNDS = 21
PREFILL, DECODE = 256, 64
INPUTS, OUTPUTS = 2560, 6912


class Stopwatch(Network):
    """A network that keeps the wall time of each pass."""

    passes: list[float]

    def forward(self, *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        logits = super().forward(*arguments, **options)
        self.passes.append(time.perf_counter() - start)
        return logits

    def times(self, work: Callable[[], Any]) -> list[float]:
        """Return the time of the prompt, with all that is not a pass, and of every further pass."""
        self.passes = []
        whole = seconds(work)
        decode = self.passes[1:]
        return [whole - sum(decode), *decode]


def seconds(work: Callable[[], Any]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def least(rounds: int, *works: Callable[[], list[float]]) -> list[list[float]]:
    """Run works in turn; return the least of each of their times."""
    for work in works:
        work()  # compiles
    turns = [[work() for work in works] for _ in range(rounds)]
    return [np.min(times, axis=0).tolist() for times in zip(*turns, strict=True)]


def runs(path: Path, rounds: int) -> dict[str, float]:
    """Measure prefill and decode, plain and traced."""
    network = Stopwatch(read_checkpoint(path))
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, network.config.vocab_size, (1, PREFILL))
    workload = Workload(PREFILL, DECODE)
    plain, traced = least(
        rounds,
        lambda: network.times(lambda: generate(network, tokens, DECODE + 1)),
        lambda: network.times(lambda: trace_network(network, tokens, workload, name=path.name)),
    )
    prefill = row("prefill", plain[0], traced[0])
    return prefill | row("decode", sum(plain[1:]), sum(traced[1:]))


def linear(m: int, name: str) -> dict[str, float]:
    """Measure one product of m tokens and the counts of its instance."""
    rng = np.random.default_rng(0)
    threads = Threads()
    packed = rng.choice(np.array([0, 1, 2, 4, 5, 6, 8, 9, 10], np.uint8), (OUTPUTS // 4, INPUTS))
    packed |= packed[::-1] << 4
    weight = TernaryWeight(packed, np.float32(1), OUTPUTS)
    codes = rng.integers(-127, 128, (m, INPUTS), dtype=np.int8)
    sums = operators.TernaryMatrix(packed, OUTPUTS).multiply(codes, threads)
    fixed = counts.tally_ternary(weight)
    tally = np.zeros(count_kernels.TALLY, np.int64)

    count = counts.LinearCounter(counts.CodesCounter(), fixed.nonzero, tally)

    (product,), (counted,), (once,) = least(
        ROUNDS,
        lambda: [
            seconds(lambda: operators.TernaryMatrix(packed, OUTPUTS).multiply(codes, threads))
        ],
        lambda: [seconds(lambda: count(codes.copy(), sums))],  # a copy was not counted before
        lambda: [seconds(lambda: counts.tally_ternary(weight))],
    )
    print(f"{'its weight, once':<22}{'':12}{1e3 * once:9.3f} ms", end="")
    print(f"   {packed.nbytes / once / 1e9:.2f} GB/s of packed bytes")
    return row(name, product, product + counted)


def row(name: str, bare: float, counted: float) -> dict[str, float]:
    """Print one comparison and return its ratio."""
    overhead = counted / bare - 1
    print(f"{name:<22}{1e3 * bare:9.3f} ms{1e3 * counted:9.3f} ms", end="")
    print(f"   {100 * overhead:+6.1f} %")
    return {f"overhead_{name}": round(overhead, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "checkpoint", type=Path, nargs="?", default=shipped(NETWORKS) / "austen-12m"
    )
    parser.add_argument("--rounds", type=int, default=21)
    arguments = parser.parse_args()
    print(f"{'':<22}{'alone':>12}{'counted':>12}   on top")
    ratios = runs(arguments.checkpoint, arguments.rounds) | linear(128, "gemm") | linear(1, "gemv")
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
