"""Compiled loops of narrow arithmetic: clamped sums, 16-bit lanes, blocks of 256 activations.

Call them through `narrow`, which checks shapes and dtypes; nothing is checked here. Weights are
packed as in `TernaryWeight`; a block of them is unpacked, used for every token, and dropped.
"""

from __future__ import annotations

import numpy as np

from accelsim.functional.kernels import F32, I8, I32, ONE, ROUND, U8, ZERO, Index
from accelsim.kernels import inner_kernel, kernel

# Packed rows side by side in a tile, and the outputs they hold.
TILE_ROWS = 16
TILE = 4 * TILE_ROWS
# bitnet.cpp's I2_S on AVX2: a register of 32 bytes, sums of 32 blocks of 128 weights between
# widenings. ggml: activations that share a scale.
REGISTER = 32
WIDENED_EVERY = 32 * 128
BLOCK = 256

_i8 = np.int8
_i16 = np.int16
_i32 = np.int32
_f32 = np.float32
_MASK = np.uint8(3)
_LARGEST_CODE = np.float32(127.0)


@inner_kernel
def _unpack_tile(packed: U8, first: Index, tile: I8) -> None:
    """Write the weights of packed rows first .. first + 16 to tile [k * 64].

    Element [k * 64 + i * 16 + j] is weight k of row first + j of quarter i; rows past the last are
    zero.
    """
    rows, k = packed.shape
    column = np.empty(TILE_ROWS, np.uint8)
    height = min(TILE_ROWS, rows - first)
    column[:] = np.uint8(0x55)
    for t in range(k):
        for j in range(height):
            column[j] = packed[first + j, t]
        w = tile[t * TILE : (t + 1) * TILE]
        for j in range(TILE_ROWS):
            byte = column[j]
            w[j] = _i8(byte & _MASK) - _i8(1)
            w[TILE_ROWS + j] = _i8((byte >> 2) & _MASK) - _i8(1)
            w[2 * TILE_ROWS + j] = _i8((byte >> 4) & _MASK) - _i8(1)
            w[3 * TILE_ROWS + j] = _i8(byte >> 6) - _i8(1)


@inner_kernel
def _clamped(total: np.int32, x: np.int32, w: np.int8, low: np.int32, high: np.int32) -> np.int32:
    """Return total + x * w, at least low and at most high."""
    wide = _i32(total + _i32(x * _i32(w)))
    return _i32(min(max(wide, low), high))


@kernel
def saturate_rows(
    codes: I8, packed: U8, first: int, last: int, low: np.int32, high: np.int32, sums: I32
) -> None:
    """Add codes [m, k] against packed rows first .. last, k ascending, clamped at every addition.

    sums int32 [m, outputs] receives the outputs of those rows.
    """
    m, k = codes.shape
    quarter = packed.shape[0]
    tile = np.empty(k * TILE, np.int8)
    running = np.empty(TILE, np.int32)
    whole = k // 4 * 4
    for row in range(first, last, TILE_ROWS):
        _unpack_tile(packed[:last], row, tile)
        for i in range(m):
            x = codes[i]
            running[:] = _i32(0)
            for t in range(0, whole, 4):
                x0, x1, x2, x3 = _i32(x[t]), _i32(x[t + 1]), _i32(x[t + 2]), _i32(x[t + 3])
                w = tile[t * TILE : (t + 4) * TILE]
                for j in range(TILE):
                    s = _clamped(running[j], x0, w[j], low, high)
                    s = _clamped(s, x1, w[TILE + j], low, high)
                    s = _clamped(s, x2, w[2 * TILE + j], low, high)
                    running[j] = _clamped(s, x3, w[3 * TILE + j], low, high)
            for t in range(whole, k):
                w = tile[t * TILE : (t + 1) * TILE]
                for j in range(TILE):
                    running[j] = _clamped(running[j], _i32(x[t]), w[j], low, high)
            _scatter(running, row, last, quarter, sums[i])


@inner_kernel
def _scatter(running: I32, row: Index, last: Index, quarter: Index, sums: I32) -> None:
    """Write a tile's sums to their outputs; what stands past the last row or output is dropped."""
    for i in range(4):
        for j in range(min(TILE_ROWS, last - row)):
            n = i * quarter + row + j
            if n < sums.shape[0]:
                sums[n] = running[i * TILE_ROWS + j]


@kernel
def prefix_extremes(codes: I8, packed: U8, first: int, last: int, extremes: I32) -> None:
    """Write the least and the greatest running sum of each tile of packed rows first .. last.

    codes int8 [m, k], k ascending; extremes int32 [packed rows, 2]: the row that starts a tile
    receives those of the tile, over all tokens; zero, where every sum starts, counts.
    """
    m, k = codes.shape
    tile = np.empty(k * TILE, np.int8)
    running = np.empty(TILE, np.int32)
    least = np.empty(TILE, np.int32)
    most = np.empty(TILE, np.int32)
    whole = k // 4 * 4
    for row in range(first, last, TILE_ROWS):
        _unpack_tile(packed[:last], row, tile)
        least[:] = _i32(0)
        most[:] = _i32(0)
        for i in range(m):
            x = codes[i]
            running[:] = _i32(0)
            for t in range(0, whole, 4):
                x0, x1, x2, x3 = _i32(x[t]), _i32(x[t + 1]), _i32(x[t + 2]), _i32(x[t + 3])
                w = tile[t * TILE : (t + 4) * TILE]
                for j in range(TILE):
                    a = _i32(running[j] + _i32(x0 * _i32(w[j])))
                    b = _i32(a + _i32(x1 * _i32(w[TILE + j])))
                    c = _i32(b + _i32(x2 * _i32(w[2 * TILE + j])))
                    d = _i32(c + _i32(x3 * _i32(w[3 * TILE + j])))
                    running[j] = d
                    least[j] = min(least[j], min(min(a, b), min(c, d)))
                    most[j] = max(most[j], max(max(a, b), max(c, d)))
            for t in range(whole, k):
                w = tile[t * TILE : (t + 1) * TILE]
                for j in range(TILE):
                    s = _i32(running[j] + _i32(_i32(x[t]) * _i32(w[j])))
                    running[j] = s
                    least[j] = min(least[j], s)
                    most[j] = max(most[j], s)
        extremes[row, 0] = least.min()
        extremes[row, 1] = most.max()


@inner_kernel
def _unpack_row(packed: U8, n: Index, weights: U8) -> None:
    """Write weight + 1 of output n to weights [k]."""
    quarter = packed.shape[0]
    row = packed[n % quarter]
    shift = np.uint8(2 * (n // quarter))
    for t in range(row.size):
        weights[t] = (row[t] >> shift) & _MASK


@kernel
def i2_s_outputs(codes: I8, packed: U8, first: int, last: int, sums: I32) -> None:
    """Write outputs first .. last of int32 sums [m, outputs] as bitnet.cpp's I2_S adds them.

    codes int8 [m, k], k a multiple of 128. Bytes j = 0 .. 31 of a register hold operands
    k = 32 * i + j; lane l of 16 adds bytes 2l and 2l + 1 of 128 registers, 256 products of
    code * (weight + 1), before it is widened. Cutting that sum down to 16 bits once gives what
    adding modulo 2**16 gives.
    """
    m, k = codes.shape
    weights = np.empty(k, np.uint8)
    lanes = np.empty(REGISTER, np.int32)
    totals = np.empty(m, np.int32)
    for i in range(m):
        total = _i32(0)
        for t in range(k):
            total = _i32(total + _i32(codes[i, t]))
        totals[i] = total
    for n in range(first, last):
        _unpack_row(packed, n, weights)
        for i in range(m):
            total = _i32(0)
            for begin in range(0, k, WIDENED_EVERY):
                lanes[:] = _i32(0)
                for t in range(begin, min(begin + WIDENED_EVERY, k), 2 * REGISTER):
                    x = codes[i, t : t + 2 * REGISTER]
                    w = weights[t : t + 2 * REGISTER]
                    for j in range(REGISTER):
                        s = _i32(lanes[j] + _i32(_i32(x[j]) * _i32(w[j])))
                        product = _i32(_i32(x[REGISTER + j]) * _i32(w[REGISTER + j]))
                        lanes[j] = _i32(s + product)
                for j in range(0, REGISTER, 2):
                    total = _i32(total + _i32(_i16(lanes[j] + lanes[j + 1])))
            sums[i, n] = total - totals[i]


@kernel
def quantise_blocks(x: F32, codes: I8, steps: F32) -> None:
    """Write int8 codes [m, k] of x [m, k] and the step [m, k / 256] of each block, as ggml's Q8_K.

    inverse = -127 / v, v the first value of largest magnitude; code = inverse * x, half to even,
    at most 127; step = 1 / inverse. A block of zeros, or of values so small that the inverse is
    infinite, gives zeros.
    """
    m, k = x.shape
    for i in range(m):
        for begin in range(0, k, BLOCK):
            block = x[i, begin : begin + BLOCK]
            largest = ZERO
            for t in range(BLOCK):
                if abs(block[t]) > abs(largest):
                    largest = block[t]
            inverse = -_LARGEST_CODE / largest
            known = largest != ZERO and not np.isinf(inverse)
            steps[i, begin // BLOCK] = ONE / inverse if known else ZERO
            for t in range(BLOCK):
                rounded = (block[t] * inverse + ROUND) - ROUND if known else ZERO
                codes[i, begin + t] = _i32(min(rounded, _LARGEST_CODE))


@kernel
def block_outputs(
    codes: I8, steps: F32, packed: U8, scale: np.float32, first: int, last: int, sums: I32, out: F32
) -> None:
    """Write outputs first .. last of float32 out [m, outputs] as ggml's TQ2_0 times Q8_K.

    Per block of 256 the exact sum, as float32, times (step * scale), float32; blocks ascending.
    sums int32 [m, outputs] receives the sum over all blocks of code * weight, without the steps.
    """
    m, k = codes.shape
    weights = np.empty(k, np.uint8)
    for n in range(first, last):
        _unpack_row(packed, n, weights)
        for i in range(m):
            total = _i32(0)
            y = ZERO
            for begin in range(0, k, BLOCK):
                x = codes[i, begin : begin + BLOCK]
                w = weights[begin : begin + BLOCK]
                part = _i32(0)
                for t in range(BLOCK):
                    part = _i32(part + _i32(_i32(x[t]) * _i32(_i32(w[t]) - _i32(1))))
                total = _i32(total + part)
                y = _f32(y + _f32(_f32(part) * _f32(steps[i, begin // BLOCK] * scale)))
            sums[i, n] = total
            out[i, n] = y


@kernel
def squares(exact: F32, narrow: F32) -> tuple[float, float]:
    """Return float64 sums of exact**2 and (narrow - exact)**2 over [m, n], row by row."""
    whole = 0.0
    error = 0.0
    for i in range(exact.shape[0]):
        for t in range(exact.shape[1]):
            e = np.float64(exact[i, t])
            d = np.float64(narrow[i, t]) - e
            whole += e * e
            error += d * d
    return whole, error
