"""What floating-point units have to compute, in exact rationals.

Numbers are taken apart from their bits, added and multiplied as fractions, and rounded once by
Python's ``round`` of a fraction, which takes ties to even. Nothing here knows how hardware does it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from fractions import Fraction
from typing import NamedTuple

INFINITE = 0x7F800000
QUIET_NAN = 0x7FC00000
SIGN = 1 << 31


@dataclass(frozen=True)
class Format:
    """A format of IEEE 754: bits of exponent field and fraction."""

    exp: int
    man: int

    @property
    def bits(self) -> int:
        return 1 + self.exp + self.man

    @property
    def bias(self) -> int:
        return (1 << (self.exp - 1)) - 1

    @property
    def specials(self) -> list[int]:
        """Zeros, least and largest subnormal, least and largest number, one, infinities, NaNs."""
        top = ((1 << self.exp) - 1) << self.man
        one = self.bias << self.man
        least = 1 << self.man
        positive = [0, 1, least - 1, least, least + 1, one, one + 1, top - 1, top, top + 1]
        positive.append(top + least // 2 + 3)
        return positive + [bits | 1 << (self.exp + self.man) for bits in positive]


FP16, BF16, FP32 = Format(5, 10), Format(8, 7), Format(8, 23)


class Kind(Enum):
    FINITE = auto()
    INFINITE = auto()
    NAN = auto()


class Number(NamedTuple):
    negative: bool
    magnitude: Fraction
    kind: Kind = Kind.FINITE

    @property
    def value(self) -> Fraction:
        return -self.magnitude if self.negative else self.magnitude


NAN = Number(False, Fraction(0), Kind.NAN)


@functools.cache
def power(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def fields(bits: int, form: Format) -> tuple[bool, int, int]:
    """Return sign, exponent field and fraction."""
    field, fraction = divmod(bits, 1 << form.man)
    negative, field = divmod(field, 1 << form.exp)
    return bool(negative), field, fraction


@functools.cache
def decode(bits: int, form: Format) -> Number:
    negative, field, fraction = fields(bits, form)
    if field == (1 << form.exp) - 1:
        return NAN if fraction else Number(negative, Fraction(0), Kind.INFINITE)
    significand = fraction + (min(field, 1) << form.man)
    return Number(negative, significand * power(max(field, 1) - form.bias - form.man))


def floor_log2(value: Fraction) -> int:
    """Return floor(log2) of a positive fraction whose denominator is a power of two."""
    return value.numerator.bit_length() - value.denominator.bit_length()


def round_to_float32(value: Fraction, *, zero: int = 0) -> int:
    """Return the bits of the nearest float32, ties to even; ``zero`` if the value is zero."""
    if not value:
        return zero
    ulp = max(floor_log2(abs(value)) - 23, -149)
    # Fields of neighbouring exponents join: a rounded-up significand carries into the exponent.
    bits = ((ulp + 149) << 23) + round(abs(value) / power(ulp))
    return min(bits, INFINITE) | (SIGN if value < 0 else 0)


def add(x: Number, c: Number) -> int:
    """Return the bits of x + c as a float32."""
    if Kind.NAN in (x.kind, c.kind):
        return QUIET_NAN
    infinite = {n.negative for n in (x, c) if n.kind is Kind.INFINITE}
    if infinite:
        negative = infinite.pop()
        return QUIET_NAN if infinite else INFINITE | (SIGN if negative else 0)
    return round_to_float32(x.value + c.value, zero=SIGN if x.negative and c.negative else 0)


def multiply(a: Number, w: Number) -> Number:
    if Kind.NAN in (a.kind, w.kind):
        return NAN
    negative = a.negative != w.negative
    if Kind.INFINITE in (a.kind, w.kind):
        zero = any(n.kind is Kind.FINITE and not n.magnitude for n in (a, w))
        return NAN if zero else Number(negative, Fraction(0), Kind.INFINITE)
    return Number(negative, a.magnitude * w.magnitude)


def multiply_add(form: Format, step: int, reduce: int, a: int, w: int, r: int, c: int) -> int:
    """Return what mac_float shows for these operands."""
    if reduce:
        return add(decode(r, FP32), decode(c, FP32))
    if step:
        return add(multiply(decode(a, form), decode(w, form)), decode(c, FP32))
    return c


class Sum(NamedTuple):
    """What dot_float shows: integer * unit, or a special value: 1 NaN, 2 infinite, 3 -infinite."""

    special: int
    exponent: int
    integer: int
    unit: Fraction

    @property
    def value(self) -> Fraction:
        return self.integer * self.unit

    @property
    def number(self) -> Number:
        if self.special:
            return (
                NAN if self.special == 1 else Number(self.special == 3, Fraction(0), Kind.INFINITE)
            )
        return Number(self.integer < 0, abs(self.value))


def products(
    form: Format, a: Sequence[int], w: Sequence[int], valid: Sequence[int]
) -> list[Number]:
    """Return the exact products of the valid lanes."""
    lanes = zip(a, w, valid, strict=True)
    return [multiply(decode(x, form), decode(y, form)) for x, y, count in lanes if count]


def product_exponent(form: Format, a: int, w: int) -> int:
    """Return the sum of two exponent fields, 1 for that of a subnormal; 0 if one is zero."""
    (_, left, left_fraction), (_, right, right_fraction) = fields(a, form), fields(w, form)
    if not (left + left_fraction and right + right_fraction):
        return 0
    return max(left, 1) + max(right, 1)


def fused_dot(
    form: Format, window: int, a: Sequence[int], w: Sequence[int], valid: Sequence[int]
) -> Sum:
    """Return the sum of products that are cut off, towards zero, below the window."""
    exact = products(form, a, w, valid)
    lanes = zip(a, w, valid, strict=True)
    exponent = max(product_exponent(form, x, y) if count else 0 for x, y, count in lanes)
    unit = power(exponent - 2 * form.bias + 2 - window)
    infinite = {n.negative for n in exact if n.kind is Kind.INFINITE}
    special = 0
    if any(n.kind is Kind.NAN for n in exact) or len(infinite) == 2:
        special = 1
    elif infinite:
        special = 3 if infinite.pop() else 2
    return Sum(special, exponent, sum(int(n.value / unit) for n in exact), unit)


def jammed(c: Fraction, place: Fraction) -> Fraction:
    """Return c cut off below ``place``, and half of it more if anything was cut off."""
    whole = int(abs(c) / place) * place
    if whole != abs(c):
        whole += place / 2
    return -whole if c < 0 else whole


def accumulate(t: Sum, c: int, first: int, window: int) -> int:
    """Return what sum_float shows for c + t.

    Args:
        first: Exponent of the first place that t has, whatever its value.
        window: From this place on, so many are kept of c.
    """
    running = decode(c, FP32)
    exponent = max(fields(c, FP32)[1], 1) - FP32.bias
    if t.integer and not t.special and running.kind is Kind.FINITE and first >= exponent:
        cut = jammed(running.value, power(first - window + 1))
        return round_to_float32(t.value + cut)
    return add(t.number, running)
