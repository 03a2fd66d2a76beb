"""Compiled loops over packed ternary weights. `counts` calls them and checks shapes.

A field of two bits holds a weight plus one: 0, 1, 2. Between the fields of two weights, exclusive
or gives 3 for 0 <-> +1, 1 for 0 <-> -1 and 2 for +1 <-> -1.
"""

from __future__ import annotations

import numpy as np

from accelsim.functional.count_kernels import ones
from accelsim.kernels import inner_kernel, kernel

# Positions in a count of changes.
ZERO_PLUS, ZERO_MINUS, PLUS_MINUS = 0, 1, 2
# Positions in the totals of a matrix; changes along k and along n take three each.
NONZERO, PLUS, ALONG_K, ALONG_N = 0, 1, 2, 5
TOTALS = 8
# A row adds up to four to the zeros of a column, so a mark of eight bits is full after these.
_ROWS = 63

_u64 = np.uint64
_ONE, _TWO, _THREE, _FOUR, _BYTE, _TOP = (_u64(n) for n in (1, 2, 3, 4, 8, 56))
_FIELDS = _u64(0x5555555555555555)
_NIBBLES = _u64(0x3333333333333333)
_BYTES = _u64(0x0F0F0F0F0F0F0F0F)
_EVERY_BYTE = _u64(0x0101010101010101)
_ZEROS = np.uint8(0x55)  # a byte of four zero weights
_FIELD = np.uint8(2)


@kernel
def count_packed(packed, outputs, nonzero, totals):
    """Count packed rows, uint8 [quarter, k] as in `TernaryWeight`, of which ``outputs`` count.

    Counts the non-zero weights of each column in nonzero, int32 [k], and all else in totals, int64
    [TOTALS]; both are zero before. Rows are copied behind each other, as whole uint64 with zero
    weights behind them.
    """
    quarter, inputs = packed.shape
    lanes = (inputs + 7) // 8
    rows = np.empty((2, lanes + 1), np.uint64)
    rows.view(np.uint8)[:] = _ZEROS
    zeros = np.zeros(lanes, np.uint64)
    _copy_row(packed[0], rows[0])
    for r in range(quarter):
        # The last row's fields are followed by the next fields of the first row.
        last = r + 1 == quarter
        here, below = rows[r % 2], rows[1 - r % 2]
        if last:
            _copy_row(packed[0] >> _FIELD, below)
        else:
            _copy_row(packed[r + 1], below)
        _count_row(here, below, _followed(r, quarter, outputs), zeros, totals)
        _forget_edge(packed[r, inputs - 1], totals[ALONG_K:ALONG_N])
        if last or (r + 1) % _ROWS == 0:
            _collect_zeros(zeros, np.int32(4 * (r % _ROWS + 1)), nonzero)
    for i in range(inputs):
        totals[NONZERO] += nonzero[i]


@inner_kernel
def _collect_zeros(zeros, counted, nonzero):
    octets = zeros.view(np.uint8)
    for i in range(nonzero.shape[0]):
        nonzero[i] += counted - octets[i]
    zeros[:] = 0


@inner_kernel
def _copy_row(octets, row):
    target = row.view(np.uint8)
    for i in range(octets.shape[0]):
        target[i] = octets[i]


@inner_kernel
def _followed(row, quarter, outputs):
    """Return, in every byte, both bits of each field of a packed row with an output behind it."""
    kept = _u64(0)
    for field in range(4):
        if field * quarter + row + 1 < outputs:
            kept |= _THREE << _u64(2 * field)
    return kept * _EVERY_BYTE


@inner_kernel
def _count_row(here, below, kept, zeros, totals):
    """Count a row against itself, a place on, and against the fields of ``kept`` in the next."""
    plus = k_low = k_high = k_both = n_low = n_high = n_both = _u64(0)
    for i in range(zeros.shape[0]):
        word = here[i]
        zero = word & _FIELDS
        zero = (zero + (zero >> _TWO)) & _NIBBLES
        zeros[i] += (zero + (zero >> _FOUR)) & _BYTES
        plus += ones((word >> _ONE) & _FIELDS)
        change = word ^ ((word >> _BYTE) | (here[i + 1] << _TOP))
        k_low += ones(change & _FIELDS)
        k_high += ones((change >> _ONE) & _FIELDS)
        k_both += ones(change & (change >> _ONE) & _FIELDS)
        change = (word ^ below[i]) & kept
        n_low += ones(change & _FIELDS)
        n_high += ones((change >> _ONE) & _FIELDS)
        n_both += ones(change & (change >> _ONE) & _FIELDS)
    totals[PLUS] += np.int64(plus)
    _add_changes(k_low, k_high, k_both, totals[ALONG_K:ALONG_N])
    _add_changes(n_low, n_high, n_both, totals[ALONG_N:])


@inner_kernel
def _forget_edge(octet, changes):
    """Take off the changes between the last column and the zero weights behind it."""
    for field in range(4):
        code = (octet >> (2 * field)) & 3
        changes[ZERO_PLUS] -= code == 2
        changes[ZERO_MINUS] -= code == 0


@inner_kernel
def _add_changes(low, high, both, changes):
    changes[ZERO_PLUS] += np.int64(both)
    changes[ZERO_MINUS] += np.int64(low - both)
    changes[PLUS_MINUS] += np.int64(high - both)


@kernel
def widest_sums(codes, weights):
    """Return the largest |sum over k' <= k| and the largest sum of |code * weight|.

    codes int8 [m, k], weights int8 [k, n].
    """
    widest = np.int32(0)
    bound = np.int32(0)
    sums = np.empty(weights.shape[1], np.int32)
    sizes = np.empty(weights.shape[1], np.int32)
    for row in range(codes.shape[0]):
        sums[:] = 0
        sizes[:] = 0
        for k in range(codes.shape[1]):
            code = np.int32(codes[row, k])
            if code == 0:
                continue
            for column in range(weights.shape[1]):
                product = np.int32(code * np.int32(weights[k, column]))
                total = np.int32(sums[column] + product)
                sums[column] = total
                sizes[column] += abs(product)
                widest = max(widest, abs(total))
        for column in range(weights.shape[1]):
            bound = max(bound, sizes[column])
    return np.int64(widest), np.int64(bound)


@kernel
def slowest_lanes(packed, outputs, tile_k, tile_n, group):
    """Return the sum over tiles and lane groups of the most non-zeros of a lane.

    packed uint8 [quarter, k] of ``outputs`` rows, as in `TernaryWeight`.
    """
    quarter, inputs = packed.shape
    total = 0
    for first in range(0, outputs, tile_n):
        last = min(first + tile_n, outputs)
        for begin in range(0, inputs, tile_k):
            end = min(begin + tile_k, inputs)
            for lane in range(first, last, group):
                slowest = 0
                for output in range(lane, min(lane + group, last)):
                    row = packed[output % quarter]
                    shift = 2 * (output // quarter)
                    found = 0
                    for k in range(begin, end):
                        found += ((row[k] >> shift) & 3) != 1
                    slowest = max(slowest, found)
                total += slowest
    return total
