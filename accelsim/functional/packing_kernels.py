"""Compiled loops of the packings: a row block of codes 0, 1, 2 (weight plus one), a byte each.

Readers fill ``codes`` [rows, inputs] with rows ``begin``.. of a stored tensor and put 3 where a
code is invalid; writers do the reverse. Movers do either, to or from the bytes of these rows alone.
`packings` states the layouts and checks shapes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels import inner_kernel, kernel

Bytes = NDArray[np.uint8]
BLOCK = 256
TQ1_BYTES, TQ2_BYTES = 54, 66


@kernel
def has_invalid(packed: Bytes) -> bool:
    """Return whether any of the 2-bit codes in a flat array is 3."""
    found = np.uint8(0)
    for index in range(packed.size):
        code = packed[index]
        found = np.uint8(found | np.uint8(code & (code >> 1) & 0x55))
    return bool(found != 0)


@kernel
def pack_rows(codes: Bytes, begin: int, packed: Bytes) -> bool:
    """Put rows of codes into the canonical form, which holds zeros there; return if any is 3."""
    quarter = packed.shape[0]
    found = np.uint8(0)
    for i in range(codes.shape[0]):
        row = packed[(begin + i) % quarter]
        lane = (begin + i) // quarter
        # A shift that is known when this compiles is three times as fast.
        if lane == 0:
            found |= _add_row(codes[i], 0, row)
        elif lane == 1:
            found |= _add_row(codes[i], 2, row)
        elif lane == 2:
            found |= _add_row(codes[i], 4, row)
        else:
            found |= _add_row(codes[i], 6, row)
    return bool(found != 0)


@inner_kernel
def _add_row(codes: Bytes, shift: int, row: Bytes) -> np.uint8:
    found = np.uint8(0)
    for k in range(row.size):
        code = codes[k]
        row[k] |= np.uint8(code << shift)
        found = np.uint8(found | np.uint8(code & (code >> 1)))
    return found


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


@inner_kernel
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


@inner_kernel
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
    source = begin // 5
    whole = codes.size // 5
    for word in range(whole):
        _read_word(stored[source + word], codes, 5 * word)
    if 5 * whole < codes.size:
        last = np.empty(5, np.uint8)
        _read_word(stored[source + whole], last, 0)
        codes[5 * whole :] = last[: codes.size - 5 * whole]


@inner_kernel
def _read_word(byte: np.uint8, codes: Bytes, at: int) -> None:
    if byte > 242:
        codes[at : at + 5] = 3
        return
    codes[at] = byte // 81
    codes[at + 1] = byte // 27 % 3
    codes[at + 2] = byte // 9 % 3
    codes[at + 3] = byte // 3 % 3
    codes[at + 4] = byte % 3


@kernel
def write_base3(codes: Bytes, begin: int, stored: Bytes) -> None:
    """Write what `read_base3` reads; what is left of the last byte holds the weight 0."""
    for word in range(-(-codes.size // 5)):
        value = 0
        for index in range(5 * word, 5 * word + 5):
            value = 3 * value + (codes[index] if index < codes.size else 1)
        stored[begin // 5 + word] = value


@kernel
def move_tl1(
    codes: Bytes,
    tile_rows: int,
    tile_inputs: int,
    lanes: int,
    stored: Bytes,
    writing: bool,
) -> None:
    """Read, or write, whole row tiles of TL1.

    A byte holds four weights of one row, two pairs, the first in its high bits. Bytes run over 16
    rows, then over the 256 / lanes inputs of a step, over the rows of ``lanes``, over the steps of
    a tile, over its rows, over the tiles of a row.
    """
    quads = 64 // lanes
    start = 0
    for row_tile in range(0, codes.shape[0], tile_rows):
        for first in range(0, codes.shape[1], tile_inputs):
            for group in range(row_tile, row_tile + tile_rows, lanes):
                for row in range(lanes):
                    at = start + row // 16 * quads * 16 + row % 16
                    for k in range(first, first + tile_inputs, 4 * quads):
                        for quad in range(quads):
                            spot = at + 16 * quad
                            _move_pairs(codes, group + row, k + 4 * quad, stored, spot, writing)
                        at += quads * lanes
                start += lanes * (tile_inputs // 4)


@inner_kernel
def _move_pairs(
    codes: Bytes, row: int, k: int, stored: Bytes, position: int, writing: bool
) -> None:
    """Move four weights, two pairs of 3 * code0 + code1."""
    if writing:
        high = 3 * codes[row, k] + codes[row, k + 1]
        stored[position] = high << 4 | 3 * codes[row, k + 2] + codes[row, k + 3]
    else:
        _put_pair(stored[position] >> 4, codes, row, k)
        _put_pair(stored[position] & 15, codes, row, k + 2)


@inner_kernel
def _put_pair(index: int, codes: Bytes, row: int, k: int) -> None:
    third = index // 3
    codes[row, k] = min(third, 3)
    codes[row, k + 1] = index - 3 * third


@inner_kernel
def _byte_of_row(row: int) -> int:
    """Return where a row of 32 lies: eights 1 and 2 change places, as AVX2 unpacks them."""
    return row & 7 | (row & 8) << 1 | (row & 16) >> 1


@kernel
def move_tl2_triples(
    codes: Bytes,
    tile_rows: int,
    tile_inputs: int,
    inputs: int,
    indices: Bytes,
    signs: Bytes,
    writing: bool,
) -> None:
    """Read, or write, the first ``inputs`` columns of whole row tiles of TL2.

    A byte of ``indices`` holds six weights of one row, two triples, the first in its high bits.
    Bytes run over 32 rows, over the sixes of a tile, over its rows, over the tiles of a row.
    ``signs`` has a little-endian 16-bit word for 24 inputs of rows j and 16 + j: from its high bit
    down the triples, row j before row 16 + j. Writing adds to zeros.
    """
    start = 0
    for row_tile in range(0, codes.shape[0], tile_rows):
        for first in range(0, inputs, tile_inputs):
            for group in range(row_tile, row_tile + tile_rows, 32):
                for row in range(32):
                    spot = start + _byte_of_row(row)
                    for six in range(tile_inputs // 6):
                        sign = start // 4 + six // 4 * 32 + row % 16 * 2 + 1 - six % 4 // 2
                        bit = 7 - six % 2 * 4 - row // 16
                        k = first + 6 * six
                        at = spot + 32 * six
                        if writing:
                            high = _triple(codes, group + row, k)
                            low = _triple(codes, group + row, k + 3)
                            indices[at] = abs(high) << 4 | abs(low)
                            signs[sign] |= (high < 0) << bit | (low < 0) << (bit - 2)
                        else:
                            high_sign, low_sign = signs[sign] >> bit, signs[sign] >> (bit - 2)
                            _put_triple(indices[at] >> 4, high_sign, codes, group + row, k)
                            _put_triple(indices[at] & 15, low_sign, codes, group + row, k + 3)
                start += 32 * (tile_inputs // 6)


@inner_kernel
def _triple(codes: Bytes, row: int, k: int) -> int:
    return int(9 * codes[row, k] + 3 * codes[row, k + 1] + codes[row, k + 2]) - 13


@inner_kernel
def _put_triple(index: int, sign: int, codes: Bytes, row: int, k: int) -> None:
    value = np.uint8(13 - index if sign & 1 else 13 + index)
    valid = index < 14
    codes[row, k] = value // 9 if valid else 3
    codes[row, k + 1] = value // 3 % 3 if valid else 3
    codes[row, k + 2] = value % 3 if valid else 3


@kernel
def move_tl2_pairs(
    codes: Bytes, tile_rows: int, from_input: int, stored: Bytes, writing: bool
) -> None:
    """Read, or write, the columns past ``from_input``, a multiple of 32, in pairs as in TL1.

    Bytes run over 32 rows, over the 8 fours of 32 inputs, over a tile's rows, over the inputs.
    """
    inputs = codes.shape[1]
    start = 0
    for row_tile in range(0, codes.shape[0], tile_rows):
        for first in range(from_input, inputs, 32):
            for group in range(row_tile, row_tile + tile_rows, 32):
                for row in range(32):
                    for four in range(8):
                        at = start + 32 * four + _byte_of_row(row)
                        _move_pairs(codes, group + row, first + 4 * four, stored, at, writing)
                start += 256
