"""Compiled loops of the packings: a row block of codes 0, 1, 2 (weight plus one), a byte each.

Readers fill ``codes`` [rows, inputs] with rows ``begin``.. of a stored tensor and put 3 where a
code is invalid; writers do the reverse. `packings` states the layouts and checks shapes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels import kernel

Bytes = NDArray[np.uint8]
BLOCK = 256
TQ1_BYTES, TQ2_BYTES = 54, 66


@kernel
def has_invalid(packed: Bytes) -> bool:
    """Return whether any of the 2-bit codes in a flat array is 3."""
    found = np.uint8(0)
    for index in range(packed.size):
        found |= packed[index] & (packed[index] >> 1) & 0x55
    return found != 0


@kernel
def pack_rows(codes: Bytes, begin: int, packed: Bytes) -> bool:
    """Put rows of codes into the canonical form, which holds zeros there; return if any is 3."""
    quarter = packed.shape[0]
    found = np.uint8(0)
    for i in range(codes.shape[0]):
        row = (begin + i) % quarter
        factor = np.uint8(1 << (2 * ((begin + i) // quarter)))
        for k in range(codes.shape[1]):
            code = codes[i, k]
            found |= code & (code >> 1)
            packed[row, k] |= np.uint8(code * factor)
    return found != 0


@kernel
def unpack_rows(packed: Bytes, begin: int, codes: Bytes) -> None:
    """Fill codes [rows, inputs] with rows ``begin``.. of the canonical form."""
    quarter = packed.shape[0]
    for i in range(codes.shape[0]):
        row = (begin + i) % quarter
        lane = (begin + i) // quarter
        for k in range(codes.shape[1]):
            byte = packed[row, k]
            if lane == 0:
                codes[i, k] = byte & 3
            elif lane == 1:
                codes[i, k] = (byte >> 2) & 3
            elif lane == 2:
                codes[i, k] = (byte >> 4) & 3
            else:
                codes[i, k] = byte >> 6


@kernel
def read_crumbs(
    stored: Bytes, begin: int, group: int, low: int, step: int, gap: int, codes: Bytes
) -> None:
    """Read rows of 2-bit codes: a run of ``group`` bytes holds ``4 * group`` weights.

    Bits 2i..2i+1 of byte j of a run hold element ``low + i * step + j``; ``gap`` bytes follow every
    256 weights.
    """
    runs = codes.shape[1] // (4 * group)
    per_gap = BLOCK // (4 * group)
    row_bytes = runs * group + runs // per_gap * gap
    for i in range(codes.shape[0]):
        row = (begin + i) * row_bytes
        for run in range(runs):
            source = row + run * group + run // per_gap * gap
            target = 4 * group * run + low
            for j in range(group):
                byte = stored[source + j]
                codes[i, target + j] = byte & 3
                codes[i, target + step + j] = (byte >> 2) & 3
                codes[i, target + 2 * step + j] = (byte >> 4) & 3
                codes[i, target + 3 * step + j] = byte >> 6


@kernel
def write_crumbs(
    codes: Bytes, begin: int, group: int, low: int, step: int, gap: int, stored: Bytes
) -> None:
    """Write what `read_crumbs` reads; bytes in gaps are left alone."""
    runs = codes.shape[1] // (4 * group)
    per_gap = BLOCK // (4 * group)
    row_bytes = runs * group + runs // per_gap * gap
    for i in range(codes.shape[0]):
        row = (begin + i) * row_bytes
        for run in range(runs):
            target = row + run * group + run // per_gap * gap
            source = 4 * group * run + low
            for j in range(group):
                stored[target + j] = (
                    codes[i, source + j]
                    | codes[i, source + step + j] << 2
                    | codes[i, source + 2 * step + j] << 4
                    | codes[i, source + 3 * step + j] << 6
                )


@kernel
def read_tq1(stored: Bytes, begin: int, codes: Bytes) -> None:
    """Read rows of TQ1_0 blocks of 54 bytes: 48 bytes of 5 weights, 4 of 4, the scale."""
    blocks = codes.shape[1] // BLOCK
    for i in range(codes.shape[0]):
        for block in range(blocks):
            source = ((begin + i) * blocks + block) * TQ1_BYTES
            target = block * BLOCK
            _read_trits(stored, source, 32, 5, codes[i], target)
            _read_trits(stored, source + 32, 16, 5, codes[i], target + 160)
            _read_trits(stored, source + 48, 4, 4, codes[i], target + 240)


@kernel
def _read_trits(
    stored: Bytes, source: int, count: int, trits: int, codes: Bytes, target: int
) -> None:
    for n in range(trits):
        power = np.uint16(3**n)
        for j in range(count):
            rest = np.uint16(stored[source + j]) * power & np.uint16(255)
            codes[target + n * count + j] = np.uint8((rest * np.uint16(3)) >> np.uint16(8))


@kernel
def write_tq1(codes: Bytes, begin: int, stored: Bytes) -> None:
    """Write what `read_tq1` reads; the two bytes of a scale are left alone."""
    blocks = codes.shape[1] // BLOCK
    for i in range(codes.shape[0]):
        for block in range(blocks):
            target = ((begin + i) * blocks + block) * TQ1_BYTES
            source = block * BLOCK
            _write_trits(codes[i], source, 32, 5, stored, target)
            _write_trits(codes[i], source + 160, 16, 5, stored, target + 32)
            _write_trits(codes[i], source + 240, 4, 4, stored, target + 48)


@kernel
def _write_trits(
    codes: Bytes, source: int, count: int, trits: int, stored: Bytes, target: int
) -> None:
    for j in range(count):
        value = 0
        for n in range(5):
            value = 3 * value + (codes[source + n * count + j] if n < trits else 0)
        stored[target + j] = (value * 256 + 242) // 243


@kernel
def read_base3(stored: Bytes, begin: int, codes: Bytes) -> None:
    """Read codes [weights] from weight ``begin``, a multiple of 5: 5 a byte, the first times 81."""
    for word in range(-(-codes.size // 5)):
        byte = stored[begin // 5 + word]
        power = 81
        for index in range(5 * word, min(5 * word + 5, codes.size)):
            codes[index] = byte // power % 3 if byte < 243 else 3
            power //= 3


@kernel
def write_base3(codes: Bytes, begin: int, stored: Bytes) -> None:
    """Write what `read_base3` reads; what is left of the last byte holds the weight 0."""
    for word in range(-(-codes.size // 5)):
        value = 0
        for index in range(5 * word, 5 * word + 5):
            value = 3 * value + (codes[index] if index < codes.size else 1)
        stored[begin // 5 + word] = value
