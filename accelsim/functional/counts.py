"""Exact counts of events in operands, each in time proportional to the operands' sizes.

Weights are [n, k] as checkpoints store them. Non-zero steps of a product follow from column counts
alone: the sum over k of nonzero_weights[k] * nonzero_activations[k].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.functional import count_kernels, operators
from accelsim.functional.checkpoint import TernaryWeight
from accelsim.functional.threads import Threads

Codes = NDArray[np.int8]
Words = NDArray[np.uint8] | NDArray[np.uint16]
_CHANGES = ("zero_plus", "zero_minus", "plus_minus")


@dataclass(frozen=True)
class WeightTally:
    """Counts of one second operand.

    Attributes:
        nonzero: int64 [k], non-zero elements at each position of the reduction.
        columns: Trace columns and the count of one instance.
    """

    nonzero: NDArray[np.int64]
    columns: dict[str, int]


@dataclass(frozen=True)
class ActivationTally:
    """Counts of one moving operand; fields as in ``WeightTally``."""

    nonzero: NDArray[np.int64]
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


def tally_ternary(weights: Codes) -> WeightTally:
    """Count a ternary matrix, int8 [n, k] of -1, 0, +1."""
    weights = _matrix(weights, np.int8)
    nonzero = np.zeros(weights.shape[1], np.int64)
    plus = int(count_kernels.ternary_columns(weights, nonzero))
    along_k, along_n = np.zeros(3, np.int64), np.zeros(3, np.int64)
    count_kernels.ternary_transitions(weights, along_k, along_n)
    total = int(nonzero.sum())
    columns = {"weight_nonzero": total, "weight_plus": plus, "weight_minus": total - plus}
    for axis, changes in (("k", along_k), ("n", along_n)):
        for name, count in zip(_CHANGES, changes.tolist(), strict=True):
            columns[f"weight_{name}_{axis}"] = count
    return WeightTally(nonzero, columns)


def tally_dense(words: Words, reduction_first: bool = False) -> WeightTally:
    """Count a second operand of 16-bit words [n, k], or [k, n] where ``reduction_first``."""
    by_column, within_rows, within_columns = _tally_words(words)
    if reduction_first:
        by_row = np.count_nonzero(words & _magnitude(words), axis=1).astype(np.int64)
        return _dense_tally(by_row, within_columns, within_rows)
    return _dense_tally(by_column, within_rows, within_columns)


def _dense_tally(nonzero: NDArray[np.int64], along_k: int, along_n: int) -> WeightTally:
    columns = {
        "weight_nonzero": int(nonzero.sum()),
        "weight_hamming_k": along_k,
        "weight_hamming_n": along_n,
    }
    return WeightTally(nonzero, columns)


def tally_activations(words: Words, causal: bool = False) -> ActivationTally:
    """Count a moving operand [m, k]; where ``causal``, row i ends after i + 1 words."""
    nonzero, within_rows, within_columns = _tally_words(words, causal)
    m, k = words.shape
    columns = {
        "activation_zero": (m * (m + 1) // 2 if causal else m * k) - int(nonzero.sum()),
        "activation_hamming_k": within_rows,
        "activation_hamming_m": within_columns,
    }
    return ActivationTally(nonzero, columns)


def code_words(codes: Codes) -> NDArray[np.uint8]:
    """Return int8 codes as bit patterns, two's complement."""
    return _matrix(codes, np.int8).view(np.uint8)


def nonzero_pairs(weights: WeightTally, activations: ActivationTally) -> int:
    """Return steps of an [m, k] x [k, n] product with neither operand zero."""
    return int(np.dot(weights.nonzero, activations.nonzero))


def causal_nonzero_pairs(queries: Words, keys: Words) -> int:
    """Return steps with neither operand zero where query i [p, d] meets keys 0 .. i [p, d]."""
    if queries.shape != keys.shape:
        raise ValueError(f"queries {queries.shape} and keys {keys.shape} differ")
    return int(count_kernels.causal_pairs(_words(queries), _words(keys), _magnitude(queries)))


def lay_out_magnitudes(weight: TernaryWeight) -> NDArray[np.uint8]:
    """Return the packed matrix of |w|: a packed weight of -1 (code 0) becomes +1 (code 2)."""
    low, high = weight.packed & 0x55, (weight.packed >> 1) & 0x55
    minus = 0x55 & ~(low | high)
    return np.array(weight.packed | (minus << 1), dtype=np.uint8)


def accumulator_bound(codes: Codes, magnitudes: NDArray[np.uint8], threads: Threads) -> int:
    """Return the largest sum over k of |code * weight| of any output; exact.

    Args:
        codes: int8 [m, k], -127 to 127.
        magnitudes: Of the weight, from `lay_out_magnitudes`.
        threads: Share the product.
    """
    if codes.size and int(codes.min()) == -128:
        raise ValueError("codes hold -128, which absmax quantisation never gives")
    outputs = 4 * magnitudes.shape[0]
    sums = operators.ternary_gemm(np.abs(codes), magnitudes, outputs, threads)
    return int(sums.max(initial=0))


def widest_prefix(codes: Codes, weights: Codes) -> int:
    """Return the largest |running sum| in ascending k; codes [m, k], weights [n, k]."""
    turned = np.ascontiguousarray(_matrix(weights, np.int8).T)
    return int(count_kernels.widest_prefix(_matrix(codes, np.int8), turned))


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
            self._known[key] = int(count_kernels.slowest_lanes(self._weight.unpack(), *key))
        return self._known[key]


def _tally_words(words: Words, triangle: bool = False) -> tuple[NDArray[np.int64], int, int]:
    words = _words(words)
    nonzero = np.zeros(words.shape[1], np.int64)
    rows, columns = count_kernels.word_rows(words, _magnitude(words), triangle, nonzero)
    return nonzero, int(rows), int(columns)


def _magnitude(words: Words) -> np.unsignedinteger[Any]:
    """Return the bits that make a word differ from zero: a float's sign does not."""
    return words.dtype.type(0xFF if words.dtype == np.uint8 else 0x7FFF)


def _words(words: Words) -> Words:
    if words.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"words are uint8 or uint16, not {words.dtype}")
    return _matrix(words, words.dtype.type)


def _matrix(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """Return a two-dimensional array in C order; raise ValueError for another rank or dtype."""
    if array.ndim != 2 or array.dtype != dtype:
        raise ValueError(f"expected a matrix of {dtype.__name__}, not {array.dtype} {array.shape}")
    return np.ascontiguousarray(array)
