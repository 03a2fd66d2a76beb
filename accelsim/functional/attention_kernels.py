"""Compiled loops of attention: scores, softmax, values, and what the probabilities were.

Orders of sums as in `kernels`; words and marks as in `count_kernels`.
"""

# The loops that count carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.functional.count_kernels import FLOAT, FULL_16, collect, count_shares
from accelsim.functional.kernels import (
    F32,
    I32,
    I64,
    PANEL,
    ZERO,
    Index,
    add_four,
    add_one,
    exponentials,
)
from accelsim.kernels import inner_kernel, kernel

U64 = NDArray[np.uint64]
_f32 = np.float32
# Not a literal 0, for which numba would compile its users a second time.
_FIRST = np.int64(0)


@inner_kernel
def _softmax_row(x: F32, scale: np.float32, powers: I32) -> None:
    """Replace the scores x [n] by softmax(scale * x)."""
    largest = -_f32(np.inf)
    for t in range(x.shape[0]):
        x[t] *= scale
        largest = max(largest, x[t])
    total = exponentials(x, largest, powers)
    for t in range(x.shape[0]):
        x[t] /= total


@inner_kernel
def _score_tile(q: F32, keys: F32, last: int, sums: F32, scores: F32) -> None:
    """Write scores [rows, 64 * p] of 1 or 4 queries [rows, d] with the panels p * 64 <= last."""
    rows, d = q.shape
    for p in range(last // PANEL + 1):
        sums[: rows * PANEL] = ZERO
        if rows == 4:
            add_four(sums, q[0], q[1], q[2], q[3], keys[p], _FIRST, d)
        else:
            add_one(sums[:PANEL], q[0], keys[p], _FIRST, d)
        for r in range(rows):
            for j in range(PANEL):
                scores[r, p * PANEL + j] = sums[r * PANEL + j]


@inner_kernel
def _value_tile(scores: F32, values: F32, lengths: I64, sums: F32, out: F32) -> None:
    """Write out [rows, d]: row r adds lengths[r] positions, scores [rows, c] times values.

    lengths never fall.
    """
    rows = scores.shape[0]
    d = out.shape[1]
    shortest = lengths[0]
    for p in range(values.shape[0]):
        sums[: rows * PANEL] = ZERO
        panel = values[p]
        if rows == 4:
            add_four(sums, scores[0], scores[1], scores[2], scores[3], panel, _FIRST, shortest)
            for r in range(1, 4):
                lane = sums[r * PANEL : (r + 1) * PANEL]
                add_one(lane, scores[r], panel, shortest, lengths[r])
        else:
            add_one(sums[:PANEL], scores[0], panel, _FIRST, shortest)
        for r in range(rows):
            for j in range(min(PANEL, d - p * PANEL)):
                out[r, p * PANEL + j] = sums[r * PANEL + j]


@inner_kernel
def _read_queries(
    q: F32, start: Index, head: Index, sharing: Index, n: Index, queries: F32, lengths: I64
) -> None:
    """Copy queries n, n + 1, ... of heads that share keys, q [p, heads * d], and their contexts."""
    rows, d = queries.shape
    for r in range(rows):
        lengths[r] = start + (n + r) // sharing + 1
        first = (head + (n + r) % sharing) * d
        for j in range(d):
            queries[r, j] = q[(n + r) // sharing, first + j]


@inner_kernel
def _write_outputs(outputs: F32, head: Index, sharing: Index, n: Index, out: F32) -> None:
    """Copy outputs to where `_read_queries` found their queries."""
    rows, d = outputs.shape
    for r in range(rows):
        first = (head + (n + r) % sharing) * d
        for j in range(d):
            out[(n + r) // sharing, first + j] = outputs[r, j]


@inner_kernel
def _count_row(shares: F32, words: U64, marks: U64, nonzero: I32, changes: I64) -> None:
    """Count the next row of a head's triangle; words hold it and the row before, by turns."""
    n = shares.shape[0]
    count_shares(shares, words[n % 2], words[1 - n % 2], marks, changes)
    if n % FULL_16 == 0:
        collect(marks, FLOAT, nonzero)


@kernel
def attention_units(
    q: F32,
    keys: F32,
    values: F32,
    start: int,
    heads: int,
    begin: int,
    end: int,
    scale: np.float32,
    out: F32,
    kept: F32,
    nonzero: I32,
    changes: I64,
) -> None:
    """Attend for units begin .. end, unit = batch row * heads + head, in float32.

    q, out [b, p, heads * d]: query i stands at position start + i and attends to itself and all
    before it. keys [b, kv_heads, c / 64, d * 64], panels over positions; values [b, kv_heads,
    d / 64 rounded up, c * 64], panels over d. Scores are summed over d, then scaled and softened
    over the true context; the outputs are summed over positions. Four queries at a time, of heads
    that share keys before those of further positions, read keys and values once.

    kept [b, heads, p, start + p] receives the probabilities, or is empty. nonzero [b, heads, p] and
    changes [b, heads, 2] are zero and receive what `count_shares` finds in a prompt, or are empty.
    """
    d, group = q.shape[2] // heads, heads // keys.shape[1]
    length = (start + q.shape[1] + PANEL - 1) // PANEL * PANEL
    queries, scores = np.empty((4, d), np.float32), np.empty((4, length), np.float32)
    powers = np.empty(length, np.int32)
    sums, lengths = np.empty(4 * PANEL, np.float32), np.empty(4, np.int64)
    counted = group if nonzero.size > 0 else 0
    # A row of each head and the one before it, a uint64 of zeros behind either.
    words = np.empty((counted, 2, length // 4 + 1), np.uint64)
    marks = np.zeros((counted, length // 4), np.uint64)
    unit = begin
    while unit < end:
        row, head = unit // heads, unit % heads
        sharing = min(group - head % group, end - unit)
        count = q.shape[1] * sharing
        words[:] = 0
        n = 0
        while n < count:
            rows = 4 if n + 4 <= count else 1
            _read_queries(q[row], start, head, sharing, n, queries[:rows], lengths)
            last = lengths[rows - 1] - 1
            _score_tile(queries[:rows], keys[row, head // group], last, sums, scores)
            for r in range(rows):
                _softmax_row(scores[r, : lengths[r]], scale, powers)
                h, i = (n + r) % sharing, (n + r) // sharing
                if kept.size > 0:
                    kept[row, head + h, i, : lengths[r]] = scores[r, : lengths[r]]
                if counted > 0:
                    found = nonzero[row, head + h], changes[row, head + h]
                    _count_row(scores[r, : lengths[r]], words[h], marks[h], *found)
            _value_tile(scores[:rows], values[row, head // group], lengths, sums, queries)
            _write_outputs(queries[:rows], head, sharing, n, out[row])
            n += rows
        for h in range(sharing if counted > 0 else 0):
            collect(marks[h], FLOAT, nonzero[row, head + h])
        unit += sharing
