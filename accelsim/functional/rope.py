"""Rotary position tables with the same bytes everywhere.

The angle of pair i at position p is the float32 product of p and 1 / theta**(2 i / head_dim), both
rounded to float32 as the reference has it. Cosine and sine are evaluated in float64 with
multiplications and additions alone, one numpy call each: no library function, no instruction set
and no contraction can show in the float32 they are rounded to.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

from accelsim.functional.checkpoint_config import RopeScaling

# pi / 2 in three parts of at most 33 significant bits: a multiple below 2**20 of each is exact.
_HALF_PI = (1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21)


def rope_tables(
    head_dim: int, theta: float, positions: int, scaling: RopeScaling | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return cosines and sines, float32 [positions, head_dim / 2].

    Args:
        head_dim: Width of a head, even.
        theta: Base of the angles.
        positions: Rows, position 0 first.
        scaling: How angles are stretched.
    """
    turning = frequencies(head_dim, theta)
    if scaling is not None:
        turning = stretch(turning, scaling)
    angles = np.arange(positions, dtype=np.float32)[:, None] * turning
    cosine, sine = cosine_sine(angles.astype(np.float64))
    return cosine.astype(np.float32), sine.astype(np.float32)


def frequencies(head_dim: int, theta: float) -> NDArray[np.float32]:
    """Return 1 / theta**(2 i / head_dim), float32 [head_dim / 2]; every step rounded to float32."""
    exponents = np.arange(0, head_dim, 2).astype(np.float32) / np.float32(head_dim)
    with localcontext() as context:
        context.prec = 40
        base = Decimal(theta)
        powers = [float(base ** Decimal(float(exponent))) for exponent in exponents]
    return np.float32(1) / np.array(powers).astype(np.float32)


def stretch(turning: NDArray[np.float32], scaling: RopeScaling) -> NDArray[np.float32]:
    """Return frequencies for a longer context, as Llama 3.1 (arXiv 2407.21783) is configured.

    Args:
        turning: float32 [head_dim / 2], radians a position.
        scaling: Between its two wavelengths the factor fades from none to whole.
    """
    wavelength = np.float32(2 * math.pi) / turning
    low, high = np.float32(scaling.low_frequency), np.float32(scaling.high_frequency)
    factor = np.float32(scaling.factor)
    share = (np.float32(scaling.positions) / wavelength - low) / (high - low)
    between = (np.float32(1) - share) * (turning / factor) + share * turning
    whole = wavelength > np.float32(scaling.positions / scaling.low_frequency)
    kept = wavelength < np.float32(scaling.positions / scaling.high_frequency)
    return np.where(whole, turning / factor, np.where(kept, turning, between))


def cosine_sine(
    angle: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cosine and sine of angles 0 <= angle < 2**20, within 2e-16.

    The angle is reduced by a multiple of pi / 2 to |r| <= pi / 4; Taylor polynomials of degree 16
    and 17 leave less than 4e-17.
    """
    quarters = np.rint(angle * (2 / math.pi))
    r = angle
    for part in _HALF_PI:
        r = r - quarters * part
    square = r * r
    cosine = _polynomial(square, [(-1) ** n / math.factorial(2 * n) for n in range(9)])
    sine = r * _polynomial(square, [(-1) ** n / math.factorial(2 * n + 1) for n in range(9)])
    turn = quarters.astype(np.int64) % 4
    swapped = turn % 2 == 1
    return (
        np.where(swapped, sine, cosine) * np.where((turn == 1) | (turn == 2), -1.0, 1.0),
        np.where(swapped, cosine, sine) * np.where(turn >= 2, -1.0, 1.0),
    )


def _polynomial(x: NDArray[np.float64], coefficients: list[float]) -> NDArray[np.float64]:
    value = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value
