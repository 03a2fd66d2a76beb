"""A compiled loop that counts packed ternary weights by output and by input.

A field of two bits holds a weight plus one: 0, 1, 2. Its low bit marks a zero weight, its high bit
a weight of +1.
"""

from __future__ import annotations

import numpy as np

from accelsim.kernels import inner_kernel, kernel

_u64 = np.uint64
_ONE, _TWO, _FOUR = (_u64(n) for n in (1, 2, 4))
_FIELDS = _u64(0x5555555555555555)
_NIBBLES = _u64(0x3333333333333333)
_BYTES = _u64(0x0F0F0F0F0F0F0F0F)
_LOWEST = _u64(0x0101010101010101)
_PLUSES = np.uint8(0xAA)  # a byte of four codes of +1: neither -1 nor 0
_WORDS = 255  # whose marks of one bit fit a byte
_ROWS = 63  # whose four fields fit a byte


@kernel
def count_rows(packed, zeros, pluses, column_zeros):
    """Count packed rows, uint8 [rows, k], as `TernaryWeight` holds them.

    Writes the weights that are 0 and +1 of every row and field to zeros and pluses, int32 [rows,
    4], and adds the zeros of a column, over all fields, to column_zeros, int32 [k].
    """
    rows, inputs = packed.shape
    words = np.empty((inputs + 7) // 8, np.uint64)
    octets = words.view(np.uint8)
    octets[:] = _PLUSES
    padding = octets.shape[0] - inputs
    columns = np.zeros(words.shape[0], np.uint64)
    for row in range(rows):
        for k in range(inputs):
            octets[k] = packed[row, k]
        _count_fields(words, zeros[row], pluses[row])
        for field in range(4):
            pluses[row, field] -= padding
        for i in range(words.shape[0]):
            zero = words[i] & _FIELDS
            zero = (zero & _NIBBLES) + ((zero >> _TWO) & _NIBBLES)
            columns[i] += (zero + (zero >> _FOUR)) & _BYTES
        if (row + 1) % _ROWS == 0 or row + 1 == rows:
            marks = columns.view(np.uint8)
            for k in range(inputs):
                column_zeros[k] += marks[k]
            columns[:] = 0


@inner_kernel
def _count_fields(words, zeros, pluses):
    """Write the fields of words that are 0 and +1, by their place in a byte."""
    zeros[:] = 0
    pluses[:] = 0
    for begin in range(0, words.shape[0], _WORDS):
        zero_0 = zero_1 = zero_2 = zero_3 = _u64(0)
        plus_0 = plus_1 = plus_2 = plus_3 = _u64(0)
        for i in range(begin, min(begin + _WORDS, words.shape[0])):
            word = words[i]
            zero_0 += word & _LOWEST
            plus_0 += (word >> _ONE) & _LOWEST
            zero_1 += (word >> _TWO) & _LOWEST
            plus_1 += (word >> _u64(3)) & _LOWEST
            zero_2 += (word >> _FOUR) & _LOWEST
            plus_2 += (word >> _u64(5)) & _LOWEST
            zero_3 += (word >> _u64(6)) & _LOWEST
            plus_3 += (word >> _u64(7)) & _LOWEST
        for field, marks in enumerate((zero_0, zero_1, zero_2, zero_3)):
            zeros[field] += _sum_of_bytes(marks)
        for field, marks in enumerate((plus_0, plus_1, plus_2, plus_3)):
            pluses[field] += _sum_of_bytes(marks)


@inner_kernel
def _sum_of_bytes(word):
    total = np.int32(0)
    for place in range(8):
        total += np.int32((word >> _u64(8 * place)) & _u64(255))
    return total
