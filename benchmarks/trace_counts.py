"""What counting costs: a traced run beside the same run alone, and one linear beside its product.

The claim: exact counts of every operand add at most 15 % to running a network. Whole runs are those
of the network that ships, or of a checkpoint that is given, 256 + 64 tokens; the linear is the
largest of 2B4T, 2560 inputs and 6912 outputs. Weights are counted once for a checkpoint: `run` and
`prefill` are of the first text, weights and all, `prefill_again` of every further one.

All take turns, in an order that turns around from round to round. The ratio of a pass is the ratio
of the least times, so that what else the machine does stays out; beside it stand the median of the
ratios of each round and their quartiles. Where least and median are far apart the machine was not
quiet. Prints a table and, last, one JSON line.

    python benchmarks/trace_counts.py [CHECKPOINT] [--rounds N] [--threads N]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.functional import count_kernels, counts, operators
from accelsim.functional.checkpoint import TernaryWeight, read_checkpoint
from accelsim.functional.generate import generate
from accelsim.functional.network import Network
from accelsim.functional.threads import Threads
from accelsim.functional.tracer import trace_network
from accelsim.locate import NETWORKS, shipped
from accelsim.trace import Workload

ROUNDS = 41
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


Times = NDArray[np.float64]


def turns(rounds: int, *works: Callable[[], list[float]]) -> list[Times]:
    """Run works in turn, back and forth; return the times of each, [rounds, times]."""
    for work in works:
        work()  # compiles
    taken: list[list[list[float]]] = [[] for _ in works]
    order = list(range(len(works)))
    for _ in range(rounds):
        for which in order:
            taken[which].append(works[which]())
        order.reverse()
    return [np.array(times) for times in taken]


def runs(path: Path, rounds: int, threads: int | None) -> dict[str, float]:
    """Measure prefill and decode, plain and traced."""
    network = Stopwatch(read_checkpoint(path), threads)
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, network.config.vocab_size, (1, PREFILL))
    workload = Workload(PREFILL, DECODE)

    def trace() -> list[float]:
        return network.times(lambda: trace_network(network, tokens, workload, name=path.name))

    def first_trace() -> list[float]:
        network.checkpoint = replace(network.checkpoint)  # nothing is counted of this one yet
        return trace()

    plain, first, again = turns(
        rounds,
        lambda: network.times(lambda: generate(network, tokens, DECODE + 1)),
        first_trace,
        trace,
    )
    return (
        row("run", plain, first)
        | row("prefill", plain[:, :1], first[:, :1])
        | row("prefill_again", plain[:, :1], again[:, :1])
        | row("decode", plain[:, 1:], again[:, 1:])
    )


def linear(m: int, name: str, rounds: int, threads: Threads) -> dict[str, float]:
    """Measure one product of m tokens, dequantised, alone and counted, and its weight's counts."""
    rng = np.random.default_rng(0)
    packed = rng.choice(np.array([0, 1, 2, 4, 5, 6, 8, 9, 10], np.uint8), (OUTPUTS // 4, INPUTS))
    packed |= packed[::-1] << 4
    weight = TernaryWeight(packed, np.float32(1), OUTPUTS)
    codes = rng.integers(-127, 128, (m, INPUTS), dtype=np.int8)
    matrix = operators.TernaryMatrix(packed, OUTPUTS)
    scaling = rng.random(m, np.float32), weight.scale, True, threads
    tally = np.zeros(count_kernels.TALLY, np.int64)
    nonzero = counts.tally_ternary(weight).nonzero
    count = counts.LinearCounter(counts.CodesCounter(threads), nonzero, tally)

    def alone() -> None:
        operators.dequantise(matrix.multiply(codes, threads), *scaling)

    def counted() -> None:
        fresh = codes.view()  # was not counted before
        count.dequantise(fresh, matrix.multiply(fresh, threads), *scaling)

    bare, with_counts, once = turns(
        rounds,
        lambda: [seconds(alone)],
        lambda: [seconds(counted)],
        lambda: [seconds(lambda: counts.tally_ternary(weight))],
    )
    print(f"{'its weight, once':<22}{'':12}{1e3 * once.min():9.3f} ms", end="")
    print(f"   {packed.nbytes / once.min() / 1e9:.2f} GB/s of packed bytes")
    return row(name, bare, with_counts)


def row(name: str, bare: Times, counted: Times) -> dict[str, float]:
    """Print one comparison and return its ratio; times are [rounds, passes]."""
    least, least_counted = bare.min(axis=0).sum(), counted.min(axis=0).sum()
    overhead = float(least_counted / least - 1)
    low, middle, high = np.percentile(counted.sum(axis=1) / bare.sum(axis=1) - 1, (25, 50, 75))
    print(f"{name:<22}{1e3 * least:9.3f} ms{1e3 * least_counted:9.3f} ms", end="")
    print(f"   {100 * overhead:+6.1f} %   {100 * middle:+6.1f} %", end="")
    print(f" ({100 * low:+.1f} to {100 * high:+.1f})")
    return {
        f"overhead_{name}": round(overhead, 4),
        f"overhead_{name}_median": round(float(middle), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "checkpoint", type=Path, nargs="?", default=shipped(NETWORKS) / "austen-12m"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()
    rounds, threads = arguments.rounds, Threads(arguments.threads)
    print(f"{'':<22}{'alone':>12}{'counted':>12}   {'on top':>8}   each round (quartiles)")
    ratios = {"threads": threads.count} | runs(arguments.checkpoint, rounds, threads.count)
    ratios |= linear(128, "gemm", rounds, threads) | linear(1, "gemv", rounds, threads)
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
