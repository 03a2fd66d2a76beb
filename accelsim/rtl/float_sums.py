"""Floating-point arithmetic of the PEs, to the bit: each result is exact and rounded once.

float64 holds what float32 units add: a product of two operands, a window of aligned products. Where
a sum of two float64 is not exact, its last bit is made to tell so (rounding to odd) before it is
rounded to float32, which is then the same as rounding the exact sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# Bits of the exponent field and of the fraction.
FIELDS = {"fp16": (5, 10), "bf16": (8, 7), "fp32": (8, 23)}
_GUARDED = 27  # least bits that sum_float keeps of a sum


def float_bits(values: npt.NDArray[np.generic], form: str) -> Bits:
    """Return values rounded to a format of ``FIELDS``, to nearest even, as its bits."""
    if form == "fp16":
        return values.astype(np.float16).view(np.uint16).astype(np.int64)
    bits = values.astype(np.float32).view(np.uint32).astype(np.int64)
    if form == "fp32":
        return bits
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def float_values(bits: Bits, form: str) -> Float64:
    """Return what the bits of a format stand for."""
    if form == "fp16":
        return bits.astype(np.uint16).view(np.float16).astype(np.float64)
    wide = bits << 16 if form == "bf16" else bits
    return wide.astype(np.uint32).view(np.float32).astype(np.float64)


def add_rounded_once(x: Float64, y: Float64) -> Float32:
    """Return x + y as the nearest float32, ties to even, of finite numbers."""
    total = x + y
    tail = total - x
    error = (x - (total - tail)) + (y - tail)  # exact: what total misses
    even = total.view(np.int64) & 1 == 0
    odd = np.nextafter(total, np.copysign(np.inf, error))
    return np.where((error != 0) & even, odd, total).astype(np.float32)


@dataclass(frozen=True)
class MultiplyAdd:
    """A product is added to a float32 and rounded once, as ``mac_float.sv`` does."""

    form: str

    def zero(self, shape: tuple[int, int]) -> Float32:
        """Return sums [m, n] before the first step."""
        return np.zeros(shape, dtype=np.float32)

    def step(self, sums: Float32, activations: Bits, weights: Bits) -> Float32:
        """Return sums after the product of activations [m, 1] and weights [1, n]."""
        product = float_values(activations, self.form) * float_values(weights, self.form)
        return add_rounded_once(product, sums.astype(np.float64))

    def add(self, one: Float32, other: Float32) -> Float32:
        """Return two sums added up."""
        return one + other

    def bits(self, sums: Float32) -> Bits:
        """Return the bits of the sums."""
        return sums.view(np.uint32).astype(np.int64)


@dataclass(frozen=True)
class FusedDot(MultiplyAdd):
    """Products are cut to a window below the largest and added, as ``dot_float.sv`` does.

    The running sum joins them as ``sum_float.sv`` says: what of it lies below its own window counts
    as half a unit of the first place that is cut off.
    """

    lanes: int

    def step(self, sums: Float32, activations: Bits, weights: Bits) -> Float32:
        """Return sums after a step of activations [m, lanes] and weights [lanes, n]."""
        levels = (self.lanes - 1).bit_length()
        window = 26 + levels
        left, right = (_exponents(bits, self.form) for bits in (activations, weights))
        products = (
            float_values(activations, self.form)[:, :, None]
            * float_values(weights, self.form)[None]
        )
        fields = np.where(products != 0, left[:, :, None] + right[None], 0).max(axis=1)
        bias = (1 << (FIELDS[self.form][0] - 1)) - 1
        unit = np.ldexp(1.0, fields - 2 * bias + 2 - window)
        whole = np.trunc(products / unit[:, None]).sum(axis=1) + 0.0
        highest = fields - 2 * bias + 1 + levels
        kept = max(window + levels, _GUARDED)
        return _join(whole * unit, sums, highest, kept)


def _exponents(bits: Bits, form: str) -> Bits:
    """Return exponent fields; a subnormal counts as 1."""
    exponent, fraction = FIELDS[form]
    fields: Bits = bits >> fraction & ((1 << exponent) - 1)
    return np.maximum(fields, 1)


def _join(total: Float64, sums: Float32, highest: Bits, kept: int) -> Float32:
    """Return total + sums; ``highest`` is the exponent of the first of ``kept`` places."""
    running = sums.astype(np.float64)
    place = np.ldexp(1.0, highest - kept + 1)
    whole = np.trunc(running / place)
    jammed = (whole + np.where(whole * place != running, np.copysign(0.5, running), 0.0)) * place
    own = _exponents(sums.view(np.uint32).astype(np.int64) & 0x7FFFFFFF, "fp32") - 127
    windowed = (total != 0) & (highest >= own)
    return np.where(windowed, (total + jammed).astype(np.float32), add_rounded_once(total, running))
