"""Operands that make floating-point units go wrong: seeded, as bits.

Significands are dense, sparse or all ones; exponents ordinary, subnormal or extreme; and the sum
lies where it matters beside the product: far above, far below, cancelling it, or making a tie.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from float_rationals import (
    FP32,
    SIGN,
    Format,
    Kind,
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
        field = int(np.clip(rng.normal(form.bias, 6), 0, top - 1))
    sign = int(rng.integers(2)) << (form.exp + form.man)
    return sign | field << form.man | fraction(rng, form.man)


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
    reach = 3 if draw < 0.4 else 30 if draw < 0.9 else 60
    near = magnitude + int(rng.integers(-reach, reach + 1))
    significand = (1 << 23 | fraction(rng, 23)) * power(near - 23)
    bits = round_to_float32(significand) & ~SIGN
    return bits | SIGN * int(rng.integers(2))


def multiply_adds(form: Format, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw ``count`` operations of mac_float, by port."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        a, w = number(rng, form), number(rng, form)
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
    products that cancel each other.
    """
    rng = np.random.default_rng(seed)
    a, w = (np.empty((count, lanes), np.int64) for _ in range(2))
    for row in range(count):
        spread = rng.choice([0.0, 2.0, 6.0])
        for lane in range(lanes):
            for operands in (a, w):
                if row % 4 == 0:
                    operands[row, lane] = number(rng, form)
                else:
                    field = int(np.clip(rng.normal(form.bias, spread), 0, (1 << form.exp) - 2))
                    sign = int(rng.integers(2)) << (form.exp + form.man)
                    operands[row, lane] = sign | field << form.man | fraction(rng, form.man)
        if row % 4 == 1:  # the second half of the lanes takes the first half away again
            half = lanes // 2
            a[row, half : 2 * half] = a[row, :half] ^ (1 << (form.exp + form.man))
            w[row, half : 2 * half] = w[row, :half]
    valid = (rng.random((count, lanes)) < rng.choice([0.3, 1.0, 1.0], (count, 1))).astype(np.int64)
    return {"a": a, "w": w, "valid": valid}
