"""What a network is made of: typed functions over the compiled loops.

Each checks shape, dtype and contiguity, and cuts its outputs into pieces for threads. The order of
every sum is stated in `kernels`; formulas are those of BitNet b1.58 (arXiv 2402.17764) as
transformers 5.23 rounds them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.functional import attention_kernels, kernels, row_kernels, ternary_kernels
from accelsim.functional.checkpoint import widen
from accelsim.functional.threads import Threads

PANEL = kernels.PANEL
Floats = NDArray[np.float32]


class Quantised(NamedTuple):
    """Rows of int8 codes [m, k] and the float32 factor [m] that made them: code = x * scale."""

    codes: NDArray[np.int8]
    scales: Floats


class Norm(NamedTuple):
    """Weights float32 [k] of a root-mean-square norm, and what is added to the mean square."""

    weight: Floats
    epsilon: np.float32


class ShareCounts(NamedTuple):
    """What the probabilities of a prompt were as bfloat16, head by head.

    Attributes:
        nonzero: int32 [batch, heads, positions], how many that weigh a position are not zero.
        changes: int64 [batch, heads, 2], bits that change between neighbours in the row of a
            query, and between the rows of neighbours, as far as both attend.
    """

    nonzero: NDArray[np.int32]
    changes: NDArray[np.int64]

    @classmethod
    def zeros(cls, batch: int, heads: int, positions: int) -> ShareCounts:
        """Return counts of nothing."""
        changes = np.zeros((batch, heads, 2), np.int64)
        return cls(np.zeros((batch, heads, positions), np.int32), changes)


_BYTES = np.dtype(np.uint8)
_CODES, _SUMS, _INDICES = np.dtype(np.int8), np.dtype(np.int32), np.dtype(np.int64)
_FLOATS = np.dtype(np.float32)
_GATES = {"relu2": row_kernels.relu2_gate_rows, "silu": row_kernels.silu_gate_rows}
# Bytes of a mapped file that are read before their memory is given back.
_READ_BYTES = 1 << 26
# What one element of a row-wise operator costs next to a multiply-add.
_ELEMENT_COST = 8
_ALL = slice(None)


def _check(name: str, array: NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Refuse an array a kernel was not written for."""
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(
            f"{name} is {array.dtype} {array.shape}, contiguous: {array.flags.c_contiguous}; "
            f"expected contiguous {dtype} {shape}"
        )


def quantise(x: Floats, threads: Threads, norm: Norm | None = None) -> Quantised:
    """Return int8 codes of float32 x [m, k], each row scaled by 127 / max(max|x|, 1e-5).

    Args:
        x: What to quantise.
        threads: They share rows.
        norm: Applied before, with the bytes of `rms_norm`.
    """
    m, k = x.shape
    _check("x", x, _FLOATS, (m, k))
    codes = np.empty((m, k), np.int8)
    scales = np.empty(m, np.float32)
    if norm is not None:
        _check("weight", norm.weight, _FLOATS, (k,))

    def rows(begin: int, end: int) -> None:
        operands = x[begin:end], codes[begin:end], scales[begin:end]
        if norm is None:
            row_kernels.quantise_rows(*operands)
        else:
            row_kernels.norm_quantise_rows(norm.weight, norm.epsilon, *operands)

    threads.split(rows, m, _ELEMENT_COST * x.size)
    return Quantised(codes, scales)


class TernaryMatrix:
    """Packed ternary weights, checked once and multiplied often."""

    def __init__(self, packed: NDArray[np.uint8], outputs: int, path: str | None = None) -> None:
        """Keep the weights as they lie.

        Args:
            packed: uint8 [outputs / 4 rounded up, k], C-contiguous, as in `TernaryWeight`; it may
                be a mapped file. k is at most 2**24.
            outputs: Rows of the matrix.
            path: One of `ternary_kernels.usable_paths`; by default the first.
        """
        self._quarter, self._inputs = packed.shape
        self._outputs = outputs
        self._way = ternary_kernels.PATHS[path or ternary_kernels.usable_paths()[0]]
        if self._inputs > ternary_kernels.MOST_INPUTS:
            most = ternary_kernels.MOST_INPUTS
            raise ValueError(f"{self._inputs} inputs: int32 sums hold {most}")
        quarter = -(-outputs // ternary_kernels.FIELDS)
        _check("packed", packed, _BYTES, (quarter, self._inputs))
        if 0 < self._inputs < self._way.step:
            packed = _pad_inputs(packed, self._way.step)
        # Read-only and no subclass, whatever came in: for numba a mapped file is no other type.
        self._packed = np.asarray(packed).view()
        self._packed.flags.writeable = False

    def multiply(self, codes: NDArray[np.int8], threads: Threads) -> NDArray[np.int32]:
        """Return the exact int32 sums [m, outputs] of int8 codes [m, k].

        The threads share rows when there are enough, outputs otherwise.
        """
        m, way, quarter = codes.shape[0], self._way, self._quarter
        _check("codes", codes, _CODES, (m, self._inputs))
        accumulators = np.zeros((m, self._outputs), np.int32)
        if accumulators.size == 0 or self._inputs == 0:
            return accumulators
        if self._inputs < way.step:
            codes = _pad_inputs(codes, way.step)
        arranged = ternary_kernels.arrange(codes, way)
        block = ternary_kernels.tokens_at_once(arranged, way)

        def part(rows: slice, begin: int, end: int) -> None:
            packed, sums = self._packed[begin:end], accumulators[rows]
            operands = codes[rows], arranged[rows], packed
            shape = begin, quarter, way.tokens, block, way.odd
            ternary_kernels.ternary_rows(*operands, *shape, sums)

        # A cheap step next to a float multiply-add: an eighth keeps small products on one thread.
        cost = m * self._inputs * self._outputs // 8
        if m >= 8 * threads.count:
            threads.split(lambda begin, end: part(slice(begin, end), 0, quarter), m, cost)
        else:
            threads.split(lambda begin, end: part(_ALL, begin, end), quarter, cost)
        return accumulators


def _pad_inputs(array: NDArray[Any], inputs: int) -> NDArray[Any]:
    """Return a matrix with columns of zeros behind its own."""
    padded = np.zeros((array.shape[0], inputs), array.dtype)
    padded[:, : array.shape[1]] = array
    return padded


def dequantise(
    accumulators: NDArray[np.int32],
    scales: Floats,
    weight_scale: np.float32,
    multiplies: bool,
    threads: Threads,
) -> Floats:
    """Return float32 [m, n]: acc / scale * weight_scale, or acc / (scale * weight_scale).

    Args:
        accumulators: int32 [m, n].
        scales: float32 [m], from `quantise`.
        weight_scale: The tensor's stored scale.
        multiplies: True for ``autobitlinear``, False for ``bitlinear``.
        threads: They share rows.
    """
    m, n = accumulators.shape
    _check("accumulators", accumulators, _SUMS, (m, n))
    _check("scales", scales, _FLOATS, (m,))
    out = np.empty((m, n), np.float32)

    def rows(begin: int, end: int) -> None:
        row_kernels.dequantise_rows(
            accumulators[begin:end], scales[begin:end], weight_scale, multiplies, out[begin:end]
        )

    threads.split(rows, m, _ELEMENT_COST * out.size)
    return out


def panels(weight: NDArray[Any], forget: Callable[[], None] | None = None) -> NDArray[Any]:
    """Lay a matrix [n, k] out as [n / 64 rounded up, k * 64] for `dense_gemm`, padded with zeros.

    Args:
        weight: float32, float16 or uint16 (bfloat16 patterns), as the result. It is read once from
            beginning to end, and may be mapped to a file.
        forget: Called now and then: what was read will not be read again.
    """
    n, k = weight.shape
    laid = np.empty((-(-n // PANEL), k * PANEL), weight.dtype)
    stack = laid.reshape(laid.shape[0], k, PANEL)
    between = max(_READ_BYTES // (PANEL * k * weight.itemsize), 1)
    for number, panel in enumerate(stack):
        block = weight[number * PANEL : (number + 1) * PANEL]
        panel[:, : block.shape[0]] = block.T
        panel[:, block.shape[0] :] = 0
        if forget is not None and number % between == 0:
            forget()
    return laid


def panel_rows(laid: NDArray[Any], rows: NDArray[np.int64]) -> Floats:
    """Return rows of the matrix that `panels` laid out, as float32 [len(rows), k]."""
    stack = laid.reshape(laid.shape[0], -1, PANEL)
    return np.ascontiguousarray(widen(stack[rows // PANEL, :, rows % PANEL]))


def dense_gemm(x: Floats, laid: NDArray[Any], outputs: int, threads: Threads) -> Floats:
    """Return float32 [m, outputs]: x [m, k] times a matrix laid out by `panels`, k ascending."""
    m, k = x.shape
    _check("x", x, _FLOATS, (m, k))
    _check("panels", laid, laid.dtype, (-(-outputs // PANEL), k * PANEL))
    out = np.empty((m, outputs), np.float32)

    def rows(begin: int, end: int) -> None:
        _multiply_panels(x[begin:end], laid, 0, out[begin:end])

    def columns(begin: int, end: int) -> None:
        _multiply_panels(x, laid[begin:end], begin, out)

    by_rows = m >= 16 * threads.count
    threads.split(rows if by_rows else columns, m if by_rows else laid.shape[0], m * k * outputs)
    return out


def _multiply_panels(x: Floats, laid: NDArray[Any], first: int, out: Floats) -> None:
    if laid.dtype == _FLOATS:
        kernels.dense_float32(x, laid, first, out)
    else:
        kernel = kernels.dense_words_row if x.shape[0] == 1 else kernels.dense_words
        kernel(x, laid.view(np.uint16), laid.dtype == np.float16, first, out)


def rms_norm(x: Floats, norm: Norm, threads: Threads) -> Floats:
    """Return x / sqrt(mean(x**2) + epsilon) * weight for every row of float32 x [m, n]."""
    m, k = x.shape
    _check("x", x, _FLOATS, (m, k))
    _check("weight", norm.weight, _FLOATS, (k,))
    out = np.empty(x.shape, np.float32)

    def rows(begin: int, end: int) -> None:
        row_kernels.rms_norm_rows(norm.weight, norm.epsilon, x[begin:end], out[begin:end])

    threads.split(rows, m, _ELEMENT_COST * x.size)
    return out


def rotate(
    x: Floats, positions: NDArray[np.int64], cosines: Floats, sines: Floats, threads: Threads
) -> None:
    """Rotate the heads of float32 x [m, heads * head_dim] in place.

    Args:
        x: Queries or keys.
        positions: int64 [m], where each row stands.
        cosines: float32 [more than any position, head_dim / 2], see `rope_tables`.
        sines: As cosines.
        threads: They share rows.
    """
    m, k = x.shape
    rows_held, half = cosines.shape
    _check("x", x, _FLOATS, (m, k))
    _check("positions", positions, _INDICES, (m,))
    _check("cosines", cosines, _FLOATS, (rows_held, half))
    _check("sines", sines, _FLOATS, (rows_held, half))
    if k % (2 * half) or (m and not 0 <= positions.min() <= positions.max() < rows_held):
        raise ValueError(f"rows of {k} or their positions do not fit tables {cosines.shape}")

    def rows(begin: int, end: int) -> None:
        row_kernels.rotate_rows(x[begin:end], positions[begin:end], cosines, sines)

    threads.split(rows, m, _ELEMENT_COST * x.size)


def append_positions(k: Floats, v: Floats, start: int, keys: Floats, values: Floats) -> None:
    """Write float32 k, v [batch * positions, kv_heads * head_dim] behind ``start`` positions.

    Args:
        k: Rotated keys, the positions of a batch row one after the other.
        v: Values, likewise.
        start: Positions held before.
        keys: As `attend` reads them; written.
        values: As `attend` reads them; written.
    """
    m, width = k.shape
    batch, kv_heads, blocks, _ = keys.shape
    d = width // kv_heads
    _check("k", k, _FLOATS, (m, kv_heads * d))
    _check("v", v, _FLOATS, (m, kv_heads * d))
    _check("keys", keys, _FLOATS, (batch, kv_heads, blocks, d * PANEL))
    _check("values", values, _FLOATS, (batch, kv_heads, -(-d // PANEL), blocks * PANEL * PANEL))
    if m % batch or start + m // batch > blocks * PANEL:
        raise ValueError(f"{m} rows behind {start} positions do not fit keys {keys.shape}")
    row_kernels.append_rows(k, v, start, keys, values)


def attend(
    q: Floats,
    keys: Floats,
    values: Floats,
    start: int,
    heads: int,
    threads: Threads,
    kept: Floats | ShareCounts | None = None,
) -> Floats:
    """Return causal attention, float32 [batch, positions, heads * head_dim].

    Args:
        q: Queries as the result; query i stands at position ``start + i``.
        keys: float32 [batch, kv_heads, c / 64, head_dim * 64], panels over c positions.
        values: float32 [batch, kv_heads, head_dim / 64 rounded up, c * 64].
        start: Positions before the first query; keys and values hold all up to the last query.
        heads: Query heads, a multiple of kv_heads.
        threads: They share (batch row, head) pairs.
        kept: Where given, float32 [batch, heads, positions, start + positions] that receives the
            probabilities on and below the diagonal, or, where start is 0, their counts, now zero.
    """
    batch, positions, width = q.shape
    d = width // heads
    kv_heads, context = keys.shape[1], keys.shape[2] * PANEL
    end = start + positions
    if end > context or heads * d != width or heads % kv_heads:
        raise ValueError(f"{heads} heads of {d}, {end} positions do not fit {keys.shape}")
    _check("q", q, _FLOATS, (batch, positions, width))
    _check("keys", keys, _FLOATS, (batch, kv_heads, context // PANEL, d * PANEL))
    _check("values", values, _FLOATS, (batch, kv_heads, -(-d // PANEL), context * PANEL))
    out = np.empty(q.shape, np.float32)
    probabilities, counted = np.empty((0, 0, 0, 0), np.float32), ShareCounts.zeros(0, 0, 0)
    if isinstance(kept, ShareCounts):
        counted = kept
        if start:
            raise ValueError(f"counts of a prompt behind {start} positions")
        _check("nonzero", kept.nonzero, _SUMS, (batch, heads, positions))
        _check("changes", kept.changes, _INDICES, (batch, heads, 2))
    elif kept is not None:
        probabilities = kept
        _check("kept", kept, _FLOATS, (batch, heads, positions, end))
    scale = np.float32(d**-0.5)

    def units(first: int, last: int) -> None:
        attention_kernels.attention_units(
            *(q, keys, values, start, heads, first, last, scale, out), probabilities, *counted
        )

    # Heads that share keys stay together where each has one query only.
    step = heads // kv_heads if positions == 1 else 1
    threads.split(units, batch * heads, 2 * q.size * end, step)
    return out


def gated(activation: str, gate: Floats, up: Floats, threads: Threads) -> Floats:
    """Return activation(gate) * up, float32 [m, n].

    Args:
        activation: ``relu2``, max(x, 0)**2, or ``silu``, x / (1 + exp(-x)).
        gate: float32 [m, n].
        up: float32 [m, n].
        threads: They share rows.
    """
    m, n = gate.shape
    _check("gate", gate, _FLOATS, (m, n))
    _check("up", up, _FLOATS, (m, n))
    out = np.empty(gate.shape, np.float32)
    kernel = _GATES[activation]

    def rows(begin: int, end: int) -> None:
        kernel(gate[begin:end], up[begin:end], out[begin:end])

    threads.split(rows, m, _ELEMENT_COST * gate.size)
    return out
