"""Compiled loops over rows: norms, casts, rotation, cache, gate. Orders as in `kernels`."""

from __future__ import annotations

import numpy as np

from accelsim.functional.kernels import (
    F32,
    F64,
    I8,
    I32,
    I64,
    LANES,
    ONE,
    PANEL,
    ROUND,
    U8,
    ZERO,
    exponential,
    sum_lanes,
)
from accelsim.kernels import inner_kernel, kernel

_f32 = np.float32
_i32 = np.int32
_MAGNITUDE = np.int32(0x7FFFFFFF)
_SMALLEST = np.float32(1e-5)


@inner_kernel
def _normalise(row: F32, weight: F32, epsilon: np.float32, lanes: F32, out: F32) -> None:
    n = row.shape[0]
    whole = n // LANES * LANES
    lanes[:] = ZERO
    for t in range(0, whole, LANES):
        for j in range(LANES):
            lanes[j] += row[t + j] * row[t + j]
    for t in range(whole, n):
        lanes[t - whole] += row[t] * row[t]
    inverse = ONE / np.sqrt(sum_lanes(lanes) / _f32(n) + epsilon)
    for t in range(n):
        out[t] = (row[t] * inverse) * weight[t]


@inner_kernel
def _quantise(row: F32, codes: I8, scale: F32) -> None:
    # Of floats without their sign the larger has the larger pattern, and an integer maximum is
    # found in any order. A value that is no number is above all and makes the factor none either.
    bits = row.view(np.int32)
    top = _i32(0)
    for t in range(bits.shape[0]):
        top = max(top, _i32(bits[t] & _MAGNITUDE))
    scale.view(np.int32)[0] = top
    largest = scale[0]
    factor = _f32(127.0) / (_SMALLEST if largest < _SMALLEST else largest)
    for t in range(row.shape[0]):
        rounded = (row[t] * factor + ROUND) - ROUND
        codes[t] = _i32(min(max(rounded, _f32(-128.0)), _f32(127.0)))
    scale[0] = factor


@kernel
def rms_norm_rows(weight: F32, epsilon: np.float32, x: F32, out: F32) -> None:
    """Write x / sqrt(mean(x**2) + epsilon) * weight, per row of float32 x [m, n]."""
    lanes = np.empty(LANES, np.float32)
    for i in range(x.shape[0]):
        _normalise(x[i], weight, epsilon, lanes, out[i])


@kernel
def quantise_rows(x: F32, codes: I8, scales: F32) -> None:
    """Write int8 codes [m, k] of float32 x [m, k] and the factor 127 / max|x| of each row."""
    for i in range(x.shape[0]):
        _quantise(x[i], codes[i], scales[i : i + 1])


@kernel
def norm_quantise_rows(weight: F32, epsilon: np.float32, x: F32, codes: I8, scales: F32) -> None:
    """Do as `quantise_rows` with what `rms_norm_rows` would write."""
    lanes = np.empty(LANES, np.float32)
    normed = np.empty(x.shape[1], np.float32)
    for i in range(x.shape[0]):
        _normalise(x[i], weight, epsilon, lanes, normed)
        _quantise(normed, codes[i], scales[i : i + 1])


@kernel
def dequantise_rows(
    accumulators: I32, scales: F32, weight_scale: np.float32, multiplies: bool, out: F32
) -> None:
    """Write acc / scale * weight_scale, or acc / (scale * weight_scale), as float32 [m, n]."""
    m, n = accumulators.shape
    for i in range(m):
        if multiplies:
            scale = scales[i]
            for t in range(n):
                out[i, t] = _f32(accumulators[i, t]) / scale * weight_scale
        else:
            scale = scales[i] * weight_scale
            for t in range(n):
                out[i, t] = _f32(accumulators[i, t]) / scale


@kernel
def rotate_rows(x: F32, positions: I64, cosines: F32, sines: F32) -> None:
    """Rotate every head of x [m, heads * d] in place; row i stands at positions[i], int64.

    cosines, sines [positions, d / 2]. Elements j and j + d / 2 of a head form a pair.
    """
    m, width = x.shape
    half = cosines.shape[1]
    for i in range(m):
        cosine = cosines[positions[i]]
        sine = sines[positions[i]]
        for head in range(0, width, 2 * half):
            low = x[i, head : head + half]
            high = x[i, head + half : head + 2 * half]
            for j in range(half):
                a = low[j]
                b = high[j]
                low[j] = a * cosine[j] - b * sine[j]
                high[j] = b * cosine[j] + a * sine[j]


@kernel
def append_rows(k: F32, v: F32, start: int, keys: F32, values: F32) -> None:
    """Write k, v [b * p, kv_heads * d] at positions start .. start + p of the cache's panels.

    keys [b, kv_heads, c / 64, d * 64]; values [b, kv_heads, d / 64 rounded up, c * 64].
    """
    m, width = k.shape
    batch, heads = keys.shape[:2]
    count = m // batch
    d = width // heads
    for i in range(m):
        row = i // count
        at = start + i % count
        for head in range(heads):
            panel = keys[row, head, at // PANEL]
            for j in range(d):
                panel[j * PANEL + at % PANEL] = k[i, head * d + j]
                values[row, head, j // PANEL, at * PANEL + j % PANEL] = v[i, head * d + j]


@kernel
def relu2_gate_rows(gate: F32, up: F32, out: F32) -> None:
    """Write max(gate, 0)**2 * up, float32 [m, n]."""
    m, n = gate.shape
    for i in range(m):
        for t in range(n):
            positive = max(gate[i, t], ZERO)
            out[i, t] = (positive * positive) * up[i, t]


@kernel
def silu_gate_rows(gate: F32, up: F32, out: F32) -> None:
    """Write gate / (1 + exp(-gate)) * up, float32 [m, n]; exp as in `kernels.exponentials`.

    exp(-|gate|) is at most 1, so nothing overflows.
    """
    m, n = gate.shape
    powers = np.empty(n, np.int32)
    scale = powers.view(np.float32)
    for i in range(m):
        for t in range(n):
            out[i, t] = exponential(-abs(gate[i, t]), powers, t)
        for t in range(n):
            shrunk = out[i, t] * scale[t]
            share = ONE if gate[i, t] >= ZERO else shrunk
            out[i, t] = gate[i, t] * (share / (ONE + shrunk)) * up[i, t]


@kernel
def add_magnitudes(x: F32, lanes: F64) -> None:
    """Add |x| of float32 x [n] to 16 float64 lanes, element j to lane j % 16, ascending."""
    whole = x.shape[0] // LANES * LANES
    for t in range(0, whole, LANES):
        for j in range(LANES):
            lanes[j] += np.float64(abs(x[t + j]))
    for t in range(whole, x.shape[0]):
        lanes[t - whole] += np.float64(abs(x[t]))


@kernel
def pack_ternary_rows(x: F32, factor: np.float32, first: int, quarter: int, packed: U8) -> None:
    """Set weights first .. first + r of packed [quarter, k] to clamp(round(x * factor), -1, 1).

    x float32 [r, k]; packed as in `TernaryWeight`, these weights 0 before.
    """
    for i in range(x.shape[0]):
        row = packed[(first + i) % quarter]
        shift = _i32(2 * ((first + i) // quarter))
        for t in range(x.shape[1]):
            scaled = min(max(x[i, t] * factor, -ONE), ONE)
            weight = _i32((scaled + ROUND) - ROUND)
            # The code 01 of weight 0 becomes 00 for -1, so 01 changes, and 10 for +1: 11 changes.
            change = _i32(_i32(weight != _i32(0)) + _i32(2) * _i32(weight > _i32(0)))
            row[t] ^= np.uint8(change << shift)
