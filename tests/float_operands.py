"""Operands that make floating-point units go wrong: seeded, as bits.

Significands are dense, sparse or all ones; exponents ordinary, subnormal or extreme; and the sum
lies where it matters beside the product: far above, far below, cancelling it, or making a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from float_rationals import (
    FP32,
    SIGN,
    Format,
    Kind,
    Sum,
    decode,
    floor_log2,
    multiply,
    power,
    round_to_float32,
)


def number(rng: np.random.Generator, form: Format) -> int:
    """Draw the bits of a number, rarely a special one."""
    draw = rng.random()
    if draw < 0.03:
        return int(rng.choice(form.specials))
    top = (1 << form.exp) - 1
    if draw < 0.15:
        field = 0
    elif draw < 0.25:
        field = int(rng.choice([1, 2, top - 2, top - 1]))
    elif draw < 0.5:
        field = int(rng.integers(0, top))
    else:
        field = clipped(rng.normal(form.bias, 6), 0, top - 1)
    sign = int(rng.integers(2)) << (form.exp + form.man)
    return sign | field << form.man | fraction(rng, form.man)


def clipped(value: float, low: int, high: int) -> int:
    return min(max(int(value), low), high)


def fraction(rng: np.random.Generator, bits: int) -> int:
    """Draw a fraction: any, a few bits set, or a few bits not set."""
    draw = rng.random()
    if draw < 0.4:
        return int(rng.integers(1 << bits))
    few = sum({1 << int(rng.integers(bits)) for _ in range(rng.integers(3))})
    return few if draw < 0.8 else (1 << bits) - 1 - few


def beside(rng: np.random.Generator, value: Fraction) -> int:
    """Draw a float32 that meets ``value`` where rounding and cancellation are delicate."""
    if not value:
        return number(rng, FP32)
    draw = rng.random()
    if draw < 0.25:  # nearly or exactly cancels
        nearest = round_to_float32(-value)
        return max(nearest + int(rng.integers(-2, 3)), 0) & 0xFFFFFFFF
    magnitude = floor_log2(abs(value))
    if draw < 0.4:  # a few places lower, and takes from it
        near, negative = magnitude - int(rng.integers(7)), value > 0
        significand = 1 << 23 | int(rng.integers(1 << 23))
    else:
        reach = 3 if draw < 0.5 else 30 if draw < 0.9 else 60
        near, negative = magnitude + int(rng.integers(-reach, reach + 1)), rng.random() < 0.5
        significand = 1 << 23 | fraction(rng, 23)
    bits = round_to_float32(significand * power(near - 23))
    return bits | (SIGN if negative else 0)


def multiply_adds(form: Format, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw ``count`` operations of mac_float, by port."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        a, w = number(rng, form), number(rng, form)
        if rng.random() < 0.1:  # a single bit, as far down in the product as it can be
            a, w = 1, int(rng.integers(form.bias, 2 * form.bias + 1)) << form.man
        r = number(rng, FP32)
        kind = rng.random()
        step, reduce = int(kind < 0.9), int(0.8 < kind < 0.95)
        added = decode(r, FP32) if reduce else multiply(decode(a, form), decode(w, form))
        finite = added.kind is Kind.FINITE
        c = beside(rng, added.value) if finite and rng.random() < 0.8 else number(rng, FP32)
        rows.append((step, reduce, a, w, r, c))
    return _ports(rows)


def special_multiply_adds(form: Format) -> dict[str, np.ndarray]:
    """Return every special value with every other one, added to every special sum."""
    few = [0, 1, 0x00800000, 0x3F800000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC01234]
    sums = few + [bits | SIGN for bits in few]
    values = form.specials
    rows = [(1, 0, a, w, 0x7FC00000, c) for a in values for w in values for c in sums]
    rows += [(1, 1, values[0], values[-1], r, c) for r in FP32.specials for c in sums]
    rows += [(0, 0, a, values[-1], r, c) for a in values for r in sums for c in sums]
    return _ports(rows)


def _ports(rows: list[tuple[int, ...]]) -> dict[str, np.ndarray]:
    table = np.array(rows, np.int64).T
    return dict(zip(("step", "reduce", "a", "w", "r", "c"), table, strict=True))


def dots(form: Format, lanes: int, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw ``count`` operations of dot_float, by port: [count, lanes] each.

    A part has all kinds of numbers, a part ordinary ones (an alignment by 0 to 30 places), a part
    products that cancel each other, a few special values or infinities.
    """
    rng = np.random.default_rng(seed)
    a, w = (np.empty((count, lanes), np.int64) for _ in range(2))
    for row in range(count):
        spread = rng.choice([0.0, 2.0, 6.0])
        for lane in range(lanes):
            for operands in (a, w):
                if row % 20 == 0 and rng.random() < 0.5:
                    operands[row, lane] = int(rng.choice(form.specials))
                elif row % 4 == 0:
                    operands[row, lane] = number(rng, form)
                else:
                    field = clipped(rng.normal(form.bias, spread), 0, (1 << form.exp) - 2)
                    sign = int(rng.integers(2)) << (form.exp + form.man)
                    operands[row, lane] = sign | field << form.man | fraction(rng, form.man)
        if row % 4 == 1:  # the second half of the lanes takes the first half away again
            half = lanes // 2
            a[row, half : 2 * half] = a[row, :half] ^ (1 << (form.exp + form.man))
            w[row, half : 2 * half] = w[row, :half]
    share = rng.choice([0.3, 1.0, 1.0], (count, 1))
    infinite = ((1 << form.exp) - 1) << form.man
    for row in range(10, count, 20):
        signs = rng.integers(0, 2, lanes) << (form.exp + form.man)
        a[row] = np.where(rng.random(lanes) < 0.5, infinite | signs, a[row])
    valid = (rng.random((count, lanes)) < share).astype(np.int64)
    for row, lane in zip(*np.nonzero(valid == 0), strict=True):
        a[row, lane], w[row, lane] = number(rng, form), number(rng, form)
    return {"a": a, "w": w, "valid": valid}


def beside_sums(sums: Sequence[Fraction | None], seed: int) -> np.ndarray:
    """Draw a float32 for each sum, to be added to it."""
    rng = np.random.default_rng(seed)
    return np.array([beside(rng, exact or Fraction(0)) for exact in sums], np.int64)


def sums_of_dots(
    form: Format, lanes: int, window: int, count: int, seed: int = 0
) -> tuple[list[Sum], dict[str, np.ndarray]]:
    """Draw what dot_float could show, integers of any length, and the other ports of sum_float."""
    rng = np.random.default_rng(seed)
    bits = window + (lanes - 1).bit_length()
    sums, rows = [], []
    for _ in range(count):
        length = bits if rng.random() < 0.5 else int(rng.integers(0, bits + 1))
        integer = (1 << length) - 1 & (1 << length >> 1 | fraction(rng, max(length, 1)))
        integer = integer if rng.random() < 0.8 else 1
        integer = -integer if rng.random() < 0.5 else integer
        special = int(rng.integers(1, 4)) if rng.random() < 0.03 else 0
        exponent = clipped(rng.normal(2 * form.bias, 8), 2, 4 * form.bias)
        if rng.random() < 0.2:
            exponent = int(rng.integers(2, 4 * form.bias + 1))
        sums.append(Sum(special, exponent, integer, power(exponent - 2 * form.bias + 2 - window)))
        draw = rng.random()
        r = number(rng, FP32)
        added = decode(r, FP32).value if draw > 0.85 else sums[-1].value
        c = number(rng, FP32) if rng.random() < 0.2 else beside(rng, added)
        rows.append((int(draw < 0.9), int(draw > 0.85), r, c))
    table = np.array(rows, np.int64).T
    return sums, dict(zip(("add", "reduce", "r", "c"), table, strict=True))
