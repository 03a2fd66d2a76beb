"""Speed of the compiled kernels on one core, beside what the core and its memory allow.

    python benchmarks/kernels.py [--seconds S]

Measures products of 2560 inputs and 6912 outputs in turns, the best turn of each counts:

* ternary, every path that this CPU can take: one token with weights in cache, from memory and from
  a mapped file (both rotate over more weights than caches hold), and 128 tokens;
* "plain": the path for any CPU as ``ACCELSIM_PORTABLE=1`` compiles it, in a process of its own that
  runs before and after the others;
* the same products in numpy float32 (BLAS);
* the output layer on bfloat16, attention of one token, and the copy into panels;
* the ceilings: the dot products of bytes that one core can start, and the bytes it can read.

The last line is JSON. One multiply-accumulate counts as one operation.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# Before numpy loads: one core is compared with one core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from accelsim.functional import operators, ternary_kernels
from accelsim.functional.threads import Threads
from accelsim.kernels import PORTABLE_VARIABLE, cpu_has, kernel

INPUTS, OUTPUTS, TOKENS = 2560, 6912, 128
MATRICES = 40  # 177 MB of packed weights
HEAD_OUTPUTS = 32768  # 168 MB of bfloat16
HEADS, KV_HEADS, HEAD_DIM, CONTEXT = 20, 5, 128, 4096
ONE = Threads(1)
# Dot products in flight, as many as any CPU here needs to start one at every chance.
CHAINS = 12
ROUNDS = 1_000_000


class Dot(NamedTuple):
    """An instruction that adds products of small integers.

    Attributes:
        instruction: LLVM's name for it.
        operand: Type of a scalar that fills its operands, and that chooses it.
        lanes: How many sums it has.
        bits: Of a sum.
        products: How many it multiplies.
        adds: Whether it adds to a sum it is given.
    """

    instruction: str
    operand: np.dtype[Any]
    lanes: int
    bits: int
    products: int
    adds: bool


DOTS = {
    "avx512vnni": Dot(
        "llvm.x86.avx512.vpdpbusd.512", np.dtype(np.int32), 16, 32, products=64, adds=True
    ),
    "avx2": Dot("llvm.x86.avx2.pmadd.ub.sw", np.dtype(np.int8), 16, 16, products=32, adds=False),
    "sse2": Dot("llvm.x86.sse2.pmadd.wd", np.dtype(np.int16), 4, 32, products=8, adds=False),
}


@intrinsic
def add_products(typing: Any, rounds: Any, operand: Any) -> Any:
    """Return a function that runs so many rounds of `CHAINS` independent dot products."""
    dot = next(each for each in DOTS.values() if each.operand.name == str(operand))

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        count, scalar = values
        sums = ir.VectorType(ir.IntType(dot.bits), dot.lanes)
        factors = ir.VectorType(scalar.type, dot.lanes * dot.bits // scalar.type.width)
        one = builder.insert_element(ir.Constant(factors, None), scalar, ir.IntType(32)(0))
        kind = ir.FunctionType(sums, [sums] * dot.adds + [factors] * 2)
        function = cgutils.get_or_insert_function(builder.module, kind, dot.instruction)
        places = [
            cgutils.alloca_once_value(builder, ir.Constant(sums, [i + 1] * dot.lanes))
            for i in range(CHAINS)
        ]
        with cgutils.for_range(builder, count):
            for place in places:
                total = builder.load(place)
                if dot.adds:
                    total = builder.call(function, [total, one, one])
                else:
                    read = builder.bitcast(total, factors)
                    total = builder.add(total, builder.call(function, [read, one]))
                builder.store(total, place)
        folded = functools.reduce(builder.xor, map(builder.load, places))
        return builder.sext(builder.extract_element(folded, ir.IntType(32)(0)), ir.IntType(64))

    return types.int64(types.int64, operand), emit


@kernel
def dot_rounds(rounds: int, operand: Any) -> Any:
    """Run `add_products`; what comes back only keeps it from being dropped."""
    return add_products(rounds, operand)


@kernel
def sum_words(words: np.ndarray) -> np.int64:
    """Add int64 words; LLVM makes vectors of it."""
    total = np.int64(0)
    for word in words:
        total += word
    return total


@kernel
def sum_streams(words: np.ndarray) -> np.int64:
    """Add int64 words that are read at four places at once."""
    total = np.int64(0)
    quarter = words.shape[0] // 4
    for i in range(quarter):
        total += words[i] + words[quarter + i] + words[2 * quarter + i] + words[3 * quarter + i]
    return total


def random_packed(rows: int, seed: int) -> np.ndarray:
    """Return random packed weights of 4 * rows outputs."""
    fields = np.random.default_rng(seed).integers(0, 3, (4, rows, INPUTS), np.uint8)
    return fields[0] | fields[1] << 2 | fields[2] << 4 | fields[3] << 6


def rotating(matrices: np.ndarray, run: Callable[[np.ndarray], object]) -> Callable[[], object]:
    """Return a turn that multiplies by all matrices once."""

    def turn() -> None:
        for matrix in matrices:
            run(matrix)

    return turn


def measure(turns: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Run all turns over and over for so long; return the fastest of each, in seconds."""
    for turn in turns.values():
        turn()
    best = dict.fromkeys(turns, float("inf"))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, turn in turns.items():
            repeats = 1 if best[name] > 0.01 else 5
            for _ in range(repeats):
                begin = time.perf_counter()
                turn()
                best[name] = min(best[name], time.perf_counter() - begin)
    return best


def ternary_turns(folder: Path) -> dict[str, Callable[[], object]]:
    """Return the ternary products of every path, and those of BLAS."""
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (TOKENS, INPUTS)).astype(np.int8)
    held = np.stack([random_packed(OUTPUTS // 4, seed) for seed in range(MATRICES)])
    held.tofile(folder / "weights")
    mapped = np.memmap(folder / "weights", np.uint8, "r", shape=held.shape)
    turns: dict[str, Callable[[], object]] = {}
    for path in ternary_kernels.usable_paths():

        def gemv(matrix: np.ndarray, path: str = path) -> object:
            return operators.TernaryMatrix(matrix, OUTPUTS, path).multiply(codes[:1], ONE)

        def gemm(path: str = path) -> object:
            return operators.TernaryMatrix(held[0], OUTPUTS, path).multiply(codes, ONE)

        turns |= {
            f"{path} gemv": lambda gemv=gemv: gemv(held[0]),
            f"{path} gemv memory": rotating(held, gemv),
            f"{path} gemv mapped": rotating(mapped, gemv),
            f"{path} gemm": gemm,
        }
    weights = rng.integers(-1, 2, (INPUTS, OUTPUTS)).astype(np.float32)
    floats = codes.astype(np.float32)
    turns["numpy gemv"] = lambda: floats[:1] @ weights
    turns["numpy gemm"] = lambda: floats @ weights
    return turns


def dense_turns() -> dict[str, Callable[[], object]]:
    """Return the output layer, attention and the copy into panels."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0x3C00, 0x3E00, (HEAD_OUTPUTS, INPUTS)).astype(np.uint16)
    laid = operators.panels(bits)
    x = rng.normal(size=(1, INPUTS)).astype(np.float32)
    blocks = CONTEXT // operators.PANEL
    keys = np.ones((1, KV_HEADS, blocks, HEAD_DIM * operators.PANEL), np.float32)
    values = np.ones((1, KV_HEADS, HEAD_DIM // operators.PANEL, CONTEXT * operators.PANEL), "f4")
    q = rng.normal(size=(1, 1, HEADS * HEAD_DIM)).astype(np.float32)
    return {
        "head": lambda: operators.dense_gemm(x, laid, HEAD_OUTPUTS, ONE),
        "attention": lambda: operators.attend(q, keys, values, CONTEXT - 1, HEADS, ONE),
        "panels": lambda: operators.panels(bits),
    }


def ceiling_turns() -> dict[str, Callable[[], object]]:
    """Return reads of 256 MiB and rounds of dot products."""
    words = np.ones(1 << 25, np.int64)
    turns: dict[str, Callable[[], object]] = {
        "read numpy": lambda: words.sum(),
        "read words": lambda: sum_words(words),
        "read streams": lambda: sum_streams(words),
    }
    for name, dot in DOTS.items():
        if cpu_has(name):
            operand = dot.operand.type(1)
            turns[f"peak {name}"] = functools.partial(dot_rounds, ROUNDS, operand)
    return turns


def plain_seconds(seconds: float) -> dict[str, float]:
    """Return the fastest products of kernels that are compiled for plain instructions."""
    command = [sys.executable, __file__, "--plain", "--seconds", str(seconds)]
    environment = os.environ | {PORTABLE_VARIABLE: "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def report_rates(best: dict[str, float]) -> dict[str, float]:
    """Print a table; return rates in 10**9 operations, or bytes, per second."""
    rates: dict[str, float] = {}
    steps = INPUTS * OUTPUTS / 1e9
    for name, seconds in best.items():
        amount, unit = steps, "Gop/s"
        if name.startswith("peak "):
            amount = ROUNDS * CHAINS * DOTS[name.removeprefix("peak ")].products / 1e9
        elif name.startswith("read "):
            amount, unit = (1 << 28) / 1e9, "GB/s"
        elif name in {"head", "panels"}:
            amount, unit = HEAD_OUTPUTS * INPUTS * 2 / 1e9, "GB/s"
        elif name == "attention":
            amount, unit = 2 * KV_HEADS * HEAD_DIM * CONTEXT * 4 / 1e9, "GB/s"
        elif name.endswith(("memory", "mapped")):
            amount = MATRICES * steps
        elif name.endswith("gemm"):
            amount = TOKENS * steps
        rates[name] = amount / seconds
        print(f"{name:26}{rates[name]:9.1f} {unit}")
    return rates


def ratios(rates: dict[str, float]) -> dict[str, float | str]:
    """Return the ratios that matter; packed weights hold four to a byte."""
    native = ternary_kernels.usable_paths()[0]
    bandwidth = max(rate for name, rate in rates.items() if name.startswith("read "))
    found: dict[str, float | str] = {"benchmark": "kernels", "native": native}
    found["read_gigabytes_per_second"] = bandwidth
    for path in ternary_kernels.usable_paths():
        gemv, gemm = rates[f"{path} gemv"], rates[f"{path} gemm"]
        found |= {
            f"{path}_gemv_gops": gemv,
            f"{path}_gemm_gops": gemm,
            f"{path}_gemm_of_gemv": gemm / gemv,
            f"{path}_gemv_of_native": gemv / rates[f"{native} gemv"],
            f"{path}_gemm_of_native": gemm / rates[f"{native} gemm"],
            f"{path}_gemv_of_numpy": gemv / rates["numpy gemv"],
            f"{path}_gemm_of_numpy": gemm / rates["numpy gemm"],
            f"{path}_memory_of_read": rates[f"{path} gemv memory"] / 4 / bandwidth,
            f"{path}_mapped_of_read": rates[f"{path} gemv mapped"] / 4 / bandwidth,
        }
        if f"peak {path}" in rates:
            found[f"{path}_gemv_of_peak"] = gemv / rates[f"peak {path}"]
    for product in ("gemv", "gemm"):
        found[f"plain_{product}_of_native"] = (
            rates[f"plain {product}"] / rates[f"{native} {product}"]
        )
    found["head_of_read"] = rates["head"] / bandwidth
    found["attention_of_read"] = rates["attention"] / bandwidth
    found["panels_gigabytes_per_second"] = rates["panels"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0, help="for all turns together")
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    seconds = arguments.seconds
    with tempfile.TemporaryDirectory() as folder:
        turns = ternary_turns(Path(folder))
        if arguments.plain:
            plain = {f"plain {name}": turns[f"portable {name}"] for name in ("gemv", "gemm")}
            print(json.dumps(measure(plain, seconds)))
            return
        before = plain_seconds(seconds / 10)
        best = measure(turns | dense_turns() | ceiling_turns(), seconds)
        after = plain_seconds(seconds / 10)
        rates = report_rates(best | {name: min(before[name], after[name]) for name in after})
    print(json.dumps({name: _rounded(value) for name, value in ratios(rates).items()}))


def _rounded(value: float | str) -> float | str:
    return value if isinstance(value, str) else round(value, 3)


if __name__ == "__main__":
    main()
