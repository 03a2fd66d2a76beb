"""Compiled loops that count events in operands. `counts` calls them and checks shapes.

A word is the bit pattern of one operand: uint8 for an int8 code, uint16 for a 16-bit float.
"""

from __future__ import annotations

import numpy as np

from accelsim.kernels import kernel

# Positions in the result of `ternary_changes`.
ZERO_PLUS, ZERO_MINUS, PLUS_MINUS = 0, 1, 2


@kernel
def ternary_columns(weights, nonzero):
    """Add the non-zero weights of each column to nonzero; return how many are +1.

    weights int8 [n, k], nonzero int64 [k].
    """
    plus = 0
    for row in range(weights.shape[0]):
        found = np.int32(0)
        for column in range(weights.shape[1]):
            weight = weights[row, column]
            nonzero[column] += weight != 0
            found += weight == 1
        plus += found
    return plus


@kernel
def ternary_changes(first, second, changes):
    """Add the neighbours 0<->+, 0<->-, +<->- between equal places of two int8 vectors."""
    zero_plus = np.int32(0)
    zero_minus = np.int32(0)
    plus_minus = np.int32(0)
    for i in range(first.shape[0]):
        total = np.int32(first[i]) + np.int32(second[i])
        zero_plus += total == 1
        zero_minus += total == -1
        plus_minus += (total == 0) & (first[i] != 0)
    changes[ZERO_PLUS] += zero_plus
    changes[ZERO_MINUS] += zero_minus
    changes[PLUS_MINUS] += plus_minus


@kernel
def ternary_transitions(weights, along_k, along_n):
    """Add transitions of int8 [n, k] to two int64 [3]."""
    for row in range(weights.shape[0]):
        ternary_changes(weights[row, :-1], weights[row, 1:], along_k)
        if row > 0:
            ternary_changes(weights[row - 1], weights[row], along_n)


@kernel
def changed_bits(first, second):
    """Return the bits in which two vectors of words differ."""
    total = 0
    for i in range(first.shape[0]):
        bits = np.uint32(first[i] ^ second[i])
        bits = bits - ((bits >> np.uint32(1)) & np.uint32(0x5555))
        bits = (bits & np.uint32(0x3333)) + ((bits >> np.uint32(2)) & np.uint32(0x3333))
        bits = (bits + (bits >> np.uint32(4))) & np.uint32(0x0F0F)
        total += (bits + (bits >> np.uint32(8))) & np.uint32(0x1F)
    return total


@kernel
def word_rows(words, magnitude, triangle, nonzero):
    """Count a matrix of words [r, c]; row i ends after i + 1 words where triangle is set.

    Adds the words with a bit of magnitude set to nonzero, int64 [c]. Returns the bits that change
    between neighbours within rows and within columns.
    """
    within_rows = 0
    within_columns = 0
    for row in range(words.shape[0]):
        width = min(row + 1, words.shape[1]) if triangle else words.shape[1]
        for column in range(width):
            nonzero[column] += (words[row, column] & magnitude) != 0
        within_rows += changed_bits(words[row, : width - 1], words[row, 1:width])
        if row > 0:
            above = min(row, words.shape[1]) if triangle else words.shape[1]
            within_columns += changed_bits(words[row - 1, :above], words[row, :above])
    return within_rows, within_columns


@kernel
def causal_pairs(queries, keys, magnitude):
    """Return pairs of non-zero words of queries [p, d] with the keys [p, d] at or before them."""
    waiting = np.zeros(queries.shape[1], np.int64)
    pairs = 0
    for row in range(queries.shape[0] - 1, -1, -1):
        for column in range(queries.shape[1]):
            waiting[column] += (queries[row, column] & magnitude) != 0
            if (keys[row, column] & magnitude) != 0:
                pairs += waiting[column]
    return pairs


@kernel
def widest_prefix(codes, weights):
    """Return the largest |sum over k' <= k| of int8 codes [m, k] and weights int8 [k, n]."""
    widest = np.int32(0)
    sums = np.zeros(weights.shape[1], np.int32)
    for row in range(codes.shape[0]):
        sums[:] = 0
        for k in range(codes.shape[1]):
            code = np.int32(codes[row, k])
            if code == 0:
                continue
            for column in range(weights.shape[1]):
                total = sums[column] + code * np.int32(weights[k, column])
                sums[column] = total
                widest = max(widest, abs(total))
    return widest


@kernel
def slowest_lanes(weights, tile_k, tile_n, group):
    """Return the sum over tiles and lane groups of the most non-zeros of a lane, int8 [n, k]."""
    outputs, inputs = weights.shape
    total = 0
    for first in range(0, outputs, tile_n):
        last = min(first + tile_n, outputs)
        for begin in range(0, inputs, tile_k):
            end = min(begin + tile_k, inputs)
            for lane in range(first, last, group):
                slowest = 0
                for output in range(lane, min(lane + group, last)):
                    found = 0
                    for k in range(begin, end):
                        found += weights[output, k] != 0
                    slowest = max(slowest, found)
                total += slowest
    return total
