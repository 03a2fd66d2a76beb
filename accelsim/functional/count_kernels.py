"""Compiled loops that count events in operands. `counts` calls them and checks shapes.

A *word* is the bit pattern of one operand: 8 bits of an int8 code, 16 of a float. A *row* of words
is read as uint64, the first word in the lowest bits; ``size`` is the bits of a word. What is left
of the last uint64 behind the words of a row is zero.
"""

from __future__ import annotations

import numpy as np

from accelsim.kernels import inner_kernel, kernel

# Positions in a tally of one product; the last three count a second operand of floats.
PAIRS, ZERO, ALONG_K, ALONG_M, SUM, WIDEST, SEEN = 0, 1, 2, 3, 4, 5, 6
WEIGHT_NONZERO, WEIGHT_ALONG_K, WEIGHT_ALONG_N = 4, 5, 6
TALLY = 7
# Positions in the running totals of a cache.
NONZERO, WITHIN, BETWEEN = 0, 1, 2

_u32, _u64 = np.uint32, np.uint64
_NONE = _u64(0)
_ONE, _TWO, _FOUR, _TOP = _u64(1), _u64(2), _u64(4), _u64(56)
_PAIRS_OF_BITS = _u64(0x5555555555555555)
_NIBBLES = _u64(0x3333333333333333)
_BYTES = _u64(0x0F0F0F0F0F0F0F0F)
_EVERY_BYTE = _u64(0x0101010101010101)
_WIDTH = _u64(64)
CODE, FLOAT = _u64(8), _u64(16)  # sizes of a word
_BELOW_TOP_8, _BELOW_TOP_16 = _u64(0x7F7F7F7F7F7F7F7F), _u64(0x7FFF7FFF7FFF7FFF)
_HALF, _SHIFT, _UNIT = _u32(0x7FFF), _u32(16), _u32(1)
# Rows until a mark of 8 or of 16 bits is full.
_FULL_8, _FULL_16 = 255, 65535


@inner_kernel
def ones(x):
    """Return how many bits of a uint64 are set; LLVM knows the pattern and vectorises it."""
    x = x - ((x >> _ONE) & _PAIRS_OF_BITS)
    x = (x & _NIBBLES) + ((x >> _TWO) & _NIBBLES)
    x = (x + (x >> _FOUR)) & _BYTES
    return (x * _EVERY_BYTE) >> _TOP


@inner_kernel
def changes_within(row, width, size):
    """Return the bits that change between neighbours among the first width words of a row."""
    held = np.int64(_WIDTH // size)
    pairs = width - 1
    whole = pairs // held
    total = _NONE
    for i in range(whole):
        total += ones(row[i] ^ ((row[i] >> size) | (row[i + 1] << (_WIDTH - size))))
    rest = _u64(pairs - whole * held)
    if rest > 0:
        kept = (_ONE << (size * rest)) - _ONE
        total += ones((row[whole] ^ (row[whole] >> size)) & kept)
    return np.int64(total)


@inner_kernel
def changes_between(row, above, width, size):
    """Return the bits in which the first width words of two rows differ."""
    held = np.int64(_WIDTH // size)
    whole = width // held
    total = _NONE
    for i in range(whole):
        total += ones(row[i] ^ above[i])
    rest = _u64(width - whole * held)
    if rest > 0:
        total += ones((row[whole] ^ above[whole]) & ((_ONE << (size * rest)) - _ONE))
    return np.int64(total)


@inner_kernel
def mark_nonzero(row, count, size, marks):
    """Add one to the mark of every non-zero word in the first count uint64 of a row.

    Marks are as wide as words. The sign of a float makes no difference to whether it is zero.
    """
    below = _BELOW_TOP_8 if size == CODE else _BELOW_TOP_16
    sign = ~below if size == CODE else _NONE
    shift = size - _ONE
    for i in range(count):
        filled = ((row[i] & below) + below) | (row[i] & sign)
        marks[i] += (filled & ~below) >> shift


@inner_kernel
def collect(marks, size, nonzero):
    """Add the marks of int32 [k] words to nonzero and clear them."""
    if size == CODE:
        octets = marks.view(np.uint8)
        for i in range(nonzero.shape[0]):
            nonzero[i] += octets[i]
    else:
        pairs = marks.view(np.uint16)
        for i in range(nonzero.shape[0]):
            nonzero[i] += pairs[i]
    marks[:] = 0


@kernel
def count_words(rows, size, nonzero):
    """Count a matrix of words, uint64 [r, w], with nonzero int32 [k] words in each row.

    Adds the non-zero words of each column to nonzero. Returns the bits that change between
    neighbours within rows, and within columns.
    """
    width = nonzero.shape[0]
    marks = np.zeros(rows.shape[1], np.uint64)
    full = _FULL_8 if size == CODE else _FULL_16
    within = between = 0
    for r in range(rows.shape[0]):
        mark_nonzero(rows[r], rows.shape[1], size, marks)
        if (r + 1) % full == 0:
            collect(marks, size, nonzero)
        within += changes_within(rows[r], width, size)
        if r > 0:
            between += changes_between(rows[r], rows[r - 1], width, size)
    collect(marks, size, nonzero)
    return within, between


@kernel
def tally_codes(codes, nonzero, moving):
    """Write the counts of int8 codes [m, w], w a multiple of 8, codes past k zero.

    nonzero int32 [k] receives the non-zero codes of each column, moving int64 [TALLY] the rest.
    """
    m, k = codes.shape[0], nonzero.shape[0]
    nonzero[:] = 0
    within, between = count_words(codes.view(np.uint64), CODE, nonzero)
    found = 0
    for i in range(k):
        found += nonzero[i]
    moving[ZERO] = m * k - found
    moving[ALONG_K] = within
    moving[ALONG_M] = between
    largest = 0
    for row in range(m):
        total = np.int32(0)
        for code in codes[row]:
            total += np.int32(abs(np.int32(code)))
        largest = max(largest, np.int64(total))
    moving[SUM] = largest


@kernel
def tally_linear(moving, nonzero, weight_nonzero, accumulators, tally):
    """Add an instance of a ternary product to tally, int64 [TALLY].

    moving and nonzero come from `tally_codes`; weight_nonzero int32 [k], accumulators int32 [m, n].
    """
    pairs = 0
    for i in range(nonzero.shape[0]):
        pairs += np.int64(nonzero[i]) * np.int64(weight_nonzero[i])
    widest = np.int32(0)
    for row in range(accumulators.shape[0]):
        for i in range(accumulators.shape[1]):
            widest = max(widest, np.int32(abs(accumulators[row, i])))
    tally[PAIRS] += pairs
    tally[ZERO] += moving[ZERO]
    tally[ALONG_K] += moving[ALONG_K]
    tally[ALONG_M] += moving[ALONG_M]
    tally[SUM] = max(tally[SUM], moving[SUM])
    tally[WIDEST] = max(tally[WIDEST], np.int64(widest))
    tally[SEEN] += 1


@inner_kernel
def round_row(values, row):
    """Write float32 values as bfloat16, nearest and halves to even, into the words of a row."""
    bits = values.view(np.uint32)
    words = row.view(np.uint16)
    for i in range(bits.shape[0]):
        words[i] = _u32(_u32(bits[i] + _HALF) + _u32((bits[i] >> _SHIFT) & _UNIT)) >> _SHIFT


@kernel
def extend_cache(fresh, start, by_position, newest, nonzero, totals):
    """Count positions start, start + 1, ... of keys or values, float32 [B, P, K * D].

    newest uint64 [B, K, w] holds the words of the last position, before and after. nonzero int32
    counts by element, [B, K, D], or where ``by_position`` by position, [B, K, C]. totals int64
    [B, K, 3] grows by non-zero words and by changes within and between positions.
    """
    batch, heads, room = newest.shape
    d = fresh.shape[2] // heads
    row = np.zeros(room, np.uint64)
    words = row.view(np.uint16)
    for b in range(batch):
        for h in range(heads):
            for p in range(fresh.shape[1]):
                round_row(fresh[b, p, h * d : (h + 1) * d], row)
                found = 0
                for i in range(d):
                    mark = (words[i] & _HALF) != 0
                    found += mark
                    if not by_position:
                        nonzero[b, h, i] += mark
                if by_position:
                    nonzero[b, h, start + p] = found
                totals[b, h, NONZERO] += found
                totals[b, h, WITHIN] += changes_within(row, d, FLOAT)
                if start + p > 0:
                    totals[b, h, BETWEEN] += changes_between(row, newest[b, h], d, FLOAT)
                newest[b, h] = row


@inner_kernel
def _tally_row(values, here, above, met, marks, tally):
    """Count a row of floats; the first ``met`` words of the row above are its neighbours."""
    width = values.shape[0]
    round_row(values, here)
    mark_nonzero(here, (width + 3) // 4, FLOAT, marks)
    tally[ALONG_K] += changes_within(here, width, FLOAT)
    tally[ALONG_M] += changes_between(here, above, met, FLOAT)


@inner_kernel
def _tally_met(nonzero, elements, weight_nonzero, tally):
    """Add zeros among ``elements`` and steps with neither operand zero, from counts by k."""
    found = pairs = 0
    for i in range(nonzero.shape[0]):
        found += nonzero[i]
        pairs += np.int64(nonzero[i]) * np.int64(weight_nonzero[i])
    tally[ZERO] += elements - found
    tally[PAIRS] += pairs


@inner_kernel
def _tally_caches(keys, values, tally):
    """Add both second operands of an instance; the reduction of values runs over positions."""
    tally[0, WEIGHT_NONZERO] += keys[NONZERO]
    tally[0, WEIGHT_ALONG_K] += keys[WITHIN]
    tally[0, WEIGHT_ALONG_N] += keys[BETWEEN]
    tally[1, WEIGHT_NONZERO] += values[NONZERO]
    tally[1, WEIGHT_ALONG_K] += values[BETWEEN]
    tally[1, WEIGHT_ALONG_N] += values[WITHIN]


@kernel
def tally_step(q, shares, key_nonzero, key_totals, value_totals, value_nonzero, tally):
    """Add the attention of one position, an instance for each KV head, to tally [2, TALLY].

    q float32 [B, 1, N * D], shares float32 [B, N, 1, C]; nonzero int32 [B, K, D] and [B, K, C or
    more], totals int64 [B, K, 3]. Rows of tally: queries by keys, shares by values.
    """
    batch, heads, _, context = shares.shape
    kv_heads = key_totals.shape[1]
    d, group = q.shape[2] // heads, heads // kv_heads
    rows = np.zeros((2, (max(context, d) + 3) // 4), np.uint64)
    marks = np.zeros(rows.shape[1], np.uint64)
    nonzero = np.zeros(max(context, d), np.int32)
    for b in range(batch):
        for h in range(kv_heads):
            rows[:] = 0
            for j in range(group):
                head = h * group + j
                query = q[b, 0, head * d : (head + 1) * d]
                met = d if j > 0 else 0
                _tally_row(query, rows[j % 2], rows[1 - j % 2], met, marks, tally[0])
            nonzero[:] = 0
            collect(marks, FLOAT, nonzero[:d])
            _tally_met(nonzero[:d], group * d, key_nonzero[b, h], tally[0])
            rows[:] = 0
            for j in range(group):
                share = shares[b, h * group + j, 0]
                met = context if j > 0 else 0
                _tally_row(share, rows[j % 2], rows[1 - j % 2], met, marks, tally[1])
            nonzero[:] = 0
            collect(marks, FLOAT, nonzero[:context])
            _tally_met(nonzero[:context], group * context, value_nonzero[b, h], tally[1])
            _tally_caches(key_totals[b, h], value_totals[b, h], tally)


@inner_kernel
def _causal_pairs(q, keys, tally):
    """Add steps with neither operand zero where query i [P, D] meets keys 0 .. i [P, D]."""
    d = q.shape[1]
    rows = np.zeros((2, (d + 3) // 4), np.uint64)
    queries, met = rows[0].view(np.uint16), rows[1].view(np.uint16)
    seen = np.zeros(d, np.int32)
    pairs = 0
    for p in range(q.shape[0]):
        round_row(q[p], rows[0])
        round_row(keys[p], rows[1])
        for i in range(d):
            seen[i] += (met[i] & _HALF) != 0
            pairs += np.int64(seen[i]) * np.int64((queries[i] & _HALF) != 0)
    tally[PAIRS] += pairs


@kernel
def tally_prompt(q, keys, shares, key_totals, value_totals, value_nonzero, tally):
    """Add causal attention over a prompt, an instance for each head, to tally [2, TALLY].

    q float32 [B, P, N * D], keys float32 [B, P, K * D], shares float32 [B, N, P, P]; the rest as in
    `tally_step`. Row i of shares counts up to column i.
    """
    batch, heads, positions, _ = shares.shape
    kv_heads = key_totals.shape[1]
    d, group = q.shape[2] // heads, heads // kv_heads
    rows = np.zeros((2, (max(positions, d) + 3) // 4), np.uint64)
    marks = np.zeros(rows.shape[1], np.uint64)
    nonzero = np.zeros(max(positions, d), np.int32)
    unpaired = np.zeros(d, np.int32)
    for b in range(batch):
        for head in range(heads):
            h = head // group
            nonzero[:] = 0
            rows[:] = 0
            for p in range(positions):
                query = q[b, p, head * d : (head + 1) * d]
                met = d if p > 0 else 0
                _tally_row(query, rows[p % 2], rows[1 - p % 2], met, marks, tally[0])
                if (p + 1) % _FULL_16 == 0:
                    collect(marks, FLOAT, nonzero[:d])
            collect(marks, FLOAT, nonzero[:d])
            _tally_met(nonzero[:d], positions * d, unpaired, tally[0])
            mine, theirs = slice(head * d, (head + 1) * d), slice(h * d, (h + 1) * d)
            _causal_pairs(q[b, :, mine], keys[b, :, theirs], tally[0])
            nonzero[:] = 0
            rows[:] = 0
            for p in range(positions):
                share = shares[b, head, p, : p + 1]
                _tally_row(share, rows[p % 2], rows[1 - p % 2], p, marks, tally[1])
                if (p + 1) % _FULL_16 == 0:
                    collect(marks, FLOAT, nonzero[:positions])
            collect(marks, FLOAT, nonzero[:positions])
            inside = positions * (positions + 1) // 2
            _tally_met(nonzero[:positions], inside, value_nonzero[b, h], tally[1])
            _tally_caches(key_totals[b, h], value_totals[b, h], tally)
