"""Compiled loops of the functional model: exact integers, and floats in one stated order.

Call them through `operators`, which checks shapes and dtypes; nothing is checked here.

Order of additions, the same on every CPU and for any number of threads:

* products of matrices, float32: per output, k ascending from 0, product rounded before it is added;
* sums of squares and of exponentials: lane j of 16 adds elements j, j + 16, j + 32, ... ascending;
  then lanes 8..15 are added to 0..7, 4..7 to 0..3, 2..3 to 0..1, 1 to 0;
* integers: exact, so their order is free.

A *panel* holds 64 outputs of a float matrix side by side: element [k * 64 + j] multiplies operand k
of output j. Loops run over the 64 outputs inside and over k outside, which vectorises without
touching the order of any sum.
"""

# numba and llvmlite carry no types.
# mypy: disable-error-code="no-untyped-call, import-untyped"

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from accelsim.kernels import inner_kernel, kernel

PANEL = 64
LANES = 16
# 16-bit words between what is read and what is asked for.
_AHEAD = 1024
# Inputs of one panel that are multiplied before it is the other's turn.
_TURN = 16
_I8, _I16, _I32, _I64 = (ir.IntType(width) for width in (8, 16, 32, 64))

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I8 = NDArray[np.int8]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
U32 = NDArray[np.uint32]
Index = int | np.int64

_i32 = np.int32
# Not a literal 0, for which numba would compile its users a second time.
_FIRST = np.int64(0)
ZERO = np.float32(0.0)
ONE = np.float32(1.0)
_HALF_UNIT = np.float32(2.0**112)

# 1.5 * 2**23: added to |x| < 2**22 and taken off again, it rounds x to an integer, halves to even.
ROUND = np.float32(12582912.0)
_LOG2_E = np.float32(math.log2(math.e))
# ln 2 in two parts; the first has 9 significant bits, so n * _LN2_HIGH is exact for |n| < 2**15.
_LN2_HIGH = np.float32(355 / 512)
_LN2_LOW = np.float32(math.log(2) - 355 / 512)
# Below this, exp is far under the smallest normal float32 and becomes zero.
_EXP_LOWEST = np.float32(-104.0)
_E2, _E3, _E4, _E5, _E6, _E7 = (np.float32(1 / math.factorial(n)) for n in range(2, 8))


def prefetch(builder: ir.IRBuilder, place: ir.Value) -> None:
    """Ask for the cache line at a byte; hardware stops asking ahead at the pages of mapped files.

    "Convergent" forbids LLVM to unroll the loop around it, for which registers do not suffice.
    """
    kind = ir.FunctionType(ir.VoidType(), [place.type, _I32, _I32, _I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [place, _I32(0), _I32(3), _I32(1)], attrs=("convergent",))


@inner_kernel
def add_four(
    sums: F32, a: F32, b: F32, c: F32, d: F32, panel: F32, k_begin: Index, k_end: Index
) -> None:
    """Add k_begin <= k < k_end of operand rows a, b, c, d times a panel to sums [4 * 64]."""
    k = k_begin
    while k + 4 <= k_end:
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        c0, c1, c2, c3 = c[k], c[k + 1], c[k + 2], c[k + 3]
        d0, d1, d2, d3 = d[k], d[k + 1], d[k + 2], d[k + 3]
        w = panel[k * PANEL : (k + 4) * PANEL]
        for j in range(PANEL):
            w0, w1, w2, w3 = w[j], w[PANEL + j], w[2 * PANEL + j], w[3 * PANEL + j]
            sums[j] = (((sums[j] + a0 * w0) + a1 * w1) + a2 * w2) + a3 * w3
            sums[PANEL + j] = (((sums[PANEL + j] + b0 * w0) + b1 * w1) + b2 * w2) + b3 * w3
            sums[2 * PANEL + j] = (((sums[2 * PANEL + j] + c0 * w0) + c1 * w1) + c2 * w2) + c3 * w3
            sums[3 * PANEL + j] = (((sums[3 * PANEL + j] + d0 * w0) + d1 * w1) + d2 * w2) + d3 * w3
        k += 4
    while k < k_end:
        a0, b0, c0, d0 = a[k], b[k], c[k], d[k]
        w = panel[k * PANEL : (k + 1) * PANEL]
        for j in range(PANEL):
            w0 = w[j]
            sums[j] += a0 * w0
            sums[PANEL + j] += b0 * w0
            sums[2 * PANEL + j] += c0 * w0
            sums[3 * PANEL + j] += d0 * w0
        k += 1


@inner_kernel
def add_one(sums: F32, a: F32, panel: F32, k_begin: Index, k_end: Index) -> None:
    """Add k_begin <= k < k_end of operand row a times a panel to sums [64]."""
    k = k_begin
    while k + 8 <= k_end:
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        a4, a5, a6, a7 = a[k + 4], a[k + 5], a[k + 6], a[k + 7]
        w = panel[k * PANEL : (k + 8) * PANEL]
        for j in range(PANEL):
            s = ((sums[j] + a0 * w[j]) + a1 * w[PANEL + j]) + a2 * w[2 * PANEL + j]
            s = ((s + a3 * w[3 * PANEL + j]) + a4 * w[4 * PANEL + j]) + a5 * w[5 * PANEL + j]
            sums[j] = (s + a6 * w[6 * PANEL + j]) + a7 * w[7 * PANEL + j]
        k += 8
    while k < k_end:
        a0 = a[k]
        w = panel[k * PANEL : (k + 1) * PANEL]
        for j in range(PANEL):
            sums[j] += a0 * w[j]
        k += 1


@inner_kernel
def _multiply_panel(x: F32, panel: F32, first: int, out: F32) -> None:
    """Write columns first .. first + 64 of out [m, n]: x [m, k] times one panel [k * 64]."""
    m, k = x.shape
    width = min(PANEL, out.shape[1] - first)
    sums = np.empty(4 * PANEL, np.float32)
    i = 0
    while i < m:
        rows = 4 if i + 4 <= m else 1
        sums[: rows * PANEL] = ZERO
        if rows == 4:
            add_four(sums, x[i], x[i + 1], x[i + 2], x[i + 3], panel, _FIRST, k)
        else:
            add_one(sums[:PANEL], x[i], panel, _FIRST, k)
        for r in range(rows):
            for j in range(width):
                out[i + r, first + j] = sums[r * PANEL + j]
        i += rows


@kernel
def dense_float32(x: F32, panels: F32, first: int, out: F32) -> None:
    """Multiply x [m, k] by panels [p, k * 64] into columns from 64 * first of out [m, n]."""
    for p in range(panels.shape[0]):
        _multiply_panel(x, panels[p], (first + p) * PANEL, out)


@inner_kernel
def _widen(words: U16, half: bool, bits: U32) -> None:
    """Write the float32 patterns of float16 words, where ``half``, or bfloat16 words [n]; exact.

    Exponent and mantissa of a float16, moved to their places, read 2**112 times too small.
    """
    if half:
        floats = bits.view(np.float32)
        for t in range(words.shape[0]):
            bits[t] = (np.uint32(words[t]) & np.uint32(0x7FFF)) << np.uint32(13)
        for t in range(words.shape[0]):
            floats[t] *= _HALF_UNIT
        for t in range(words.shape[0]):
            bits[t] |= (np.uint32(words[t]) & np.uint32(0x8000)) << np.uint32(16)
    else:
        for t in range(words.shape[0]):
            bits[t] = np.uint32(words[t]) << np.uint32(16)


@kernel
def dense_words(x: F32, panels: U16, half: bool, first: int, out: F32) -> None:
    """Do as `dense_float32`, with panels uint16 [p, k * 64] of float16 or bfloat16 patterns."""
    bits = np.empty(panels.shape[1], np.uint32)
    widened = bits.view(np.float32)
    for p in range(panels.shape[0]):
        _widen(panels[p], half, bits)
        _multiply_panel(x, widened, (first + p) * PANEL, out)


def _emit_widen(builder: ir.IRBuilder, words: ir.Value, half: bool) -> ir.Value:
    """Emit `_widen` of one vector."""

    def all_of(number: int) -> ir.Constant:
        return ir.Constant(bits, [number] * PANEL)

    floats, bits = (ir.VectorType(kind, PANEL) for kind in (ir.FloatType(), _I32))
    wide = builder.zext(words, bits)
    if not half:
        return builder.bitcast(builder.shl(wide, all_of(16)), floats)
    magnitude = builder.shl(builder.and_(wide, all_of(0x7FFF)), all_of(13))
    unit = ir.Constant(floats, [float(_HALF_UNIT)] * PANEL)
    scaled = builder.fmul(builder.bitcast(magnitude, floats), unit)
    sign = builder.shl(builder.and_(wide, all_of(0x8000)), all_of(16))
    return builder.bitcast(builder.or_(builder.bitcast(scaled, bits), sign), floats)


def _multiply_words(half: bool) -> Any:
    """Return a function that adds x [k] times k rows of a panel [k * 64] to sums float32 [64].

    The panel holds 16-bit words. The sums stay in registers, which numba's arrays do not.
    """

    @intrinsic
    def multiply(typing: Any, x: Any, words: Any, sums: Any) -> Any:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
            arrays = [
                context.make_array(kind)(context, builder, value)
                for kind, value in zip(signature.args, values, strict=True)
            ]
            floats, halves, bits = (
                ir.VectorType(kind, PANEL) for kind in (ir.FloatType(), _I16, _I32)
            )
            out = builder.bitcast(arrays[2].data, floats.as_pointer())
            total = cgutils.alloca_once_value(builder, builder.load(out, align=4))
            count = cgutils.unpack_tuple(builder, arrays[0].shape)[0]
            with cgutils.for_range(builder, count) as loop:
                place = builder.gep(arrays[1].data, [builder.mul(loop.index, _I64(PANEL))])
                for line in range(0, 2 * PANEL, 64):
                    ahead = builder.gep(place, [_I64(_AHEAD + line // 2)])
                    prefetch(builder, builder.bitcast(ahead, _I8.as_pointer()))
                stored = builder.load(builder.bitcast(place, halves.as_pointer()), align=2)
                operand = builder.load(builder.gep(arrays[0].data, [loop.index]))
                one = builder.insert_element(ir.Constant(floats, ir.Undefined), operand, _I32(0))
                spread = builder.shuffle_vector(one, one, ir.Constant(bits, [0] * PANEL))
                product = builder.fmul(_emit_widen(builder, stored, half), spread)
                builder.store(builder.fadd(builder.load(total), product), total)
            builder.store(builder.load(total), out, align=4)
            return context.get_dummy_value()

        return types.void(x, words, sums), emit

    return multiply


_multiply_float16 = _multiply_words(True)
_multiply_bfloat16 = _multiply_words(False)


@kernel
def dense_words_row(x: F32, panels: U16, half: bool, first: int, out: F32) -> None:
    """Do as `dense_words` for x [1, k]."""
    count, k = panels.shape[0], x.shape[1]
    apart = (count + 1) // 2
    sums = np.empty((2, PANEL), np.float32)
    for p in range(apart):
        # Two panels take turns: memory that is read in two places comes faster.
        both = 2 if p + apart < count else 1
        sums[:] = ZERO
        for t in range(0, k, _TURN):
            end = min(t + _TURN, k)
            for which in range(both):
                words = panels[p + which * apart, t * PANEL : end * PANEL]
                if half:
                    _multiply_float16(x[0, t:end], words, sums[which])
                else:
                    _multiply_bfloat16(x[0, t:end], words, sums[which])
        for which in range(both):
            column = (first + p + which * apart) * PANEL
            for j in range(min(PANEL, out.shape[1] - column)):
                out[0, column + j] = sums[which, j]


@inner_kernel
def sum_lanes(lanes: F32) -> np.float32:
    """Add 16 lanes in the fixed tree."""
    half = LANES // 2
    while half > 0:
        for j in range(half):
            lanes[j] += lanes[j + half]
        half //= 2
    total: np.float32 = lanes[0]
    return total


@inner_kernel
def exponential(x: np.float32, powers: I32, t: Index) -> np.float32:
    """Return exp(x) / 2**n of x <= 0 and write the pattern of the float32 2**n to powers[t].

    exp(r + n ln 2) = 2**n exp(r) with |r| <= ln 2 / 2 and the Taylor polynomial of degree 7, whose
    remainder is below 6e-9 of the value. Under 2**-126 the power is zero. The product is left to
    the caller: a loop of its own vectorises.
    """
    y = max(x, _EXP_LOWEST)
    n = (y * _LOG2_E + ROUND) - ROUND
    r = (y - n * _LN2_HIGH) - n * _LN2_LOW
    p = ((((_E7 * r + _E6) * r + _E5) * r + _E4) * r + _E3) * r + _E2
    powers[t] = max(_i32(_i32(n) + _i32(127)), _i32(0)) << _i32(23)
    return (p * r) * r + r + ONE


@kernel
def exponentials(x: F32, largest: np.float32, powers: I32) -> np.float32:
    """Replace x [n] <= largest by exp(x - largest) and return the sum in the 16-lane order.

    powers int32 [>= n] is overwritten.
    """
    scale = powers.view(np.float32)
    for t in range(x.shape[0]):
        x[t] = exponential(x[t] - largest, powers, t)
    for t in range(x.shape[0]):
        x[t] *= scale[t]
    lanes = np.zeros(LANES, np.float32)
    whole = x.shape[0] // LANES * LANES
    for t in range(0, whole, LANES):
        for j in range(LANES):
            lanes[j] += x[t + j]
    for t in range(whole, x.shape[0]):
        lanes[t - whole] += x[t]
    return sum_lanes(lanes)
