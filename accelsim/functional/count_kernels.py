"""Compiled loops that count events in operands. `counts` calls them and checks shapes.

A *word* is the bit pattern of one operand: 8 bits of an int8 code, 16 of a float. A *row* of words
is read as uint64, the first word in the lowest bits; ``size`` is the bits of a word. What is left
of the last uint64 behind the words of a row is zero.
"""

from __future__ import annotations

import numpy as np

from accelsim.functional.row_kernels import dequantise_rows
from accelsim.kernels import inner_kernel, kernel, lean_kernel

# Positions in a tally of one product; the last three count a second operand of floats.
PAIRS, ZERO, ALONG_K, ALONG_M, SUM, WIDEST, SEEN = 0, 1, 2, 3, 4, 5, 6
WEIGHT_NONZERO, WEIGHT_ALONG_K, WEIGHT_ALONG_N = 4, 5, 6
TALLY = 7
# Positions in the running totals of keys or of values.
NONZERO, WITHIN, BETWEEN = 0, 1, 2

_u32, _u64 = np.uint32, np.uint64
_NONE = _u64(0)
_ONE, _TWO, _FOUR, _TOP = _u64(1), _u64(2), _u64(4), _u64(56)
_PAIRS_OF_BITS = _u64(0x5555555555555555)
_NIBBLES = _u64(0x3333333333333333)
_BYTES = _u64(0x0F0F0F0F0F0F0F0F)
_EVERY_BYTE = _u64(0x0101010101010101)
_WIDTH = _u64(64)
_LOWEST = _u64(0xFFFFFFFFFFFFFFFF)
CODE, FLOAT = _u64(8), _u64(16)  # sizes of a word
_BELOW_TOP_8, _BELOW_TOP_16 = _u64(0x7F7F7F7F7F7F7F7F), _u64(0x7FFF7FFF7FFF7FFF)
_HALF, _SIGN, _SHIFT, _UNIT = _u32(0x7FFF), _u32(15), _u32(16), _u32(1)
# Rows until a mark of 8 or of 16 bits is full.
FULL_8, FULL_16 = 255, 65535


@lean_kernel
def ones(x):
    """Return how many bits of a uint64 are set; LLVM knows the pattern and vectorises it."""
    x = x - ((x >> _ONE) & _PAIRS_OF_BITS)
    x = (x & _NIBBLES) + ((x >> _TWO) & _NIBBLES)
    x = (x + (x >> _FOUR)) & _BYTES
    return (x * _EVERY_BYTE) >> _TOP


@lean_kernel
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


@lean_kernel
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


@lean_kernel
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


@lean_kernel
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
    """Count a matrix of words, uint64 [r, w], with nonzero.shape[0] words in each row.

    Adds the non-zero words of each column to nonzero, int32 [k]. Returns the bits that change
    between neighbours within rows, and within columns.
    """
    return _count_rows(rows, size, nonzero, np.zeros(rows.shape[1], np.uint64))


@lean_kernel
def _count_rows(rows, size, nonzero, marks):
    """Do what `count_words` does; marks, a uint64 for each of a row, are zero before and after."""
    full = FULL_8 if size == CODE else FULL_16
    for r in range(rows.shape[0]):
        mark_nonzero(rows[r], rows.shape[1], size, marks)
        if (r + 1) % full == 0:
            collect(marks, size, nonzero)
    collect(marks, size, nonzero)
    return _changes(rows, nonzero.shape[0], size)


@lean_kernel
def _changes(rows, width, size):
    """Return the bits that change within and between rows of so many words, uint64 [r, w]."""
    flat, below = rows.reshape(-1), rows[1:].reshape(-1)
    between = changes_between(flat, below, below.shape[0] * np.int64(_WIDTH // size), size)
    return _changes_in_rows(flat, rows.shape[1], width, size), between


@lean_kernel
def _changes_in_rows(flat, stride, width, size):
    """Return what `changes_within` finds in all rows, ``stride`` uint64 each.

    One loop runs over all rows at once; what it counts behind the last word of each is taken off.
    """
    held = np.int64(_WIDTH // size)
    total = changes_within(flat, flat.shape[0] * held, size)
    behind = ~((_ONE << (size * _u64((width - 1) % held))) - _ONE)
    for i in range(stride - 1, flat.shape[0], stride):
        after = flat[i + 1] << (_WIDTH - size) if i + 1 < flat.shape[0] else _NONE
        change = flat[i] ^ ((flat[i] >> size) | after)
        # The last of all words has no neighbour that the loop could have counted.
        kept = behind if i + 1 < flat.shape[0] else behind & (_LOWEST >> size)
        total -= np.int64(ones(change & kept))
    return total


@inner_kernel
def _largest_sum(codes):
    """Return the largest sum of |code| over a row."""
    largest = 0
    for row in range(codes.shape[0]):
        total = np.int32(0)
        for code in codes[row]:
            total += np.int32(abs(np.int32(code)))
        largest = max(largest, np.int64(total))
    return largest


@inner_kernel
def _widest(accumulators):
    """Return the largest |accumulator|."""
    widest = np.int32(0)
    for row in range(accumulators.shape[0]):
        for i in range(accumulators.shape[1]):
            widest = max(widest, np.int32(abs(accumulators[row, i])))
    return np.int64(widest)


@kernel
def tally_codes(codes, begin, end, nonzero, moving):
    """Add the counts of rows begin .. end of int8 codes [m, w], w a multiple of 8, past k zero.

    nonzero int32 [k] grows by the non-zero codes of each column, moving int64 [TALLY] by the rest;
    changes between rows are those from the row before each.
    """
    k = nonzero.shape[0]
    rows = codes.view(np.uint64)
    within, between = count_words(rows[begin:end], CODE, nonzero)
    if begin > 0:
        between += changes_between(rows[begin - 1], rows[begin], k, CODE)
    found = 0
    for i in range(k):
        found += nonzero[i]
    moving[ZERO] += (end - begin) * k - found
    moving[ALONG_K] += within
    moving[ALONG_M] += between
    moving[SUM] = max(moving[SUM], _largest_sum(codes[begin:end]))


@kernel
def tally_linear(moving, nonzero, weight_nonzero, tally):
    """Add an instance of a ternary product to tally, int64 [TALLY], but for its widest sum.

    moving and nonzero come from `tally_codes`; weight_nonzero int32 [k].
    """
    pairs = 0
    for i in range(nonzero.shape[0]):
        pairs += np.int64(nonzero[i]) * np.int64(weight_nonzero[i])
    tally[PAIRS] += pairs
    for count in (ZERO, ALONG_K, ALONG_M):
        tally[count] += moving[count]
    tally[SEEN] += 1
    tally[SUM] = max(tally[SUM], moving[SUM])


@kernel
def widest_sum(accumulators):
    """Return the largest |accumulator| of int32 [m, n]."""
    return _widest(accumulators)


@kernel
def dequantise_widest(accumulators, scales, weight_scale, multiplies, out):
    """Do as `dequantise_rows` and return the largest |accumulator|."""
    widest = np.int64(0)
    for i in range(accumulators.shape[0]):
        row = accumulators[i : i + 1]
        dequantise_rows(row, scales[i : i + 1], weight_scale, multiplies, out[i : i + 1])
        widest = max(widest, _widest(row))
    return widest


@kernel
def dequantise_few(accumulators, scales, weight_scale, multiplies, out, codes, marks, tally):
    """Do as `dequantise_rows` and add the instance to tally, but for what `tally_marks` adds.

    codes int8 [m, k], k a multiple of 8; marks uint64 [k / 8] as in `mark_nonzero`.
    """
    dequantise_rows(accumulators, scales, weight_scale, multiplies, out)
    rows = codes.view(np.uint64)
    m, k = codes.shape
    for r in range(m):
        mark_nonzero(rows[r], rows.shape[1], CODE, marks)
        tally[ALONG_K] += changes_within(rows[r], k, CODE)
        if r > 0:
            tally[ALONG_M] += changes_between(rows[r - 1], rows[r], k, CODE)
    tally[SUM] = max(tally[SUM], _largest_sum(codes))
    tally[WIDEST] = max(tally[WIDEST], _widest(accumulators))
    tally[SEEN] += 1


@kernel
def tally_marks(marks, rows, weight_nonzero, tally):
    """Add what the marks of so many rows of codes say and clear them."""
    nonzero = np.zeros(weight_nonzero.shape[0], np.int32)
    collect(marks, CODE, nonzero)
    _tally_met(nonzero, rows * nonzero.shape[0], weight_nonzero, tally)


@lean_kernel
def round_row(values, row):
    """Write float32 values as bfloat16, nearest and halves to even, into the words of a row."""
    bits = values.view(np.uint32)
    words = row.view(np.uint16)
    for i in range(bits.shape[0]):
        words[i] = _u32(_u32(bits[i] + _HALF) + _u32((bits[i] >> _SHIFT) & _UNIT)) >> _SHIFT


@lean_kernel
def count_shares(shares, row, above, marks, changes):
    """Count the next row of a triangle, float32 shares [n], longer by one than the row above it.

    row receives the words; above holds those of the row before. Both are zero behind them, for one
    uint64 more than the marks. Adds to changes the bits that change within the row, and from the
    row above.
    """
    round_row(shares, row)
    n = shares.shape[0]
    last = np.int64(ones(_u64(row.view(np.uint16)[n - 1])))
    count = (n + 15) // 16 * 4
    within = between = _NONE
    for i in range(count):
        within += ones(row[i] ^ ((row[i] >> FLOAT) | (row[i + 1] << _u64(48))))
        between += ones(row[i] ^ above[i])
    mark_nonzero(row, count, FLOAT, marks)
    # The last word was met with the zeros behind it and above it, which are no operands.
    changes[0] += np.int64(within) - last
    changes[1] += np.int64(between) - last


@lean_kernel
def _is_nonzero(word):
    """Return 1 where a 16-bit float differs from zero: the top bit of a sum says so."""
    return np.int32(_u32(_u32(word & _HALF) + _HALF) >> _SIGN)


@lean_kernel
def _round_rows(values, rows):
    """Do as `round_row` for float32 values [r, d]."""
    for r in range(rows.shape[0]):
        round_row(values[r], rows[r])


@kernel
def extend_cache(fresh, start, by_position, newest, nonzero, totals):
    """Count positions start, start + 1, ... of keys or values, float32 [B, P, K * D].

    newest uint64 [B, K, w] holds the words of the last position, before and after. nonzero int32
    counts by element, [B, K, D], or where ``by_position`` by position, [B, K, C]. totals int64
    [B, K, 3] grows by non-zero words and by changes within and between positions.
    """
    batch, heads, room = newest.shape
    d = fresh.shape[2] // heads
    rows = np.zeros((fresh.shape[1], room), np.uint64)
    for b in range(batch):
        for h in range(heads):
            _round_rows(fresh[b, :, h * d : (h + 1) * d], rows)
            mine = nonzero[b, h]
            if by_position:
                mine = mine[start : start + fresh.shape[1]]
            _extend_head(rows, d, start > 0, by_position, newest[b, h], mine, totals[b, h])


@lean_kernel
def _extend_head(rows, d, follows, by_position, newest, nonzero, totals):
    """Do what `extend_cache` does for the words of one head, uint64 [P, w]."""
    for p in range(rows.shape[0]):
        words = rows[p].view(np.uint16)
        found = np.int32(0)
        for i in range(d):
            found += _is_nonzero(words[i])
        totals[NONZERO] += found
        if by_position:
            nonzero[p] = found
        else:
            for i in range(d):
                nonzero[i] += _is_nonzero(words[i])
    if follows:
        totals[BETWEEN] += changes_between(rows[0], newest, d, FLOAT)
    within, between = _changes(rows, d, FLOAT)
    totals[WITHIN] += within
    totals[BETWEEN] += between
    for i in range(newest.shape[0]):
        newest[i] = rows[-1, i]


@lean_kernel
def _tally_rows(rows, weight_nonzero, nonzero, marks, tally):
    """Count a moving operand of floats and the steps that count.

    nonzero int32 [k] is room, as are marks, see `_count_rows`.
    """
    nonzero[:] = 0
    within, between = _count_rows(rows, FLOAT, nonzero, marks)
    tally[ALONG_K] += within
    tally[ALONG_M] += between
    _tally_met(nonzero, rows.shape[0] * nonzero.shape[0], weight_nonzero, tally)


@lean_kernel
def _tally_met(nonzero, elements, weight_nonzero, tally):
    """Add zeros among ``elements`` and steps with neither operand zero, from counts by k."""
    found = pairs = 0
    for i in range(nonzero.shape[0]):
        found += nonzero[i]
        pairs += np.int64(nonzero[i]) * np.int64(weight_nonzero[i])
    tally[ZERO] += elements - found
    tally[PAIRS] += pairs


@lean_kernel
def _tally_caches(totals, tally):
    """Add both second operands of an instance; the reduction of values runs over positions."""
    keys, values = totals[0], totals[1]
    tally[0, WEIGHT_NONZERO] += keys[NONZERO]
    tally[0, WEIGHT_ALONG_K] += keys[WITHIN]
    tally[0, WEIGHT_ALONG_N] += keys[BETWEEN]
    tally[1, WEIGHT_NONZERO] += values[NONZERO]
    tally[1, WEIGHT_ALONG_K] += values[BETWEEN]
    tally[1, WEIGHT_ALONG_N] += values[WITHIN]


@kernel
def tally_floats(x, weight_nonzero, tally):
    """Add an instance of a product of float32 x [m, k], as bfloat16, to tally int64 [TALLY]."""
    m, k = x.shape
    rows = np.zeros((m, (k + 3) // 4), np.uint64)
    _round_rows(x, rows)
    marks = np.zeros(rows.shape[1], np.uint64)
    _tally_rows(rows, weight_nonzero, np.empty(k, np.int32), marks, tally)
    tally[SEEN] += 1


@kernel
def tally_words(rows, weight_nonzero, tally):
    """Add an instance of a product whose rows are 16-bit words; the rest as `tally_floats`."""
    nonzero = np.empty(weight_nonzero.shape[0], np.int32)
    marks = np.zeros(rows.shape[1], np.uint64)
    _tally_rows(rows, weight_nonzero, nonzero, marks, tally)
    tally[SEEN] += 1


@kernel
def tally_step(q, keys, values, shares, start, newest, totals, key_nonzero, value_nonzero, tally):
    """Add position ``start`` to the cache, and its attention, an instance for each KV head.

    q float32 [B, 1, N * D], keys and values float32 [B, 1, K * D], shares float32 [B, N, 1, C],
    tally int64 [2, TALLY]: queries by keys, shares by values. The rest as in `extend_cache`.
    """
    extend_cache(keys, start, False, newest[0], key_nonzero, totals[0])
    extend_cache(values, start, True, newest[1], value_nonzero, totals[1])
    batch, heads, _, context = shares.shape
    kv_heads = key_nonzero.shape[1]
    d, group = q.shape[2] // heads, heads // kv_heads
    query_rows = np.zeros((group, (d + 3) // 4), np.uint64)
    share_rows = np.zeros((group, (context + 3) // 4), np.uint64)
    room = np.empty(max(context, d), np.int32)
    marks = np.zeros((max(context, d) + 3) // 4, np.uint64)
    for b in range(batch):
        for h in range(kv_heads):
            first = h * group
            _round_rows(q[b, 0, first * d : (first + group) * d].reshape(group, d), query_rows)
            _round_rows(shares[b, first : first + group, 0], share_rows)
            query_marks, share_marks = marks[: (d + 3) // 4], marks[: (context + 3) // 4]
            _tally_rows(query_rows, key_nonzero[b, h], room[:d], query_marks, tally[0])
            _tally_rows(share_rows, value_nonzero[b, h], room[:context], share_marks, tally[1])
            _tally_caches(totals[:, b, h], tally)


@kernel
def tally_prompt(q, keys, shares, changes, totals, value_nonzero, first, last, tally):
    """Add causal attention over a prompt, an instance for each head, to tally [2, TALLY].

    q float32 [B, P, N * D], keys float32 [B, P, K * D]. shares int32 [B, N, P] and changes int64
    [B, N, 2] are what `count_shares` found in the probabilities. totals and value_nonzero come
    from `extend_cache`, for both caches and for values. Of all B * N heads, first .. last.
    """
    _, heads, positions = shares.shape
    pairs = positions * (positions + 1) // 2
    d, group = q.shape[2] // heads, heads // totals.shape[2]
    rows = np.zeros((positions, (d + 3) // 4), np.uint64)
    unpaired = np.zeros(d, np.int32)
    room = np.empty(d, np.int32)
    marks = np.zeros(rows.shape[1], np.uint64)
    for unit in range(first, last):
        b, head = unit // heads, unit % heads
        h = head // group
        _round_rows(q[b, :, head * d : (head + 1) * d], rows)
        zeros = tally[0, ZERO]
        _tally_rows(rows, unpaired, room, marks, tally[0])
        if tally[0, ZERO] == zeros and totals[0, b, h, NONZERO] == positions * d:
            tally[0, PAIRS] += pairs * d
        else:
            _tally_causal_pairs(rows, keys[b, :, h * d : (h + 1) * d], tally[0])
        _tally_met(shares[b, head], pairs, value_nonzero[b, h], tally[1])
        tally[1, ALONG_K] += changes[b, head, 0]
        tally[1, ALONG_M] += changes[b, head, 1]
        _tally_caches(totals[:, b, h], tally)


@inner_kernel
def _tally_causal_pairs(rows, keys, tally):
    """Add steps with neither operand zero: the query in row i meets keys 0 .. i, [P, D]."""
    positions, d = keys.shape
    key = np.zeros(rows.shape[1], np.uint64)
    met = key.view(np.uint16)
    seen = np.zeros(d, np.int32)
    pairs = 0
    for p in range(positions):
        query = rows[p].view(np.uint16)
        round_row(keys[p], key)
        found = np.int32(0)
        for i in range(d):
            seen[i] += _is_nonzero(met[i])
            found += np.int32(seen[i] * _is_nonzero(query[i]))
        pairs += np.int64(found)
    tally[PAIRS] += pairs
