"""Counts of a GEMM against loops over every fold, PE, step and register of docs/timing.md."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from engine_factory import design, gemm_trace, hamming

from accelsim.engine.evaluation import evaluate
from accelsim.hardware.actions import EVENTS, SHARED, Role, SharedAction, UnitAction, counter
from accelsim.hardware.columns import build_designs

Integers = npt.NDArray[np.int64]

SHAPES = [(1, 1, 1), (1, 7, 5), (2, 3, 3), (5, 4, 7), (4, 12, 6), (7, 9, 10), (12, 5, 1)]
PES = {
    "ternary_add": {"skips": True, "operand": (8, 2), "accumulator": 20},
    "int8_mac": {"skips": False, "operand": (8, 8), "accumulator": 24},
    "fp16_fmac": {"skips": False, "operand": (16, 16), "accumulator": 32},
    "fp16_fused": {"skips": False, "operand": (16, 16), "accumulator": 32},
}
TERNARY_CODES = {"ternary_add": {0: 0b00, 1: 0b01, -1: 0b11}}


class Array:
    """An array that only counts what its registers, adders and ports do; no closed form."""

    def __init__(
        self,
        dataflow: str,
        pe: str,
        rows: int,
        cols: int,
        lanes: int = 1,
        latency: int = 1,
        interval: int = 1,
        interleave: bool = True,
        overlap: bool = True,
    ) -> None:
        self.dataflow, self.pe = dataflow, pe
        self.rows, self.cols, self.lanes = rows, cols, lanes
        self.latency, self.interval = latency, interval
        self.interleave, self.overlap = interleave, overlap
        self.done: Counter[str] = Counter()

    def run(self, codes: Integers, weights: Integers) -> Counter[str]:
        m, n = codes.shape[0], weights.shape[1]
        if self.dataflow in ("os", "dot"):
            for row in range(0, m, self.rows):
                for col in range(0, n, self.cols):
                    self._sums_held(codes[row : row + self.rows], weights[:, col : col + self.cols])
        elif self.dataflow == "ws":
            self._operand_held(codes, weights, "a", "w")
        else:
            # The same array with its operands exchanged.
            self._operand_held(weights.T, codes.T, "w", "a")
        return self.done

    def _step(self, activation: int, weight: int) -> None:
        self.done["step"] += 1
        self.done["weight_nonzero"] += weight != 0
        self.done["both_nonzero"] += weight != 0 and activation != 0

    def _add(self, activation: int, weight: int) -> None:
        self._step(activation, weight)
        if weight or not PES[self.pe]["skips"]:
            self.done["add"] += 1

    def _sums_held(self, codes: Integers, weights: Integers) -> None:
        used_rows, used_cols = codes.shape[0], weights.shape[1]
        for step in range(0, codes.shape[1], self.lanes):
            width = len(range(step, min(step + self.lanes, codes.shape[1])))
            for i in range(used_rows):
                self.done["a_read"] += width
                self.done["a_move"] += i if self.dataflow == "os" else width
            for j in range(used_cols):
                self.done["w_read"] += width
                self.done["w_move"] += j if self.dataflow == "os" else width
            for i in range(used_rows):
                for j in range(used_cols):
                    if self.dataflow == "os":
                        self.done["a_move"] += 1
                        self.done["w_move"] += 1
                        self._add(int(codes[i, step]), int(weights[step, j]))
                    else:
                        for lane in range(step, step + width):
                            self._step(int(codes[i, lane]), int(weights[lane, j]))
                        self.done["tree"] += width - 1
                        self.done["tree_registers"] += width + width - 1
                        self.done["normalise"] += PES[self.pe]["accumulator"] == 32
                        self.done["add"] += 1
                    self.done["sum_move"] += self.latency
        self._finish(used_rows, used_cols, -(-codes.shape[1] // self.lanes))

    def _finish(self, used_rows: int, used_cols: int, steps: int) -> None:
        for i in range(used_rows):
            for j in range(used_cols):
                for _ in range(self._partial_sums(steps) - 1):
                    self.done["reduction"] += 1
                    self.done["sum_move"] += self.latency
                below = len(range(i + 1, self.rows))
                self.done["drain"] += below + (1 if self.overlap else 0)
                if self.dataflow == "os":
                    self.done["drain"] += self.cols - 1 - j
                self.done["result"] += 1

    def _partial_sums(self, steps: int) -> int:
        """Issue the steps both ways; interleaved sums must end sooner to be worth it."""
        plain = now = 0
        for _ in range(steps):
            plain = now + self.interval
            now += max(self.latency, self.interval)
        sums, taken = min(-(-self.latency // self.interval), steps), 0
        for _ in range(steps):
            taken += self.interval
        for _ in range(sums - 1):
            taken += self.latency
        return sums if self.interleave and taken < plain else 1

    def _operand_held(self, streamed: Integers, held: Integers, moving: str, still: str) -> None:
        words, across = streamed.shape[0], held.shape[1]
        for col in range(0, across, self.cols):
            for row in range(0, held.shape[0], self.rows):
                tile = held[row : row + self.rows, col : col + self.cols]
                self._load(tile, still)
                for word in range(words):
                    self._stream(streamed[word, row : row + self.rows], tile, moving, row > 0)
                    if row + self.rows >= held.shape[0]:
                        self.done["result"] += tile.shape[1]

    def _load(self, tile: Integers, still: str) -> None:
        for i in range(tile.shape[0]):
            for j in range(tile.shape[1]):
                self.done[f"{still}_read"] += 1
                self.done[f"{still}_move"] += j  # skew in front of the column
                if not self.overlap:
                    self.done[f"{still}_move"] += i + 1  # down the chain of operand registers
                elif self.latency == 1:
                    self.done[f"{still}_move"] += i + 1 + 1  # down the shadows, then the swap
                else:
                    self.done[f"{still}_move"] += i * (self.latency - 1) + 1

    def _stream(self, word: Integers, tile: Integers, moving: str, again: bool) -> None:
        for i in range(tile.shape[0]):
            self.done[f"{moving}_read"] += 1
            self.done[f"{moving}_move"] += i * self.latency + tile.shape[1]
        for j in range(tile.shape[1]):
            for i in range(tile.shape[0]):
                # The ternary operand is the held one in ws, the streamed one in is.
                pair = (int(word[i]), int(tile[i, j]))
                self._add(*(pair if moving == "a" else pair[::-1]))
            for _ in range(self.rows + 1):  # every row, and the adder at the foot
                self.done["sum_move"] += self.latency
            self.done["drain"] += self.cols - 1 - j
            self.done["partial"] += again


def operands(m: int, k: int, n: int, seed: int = 1) -> tuple[Integers, Integers]:
    rng = np.random.default_rng(seed)
    return rng.integers(-127, 128, (m, k)), rng.integers(-1, 2, (k, n))


def simulated(array: Array, codes: Integers, weights: Integers, *more: str) -> dict[str, int]:
    organisation = "dot_product" if array.dataflow == "dot" else "systolic"
    config = design(
        f"array.pe={array.pe}",
        f"array.organisation={organisation}",
        f"array.dataflow={'os' if array.dataflow == 'dot' else array.dataflow}",
        f"array.rows={array.rows}",
        f"array.cols={array.cols}",
        f"array.lanes={array.lanes}",
        f"array.latency={array.latency}",
        f"array.interval={array.interval}",
        f"array.interleave={array.interleave}",
        f"array.overlap={array.overlap}",
        f"array.accumulator.bits={PES[array.pe]['accumulator']}",
        "array.clock_gating=pe",
        "sram.resident=[]",
        *more,
    )
    counts = evaluate(gemm_trace(codes, weights), build_designs([config])).counts[0, 0]
    unit = {a.name.lower(): int(counts[counter(Role.LINEAR, a)]) for a in UnitAction}
    return unit | {a.name.lower(): int(counts[SHARED + a]) for a in SharedAction}


def expected(array: Array, done: Counter[str], k: int, n: int) -> dict[str, int]:
    pe: Any = PES[array.pe]
    product_bits = {"ternary_add": 8, "int8_mac": 16}.get(array.pe, 32)
    tree_bits = done["tree_registers"] * product_bits
    stored = -(-k * n * 2 // 8)
    return {
        **{f"ternary_{event}": done[event] for event in EVENTS[:3]},
        **{f"dense_{event}": 0 for event in EVENTS},
        "add": done["add"],
        "reduction": done["reduction"],
        "tree_add": done["tree"],
        "normalise": done["normalise"] if array.pe == "fp16_fused" else 0,
        "partial_add": done["partial"],
        "accumulator_clock": done["sum_move"] * pe["accumulator"] + tree_bits,
        "operand_clock": done["a_move"] * pe["operand"][0] + done["w_move"] * pe["operand"][1],
        "drain": done["drain"] * pe["accumulator"],
        "idle_clock": 0,
        "decode": done["w_read"],
        "cast": done["a_read"] if pe["accumulator"] == 32 else 0,
        "activation_read": done["a_read"] * 8,
        "weight_read": done["w_read"] * 2,
        "weight_write": stored * 8,
        "output_read": done["partial"] * pe["accumulator"],
        "output_write": (done["partial"] + done["result"]) * pe["accumulator"],
        "dram_read": -(-stored // 64) * 64,
        "dram_write": 0,
    }


def check(array: Array, shape: tuple[int, int, int]) -> None:
    codes, weights = operands(*shape)
    found = simulated(array, codes, weights)
    wanted = expected(array, array.run(codes, weights), *shape[1:])
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pe", ["ternary_add", "int8_mac", "fp16_fmac"])
@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_systolic_counts_are_those_of_the_registers(
    dataflow: str, pe: str, shape: tuple[int, int, int]
) -> None:
    check(Array(dataflow, pe, 2, 3), shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pe", ["ternary_add", "int8_mac", "fp16_fused"])
@pytest.mark.parametrize("lanes", [1, 3, 4])
def test_dot_counts_are_those_of_the_registers(
    lanes: int, pe: str, shape: tuple[int, int, int]
) -> None:
    check(Array("dot", pe, 2, 3, lanes), shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dataflow", ["os", "ws", "is", "dot"])
@pytest.mark.parametrize(
    ("latency", "interval", "interleave", "overlap"),
    [(3, 1, True, True), (3, 2, True, False), (2, 1, False, True), (1, 1, True, False)],
)
def test_counts_follow_latency_interleaving_and_overlap(
    latency: int,
    interval: int,
    interleave: bool,
    overlap: bool,
    dataflow: str,
    shape: tuple[int, int, int],
) -> None:
    check(Array(dataflow, "int8_mac", 3, 2, 1, latency, interval, interleave, overlap), shape)


@pytest.mark.parametrize("dataflow", ["ws", "is"])
def test_a_stream_longer_than_the_output_buffer_is_cut_and_held_operands_load_again(
    dataflow: str,
) -> None:
    """1 KiB holds 2 x 85 partial sums of 24 bits in 2 columns."""
    shape = (100, 5, 100)
    codes, weights = operands(*shape)
    array = Array(dataflow, "int8_mac", 2, 2)
    for start in (0, 85):
        stop = start + 85
        if dataflow == "ws":
            array.run(codes[start:stop], weights)
        else:
            array.run(codes, weights[:, start:stop])
    small = ("sram.output.capacity_kib=1", "sram.output.stream_kib=1")
    found = simulated(array, codes, weights, *small)
    wanted = expected(array, array.done, *shape[1:])
    assert {name: found[name] for name in wanted} == wanted


def test_toggles_are_exact_where_neighbours_meet_in_one_fold() -> None:
    """Without skew and with one lane every register sees one row of the operands."""
    codes, weights = operands(2, 30, 3)
    code = TERNARY_CODES["ternary_add"]
    activations = hamming(codes[:, 1:], codes[:, :-1])
    bits = np.vectorize(code.__getitem__)(weights)
    expected_toggles = activations + hamming(bits[1:], bits[:-1])
    found = simulated(Array("dot", "ternary_add", 2, 3), codes, weights)
    assert found["operand_toggle"] == expected_toggles


@pytest.mark.parametrize("dataflow", ["os", "dot"])
def test_ports_toggle_once_for_each_pe_that_works_with_a_word(dataflow: str) -> None:
    """Every PE of two operands that fit the array sees a row of the one, a column of the other."""
    codes, weights = operands(2, 30, 3, seed=5)
    bits = np.vectorize(TERNARY_CODES["ternary_add"].__getitem__)(weights)
    found = simulated(Array(dataflow, "ternary_add", 2, 3), codes, weights)
    pairs = [(codes[i], bits[:, j]) for i in range(2) for j in range(3)]
    at_activations = sum(hamming(a[1:], a[:-1]) for a, _ in pairs)
    at_weights = sum(hamming(w[1:], w[:-1]) for _, w in pairs)
    assert found["ternary_activation_toggle"] == at_activations
    assert found["ternary_weight_toggle"] == at_weights
    beyond = found["operand_toggle"] - at_activations - at_weights
    assert found["skew_toggle"] == max(beyond, 0)
    assert (beyond > 0) == (dataflow == "os")


@pytest.mark.parametrize("dataflow", ["ws", "is"])
def test_a_held_operand_toggles_in_its_own_pe_alone(dataflow: str) -> None:
    codes, weights = operands(6, 2, 3, seed=5)
    bits = np.vectorize(TERNARY_CODES["ternary_add"].__getitem__)(weights)
    found = simulated(Array(dataflow, "ternary_add", 2, 6), codes, weights)
    if dataflow == "ws":
        wanted = (hamming(codes[1:], codes[:-1]) * 3, hamming(bits[1:], bits[:-1]))
    else:
        wanted = (hamming(codes[:, 1:], codes[:, :-1]), hamming(bits[:, 1:], bits[:, :-1]) * 6)
    names = ("ternary_activation_toggle", "ternary_weight_toggle")
    assert tuple(found[name] for name in names) == wanted


def register_histories(dataflow: str, codes: Integers, weights: Integers, rows: int, cols: int):
    """Yield the words that each operand register of PEs and skew takes, fold after fold."""
    (m, k), n = codes.shape, weights.shape[1]
    if dataflow == "os":
        for i in range(rows):
            words = [codes[r + i] for r in range(0, m, rows) for _ in range(0, n, cols)]
            yield from [np.concatenate(words)] * (cols + i)
        for j in range(cols):
            words = [weights[:, c + j] for _ in range(0, m, rows) for c in range(0, n, cols)]
            yield from [np.concatenate(words)] * (rows + j)
        return
    streamed, held = (codes, weights) if dataflow == "ws" else (weights.T, codes.T)
    across, folds = held.shape[1], range(0, k, rows)
    for i in range(rows):
        words = [streamed[:, r + i] for _ in range(0, across, cols) for r in folds]
        yield from [np.concatenate(words)] * (cols + i)
    for j in range(cols):
        columns = [(r, c + j) for c in range(0, across, cols) for r in folds]
        yield from [np.concatenate([held[r : r + rows, c][::-1] for r, c in columns])] * j
        for i in range(rows):
            yield np.concatenate([held[r + i : r + rows, c][::-1] for r, c in columns])
            yield np.array([held[r + i, c] for r, c in columns])


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_toggles_are_those_of_the_registers_within_five_percent(dataflow: str) -> None:
    codes, weights = operands(40, 60, 45, seed=3)
    weights[np.random.default_rng(4).random(weights.shape) < 0.3] = 0
    bits = np.vectorize(TERNARY_CODES["ternary_add"].__getitem__)(weights)
    changes = sum(
        hamming(words[1:], words[:-1]) for words in register_histories(dataflow, codes, bits, 4, 5)
    )
    found = simulated(Array(dataflow, "ternary_add", 4, 5), codes, weights)
    assert found["operand_toggle"] == pytest.approx(changes, rel=0.05)
