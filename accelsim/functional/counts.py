"""Exact counts of events in operands, each in time proportional to the operands' sizes.

Weights are [n, k] as checkpoints store them. Non-zero steps of a product follow from column counts
alone: the sum over k of nonzero_weights[k] * nonzero_activations[k].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.functional import count_kernels, packed_kernels
from accelsim.functional.checkpoint import TernaryWeight
from accelsim.functional.threads import Threads

Codes = NDArray[np.int8]
Words = NDArray[np.uint16]
Int32 = NDArray[np.int32]
Floats = NDArray[np.float32]
Tally = NDArray[np.int64]
_CHANGES = ("zero_plus", "zero_minus", "plus_minus")
LANE = 8  # bytes in a uint64
_BLOCK_WORDS = 1 << 23  # of a dense weight are copied at a time, where they must be
_PREFIX_OUTPUTS = 256  # unpacked at a time
_FEW_ROWS = 4
# What counting a code and dequantising a sum cost next to a multiply-add.
_CODE_COST, _SUM_COST = 8, 8


@dataclass(frozen=True)
class WeightTally:
    """Counts of one second operand.

    Attributes:
        nonzero: int32 [k], non-zero elements at each position of the reduction.
        columns: Trace columns and the count of one instance.
    """

    nonzero: Int32
    columns: dict[str, int]


def bf16_words(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return float32 values rounded to bfloat16 (nearest, halves to even) as bit patterns."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    halfway = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return ((bits + halfway) >> np.uint32(16)).astype(np.uint16)


def stored_words(stored: NDArray[Any]) -> NDArray[np.uint16]:
    """Return a dense tensor as 16-bit patterns: float16 and bfloat16 as stored, float32 rounded."""
    if stored.dtype == np.uint16:
        return np.ascontiguousarray(stored)
    if stored.dtype == np.float16:
        return np.ascontiguousarray(stored).view(np.uint16)
    return bf16_words(stored)


def tally_ternary(weight: TernaryWeight) -> WeightTally:
    """Count a ternary matrix from its packed bytes; rows past its outputs hold zero weights."""
    outputs, inputs = weight.shape
    nonzero = np.zeros(inputs, np.int32)
    totals = np.zeros(packed_kernels.TOTALS, np.int64)
    packed_kernels.count_packed(_matrix(weight.packed, np.uint8), outputs, nonzero, totals)
    found, plus, *changes = totals.tolist()
    columns = {"weight_nonzero": found, "weight_plus": plus, "weight_minus": found - plus}
    names = [f"weight_{change}_{axis}" for axis in "kn" for change in _CHANGES]
    return WeightTally(nonzero, columns | dict(zip(names, changes, strict=True)))


def tally_dense(words: Words, forget: Callable[[], None] = lambda: None) -> WeightTally:
    """Count a second operand of 16-bit words [n, k].

    ``forget`` is called after each of several blocks of rows: what was read will not be read again.
    """
    words = _matrix(words, np.uint16)
    nonzero = np.zeros(words.shape[1], np.int32)
    within = between = 0
    step = max(_BLOCK_WORDS // words.shape[1], 1)
    for begin in range(0, words.shape[0], step):
        # The row before joins in, as a neighbour, and what was counted of it is taken off again.
        known = begin > 0
        along_k, along_n = _count_block(words[begin - known : begin + step], nonzero, 1)
        within, between = within + along_k, between + along_n
        if known:
            within -= _count_block(words[begin - 1 : begin], nonzero, -1)[0]
        if step < words.shape[0]:
            forget()
    columns = {
        "weight_nonzero": int(nonzero.sum(dtype=np.int64)),
        "weight_hamming_k": int(within),
        "weight_hamming_n": int(between),
    }
    return WeightTally(nonzero, columns)


def _count_block(words: Words, nonzero: Int32, sign: int) -> tuple[int, int]:
    """Add or take off the non-zero words of each column; return changes within rows and columns."""
    found = np.zeros(words.shape[1], np.int32)
    rows = _whole_lanes(words).view(np.uint64)
    within, between = count_kernels.count_words(rows, count_kernels.FLOAT, found)
    nonzero += sign * found
    return int(within), int(between)


def tally_words(words: Words, weight_nonzero: Int32, tally: Tally) -> None:
    """Add an instance of a product of 16-bit floats.

    Args:
        words: uint16 [m, k].
        weight_nonzero: int32 [k], of the second operand.
        tally: int64 [TALLY], as `count_kernels` lays it out.
    """
    rows = _whole_lanes(_matrix(words, np.uint16)).view(np.uint64)
    count_kernels.tally_words(rows, weight_nonzero, tally)


class CodesCounter:
    """Counts codes once for all linears that read the same array."""

    def __init__(self, threads: Threads | None = None) -> None:
        """Start with none; the threads share rows."""
        self._threads = threads or Threads(1)
        self._lock = Lock()
        self._latest: Codes | None = None
        self._nonzero = np.empty(0, np.int32)
        self._moving = np.zeros(count_kernels.TALLY, np.int64)

    def count(self, codes: Codes) -> tuple[Tally, Int32]:
        """Return the sums of what `count_kernels.tally_codes` finds: all else, and by column."""
        if codes is not self._latest:
            self._latest = codes
            self._nonzero = np.zeros(codes.shape[1], np.int32)
            self._moving[:] = 0
            rows = _whole_lanes(_matrix(codes, np.int8))
            self._threads.split(
                lambda begin, end: self._add(rows, begin, end), len(rows), _CODE_COST * codes.size
            )
        return self._moving, self._nonzero

    def _add(self, rows: Codes, begin: int, end: int) -> None:
        nonzero, moving = np.zeros_like(self._nonzero), np.zeros_like(self._moving)
        count_kernels.tally_codes(rows, begin, end, nonzero, moving)
        with self._lock:
            largest = max(self._moving[count_kernels.SUM], moving[count_kernels.SUM])
            self._nonzero += nonzero
            self._moving += moving
            self._moving[count_kernels.SUM] = largest


class LinearCounter:
    """Adds up instances of one ternary product. Codes are counted as two's complement."""

    def __init__(self, codes: CodesCounter, weight_nonzero: Int32, tally: Tally) -> None:
        """Start from the counts so far.

        Args:
            codes: Shared with the linears that may read the same codes.
            weight_nonzero: int32 [k], of the weight.
            tally: int64 [TALLY], as `count_kernels` lays it out; complete after `settle`.
        """
        self._codes = codes
        self._weight_nonzero = weight_nonzero
        self._tally = tally
        self._marks = np.zeros(-(-len(weight_nonzero) // LANE), np.uint64)
        self._marked = 0

    def __call__(self, codes: Codes, sums: Int32) -> None:
        """Add an instance: codes int8 [m, k], sums int32 [m, n]."""
        self._add(codes, count_kernels.widest_sum(sums))

    def _add(self, codes: Codes, widest: int) -> None:
        moving, nonzero = self._codes.count(codes)
        count_kernels.tally_linear(moving, nonzero, self._weight_nonzero, self._tally)
        self._tally[count_kernels.WIDEST] = max(self._tally[count_kernels.WIDEST], widest)

    def dequantise(
        self,
        codes: Codes,
        sums: Int32,
        scales: Floats,
        scale: np.float32,
        multiplies: bool,
        threads: Threads,
    ) -> Floats:
        """Add an instance, and return what `operators.dequantise` does.

        One call does both while the sums are at hand. Of few rows it counts the codes as well:
        that takes less time than a call.

        Args:
            codes: int8 [m, k], C-contiguous.
            sums: int32 [m, n], C-contiguous.
            scales: float32 [m].
            scale: Of the weight.
            multiplies: Whether it multiplies or divides.
            threads: They share rows.
        """
        out = np.empty(sums.shape, np.float32)
        m, k = codes.shape
        if m <= _FEW_ROWS and k % LANE == 0:
            if self._marked + m > count_kernels.FULL_8:
                self.settle()
            self._marked += m
            operands = sums, scales, scale, multiplies, out
            count_kernels.dequantise_few(*operands, codes, self._marks, self._tally)
            return out
        widest = [0]

        def rows(begin: int, end: int) -> None:
            part = sums[begin:end], scales[begin:end], scale, multiplies, out[begin:end]
            widest.append(count_kernels.dequantise_widest(*part))

        threads.split(rows, m, _SUM_COST * sums.size)
        self._add(codes, max(widest))
        return out

    def settle(self) -> None:
        """Add to the tally what is known by column only."""
        if self._marked:
            count_kernels.tally_marks(self._marks, self._marked, self._weight_nonzero, self._tally)
            self._marked = 0


def widest_sums(codes: Codes, weight: TernaryWeight) -> tuple[int, int]:
    """Return the largest |running sum| in ascending k and the largest sum of |code * weight|.

    This is two plain products: no order of addition can exceed the second.

    Args:
        codes: int8 [m, k].
        weight: Ternary [n, k].
    """
    codes, outputs = _matrix(codes, np.int8), weight.shape[0]
    widest = [(0, 0)]
    for begin in range(0, outputs, _PREFIX_OUTPUTS):
        block = _unpack_outputs(weight, begin, min(begin + _PREFIX_OUTPUTS, outputs))
        widest.append(packed_kernels.widest_sums(codes, np.ascontiguousarray(block.T)))
    prefixes, bounds = zip(*widest, strict=True)
    return max(prefixes), max(bounds)


def _unpack_outputs(weight: TernaryWeight, begin: int, end: int) -> Codes:
    """Return the weights of outputs begin .. end, int8 [end - begin, k]."""
    fields, rows = np.divmod(np.arange(begin, end), weight.packed.shape[0])
    shifts = (2 * fields).astype(np.uint8)[:, None]
    return ((weight.packed[rows] >> shifts) & np.uint8(3)).astype(np.int8) - np.int8(1)


class LaneProfile:
    """Loads of zero-skipping lanes of one weight matrix, each tiling computed once."""

    def __init__(self, weight: TernaryWeight) -> None:
        self._weight = weight
        self._known: dict[tuple[int, int, int], int] = {}

    def profile(self, tile_k: int, tile_n: int, group: int) -> int:
        """Return the steps of one token: over tiles and groups, those of the slowest lane.

        A lane owns one output of a tile and skips zero weights among its ``tile_k``; ``group``
        adjacent lanes of a tile wait for the slowest of them. Tiles at the edge are smaller.
        """
        key = (tile_k, tile_n, group)
        if min(key) < 1:
            raise ValueError(f"tile_k, tile_n and group must be positive, not {key}")
        if key not in self._known:
            packed = np.ascontiguousarray(self._weight.packed)
            steps = packed_kernels.slowest_lanes(packed, self._weight.shape[0], *key)
            self._known[key] = int(steps)
        return self._known[key]


def _whole_lanes(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return a matrix whose rows are whole uint64, with zeros behind them where they were not."""
    held = LANE // matrix.itemsize
    left = -matrix.shape[1] % held
    if not left and (matrix.base is None or matrix.ctypes.data % LANE == 0):
        return matrix
    whole = np.zeros((matrix.shape[0], matrix.shape[1] + left), matrix.dtype)
    whole[:, : matrix.shape[1]] = matrix
    return whole


def _matrix(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """Return a two-dimensional array in C order; raise ValueError for another rank or dtype."""
    if array.ndim != 2 or array.dtype != dtype:
        raise ValueError(f"expected a matrix of {dtype.__name__}, not {array.dtype} {array.shape}")
    return np.ascontiguousarray(array)
