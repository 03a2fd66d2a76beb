"""Operations of IEEE 754 with the result in the operands' format, in exact rationals."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from float_operands import fraction, number
from float_rationals import FP32, NAN, Format, Kind, Number, decode, multiply, power

Bits = npt.NDArray[np.uint32]


def quiet_nan(form: Format) -> int:
    """Return the one NaN that the units give."""
    return (((2 << form.exp) - 1) << (form.man - 1)) & ~(1 << (form.exp + form.man))


def infinite(form: Format, negative: bool) -> int:
    return ((1 << form.exp) - 1) << form.man | negative << (form.exp + form.man)


def rounded(value: Fraction, form: Format, negative: bool) -> int:
    """Return the bits of the nearest number, ties to even; ``negative`` is the sign of a zero."""
    if not value:
        return negative << (form.exp + form.man)
    size = abs(value)
    least = 1 - form.bias - form.man
    ulp = max(_floor_log2(size) - form.man, least)
    # Fields of neighbouring exponents join: a rounded-up significand carries into the exponent.
    bits = ((ulp - least) << form.man) + round(size / power(ulp))
    return min(bits, infinite(form, False)) | (value < 0) << (form.exp + form.man)


def _floor_log2(value: Fraction) -> int:
    guess = value.numerator.bit_length() - value.denominator.bit_length()
    return guess if value >= power(guess) else guess - 1


def bits_of(result: Number, form: Format) -> int:
    if result.kind is Kind.NAN:
        return quiet_nan(form)
    if result.kind is Kind.INFINITE:
        return infinite(form, result.negative)
    return rounded(result.value, form, result.negative)


def add(a: int, b: int, form: Format) -> int:
    x, y = decode(a, form), decode(b, form)
    if x.kind is Kind.FINITE and y.kind is Kind.FINITE:
        return rounded(x.value + y.value, form, x.negative and y.negative)
    clash = x.kind is y.kind and x.negative != y.negative
    if Kind.NAN in (x.kind, y.kind) or clash:
        return quiet_nan(form)
    return infinite(form, x.negative if x.kind is Kind.INFINITE else y.negative)


def mul(a: int, b: int, form: Format) -> int:
    return bits_of(multiply(decode(a, form), decode(b, form)), form)


def div(a: int, b: int, form: Format) -> int:
    x, y = decode(a, form), decode(b, form)
    negative = x.negative != y.negative
    if Kind.NAN in (x.kind, y.kind) or x.kind is y.kind is Kind.INFINITE:
        return quiet_nan(form)
    if x.kind is Kind.INFINITE:
        return infinite(form, negative)
    if y.kind is Kind.INFINITE:
        return rounded(Fraction(0), form, negative)
    if not y.magnitude:
        return infinite(form, negative) if x.magnitude else quiet_nan(form)
    return bits_of(Number(negative, x.magnitude / y.magnitude), form)


OPERATIONS: dict[str, Callable[[int, int, Format], int]] = {"add": add, "mul": mul, "div": div}


def narrowed(bits: int, form: Format) -> int:
    """Return a float32 rounded to another format."""
    return bits_of(decode(bits, FP32), form)


def code_of(x: int, scale: int) -> int:
    """Return the int8 code of float32 x and scale: the product rounded to float32, then to int."""
    product = decode(mul(x, scale, FP32), FP32)
    if product == NAN:
        return 0
    if product.kind is Kind.INFINITE:
        return -128 if product.negative else 127
    return max(-128, min(127, round(product.value)))


def _just_above_half(form: Format) -> tuple[int, int]:
    """Return factors whose product exceeds half of the least subnormal by a far bit: 2**k + 1."""
    left, right, k = {10: (33, 993, 15), 7: (27, 19, 9), 23: (1539, 87211, 27)}[form.man]
    exponent = -form.bias - form.man - k
    factors = left * power(exponent // 2), right * power(exponent - exponent // 2)
    return rounded(factors[0], form, False), rounded(factors[1], form, False)


def pairs(form: Format, count: int, seed: int) -> tuple[Bits, Bits]:
    """Draw operands: any, of near exponents, nearly cancelling, and exact multiples."""
    rng = np.random.default_rng(seed)
    drawn = [(x, y) for x in form.specials for y in form.specials]
    drawn.append(_just_above_half(form))
    sign = 1 << (form.exp + form.man)
    while len(drawn) < count:
        a, b = number(rng, form), number(rng, form)
        kind = rng.integers(4)
        if kind == 1:
            field = (a >> form.man & ((1 << form.exp) - 1)) + int(rng.integers(-3, 4))
            field = min(max(field, 0), (1 << form.exp) - 2)
            b = int(rng.integers(2)) * sign | field << form.man | fraction(rng, form.man)
        elif kind == 2:
            b = (a ^ sign) + int(rng.integers(-2, 3)) & (2 * sign - 1)
        elif kind == 3:
            a = mul(b, form.bias << form.man | fraction(rng, form.man), form)
        drawn.append((a, b))
    table = np.array(drawn, np.int64)
    return table[:, 0].astype(np.uint32), table[:, 1].astype(np.uint32)
