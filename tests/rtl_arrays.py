"""Arrays in SystemVerilog under test: how they are named, fed, run and compared."""

from __future__ import annotations

import numpy as np

from accelsim.engine.timing import ArrayTiming, Organisation, accesses_of_gemms, cycles_of_gemms
from accelsim.rtl.array_sums import array_sums
from accelsim.rtl.arrays import KINDS, Bench, RtlArray, RtlRun
from accelsim.rtl.float_sums import float_bits

Shape = tuple[int, int, int]
WEIGHTS = {"ternary_add": (-1, 1), "int8_mac": (-128, 127), "int8_int4_mac": (-8, 7)}


def array(
    organisation: Organisation,
    rows: int,
    cols: int,
    *,
    pe: str = "ternary_add",
    bits: int = 32,
    overflow: str = "wrap",
    **timing: int,
) -> RtlArray:
    return RtlArray(ArrayTiming(organisation, rows, cols, **timing), pe, bits, overflow)


def label(built: RtlArray) -> str:
    timing = built.timing
    flags = "i" * timing.interleave + "o" * timing.overlap
    size = f"{timing.rows}x{timing.cols}x{timing.lanes}"
    pipeline = f"L{timing.latency}-II{timing.interval}-{flags}"
    return f"{timing.organisation.name}-{size}-{pipeline}-{built.pe}{built.accumulator_bits}"


def operands(pe: str, shape: Shape, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    m, k, n = shape
    if KINDS[pe].floating:
        return floats(pe, (m, k), rng), floats(pe, (k, n), rng)
    low, high = WEIGHTS[pe]
    return rng.integers(-128, 128, (m, k)), rng.integers(low, high + 1, (k, n))


def floats(pe: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Numbers of many magnitudes, some of them zero, as bits."""
    values = rng.normal(size=shape) * rng.integers(0, 8, shape)
    return float_bits(values * np.exp2(rng.integers(-8, 9, shape)), KINDS[pe].activation)


def shapes_around(built: RtlArray, count: int, rng: np.random.Generator) -> list[Shape]:
    """From 1 to past the array each way; the smallest, one token and a row too many first."""
    timing = built.timing
    longest = max(2 * timing.rows + 3, 5 * timing.lanes, 14)
    upper = (2 * timing.rows + 3, longest, 2 * timing.cols + 3)
    edges = [(1, 1, 1), (1, longest, timing.cols + 1), (timing.rows + 1, longest, timing.cols)]
    return edges + [tuple(int(rng.integers(1, u + 1)) for u in upper) for _ in range(count)]


def closed_form(built: RtlArray, shape: Shape) -> int:
    return int(cycles_of_gemms(built.timing, np.array([shape], dtype=np.int64))[0, -1])


def run(built: RtlArray, bench: Bench, activations: np.ndarray, weights: np.ndarray) -> RtlRun:
    shape = (*activations.shape, weights.shape[1])
    return bench.gemm(activations, weights, patience=2 * closed_form(built, shape) + 200)


def assert_exact(
    built: RtlArray, bench: Bench, activations: np.ndarray, weights: np.ndarray
) -> None:
    """Run a GEMM: every sum, the cycles, and how many elements were written."""
    shape = (*activations.shape, weights.shape[1])
    seen = run(built, bench, activations, weights)
    exact = array_sums(built.timing, built.arithmetic, activations, weights)
    np.testing.assert_array_equal(seen.sums, exact)
    assert seen.cycles == closed_form(built, shape)
    accesses = accesses_of_gemms(built.timing, np.array([shape], dtype=np.int64))[0]
    assert seen.elements_written == accesses[2]
