"""Counts of the operands of attention in one layer.

Keys and values of past positions never change, so what was counted of them is kept and new
positions are added: a pass costs what it brings, not the length of its context.
"""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from accelsim.functional import count_kernels
from accelsim.functional.count_kernels import TALLY
from accelsim.functional.threads import Threads
from accelsim.trace import Phase

Floats = NDArray[np.float32]
_HELD = 4  # bfloat16 words in a uint64
_WORD_COST = 32  # of counting a word, next to a multiply-add


class CacheCounts:
    """What keys and values were so far, and the tallies of the attention that read them.

    Attributes:
        tallies: int64 [2, TALLY] of each phase that ran; rows are queries by keys and
            probabilities by values, positions are those that `count_kernels` names.
    """

    def __init__(self, shape: tuple[int, ...], threads: Threads) -> None:
        """Start empty.

        Args:
            shape: [batch, kv_heads, any, head_dim] of the keys.
            threads: They share the heads of a prompt.
        """
        self._threads = threads
        batch, kv_heads, _, head_dim = shape
        row = (batch, kv_heads, -(-head_dim // _HELD))
        self.tallies: dict[Phase, NDArray[np.int64]] = {}
        self._lock = Lock()
        self._positions = 0
        self._newest = [np.zeros(row, np.uint64) for _ in range(2)]
        self._totals = [np.zeros((batch, kv_heads, 3), np.int64) for _ in range(2)]
        self._key_nonzero = np.zeros((batch, kv_heads, head_dim), np.int32)
        self._value_nonzero = np.zeros((batch, kv_heads, 0), np.int32)

    def count(
        self, phase: Phase, queries: Floats, keys: Floats, values: Floats, shares: Floats
    ) -> None:
        """Add new positions, then both products of their queries with all positions.

        Args:
            phase: Prefill is the first pass; a pass of decode has one position.
            queries: float32 [B, P, N * D].
            keys: float32 [B, K, P, D], of the new positions.
            values: float32 [B, K, P, D], likewise.
            shares: float32 [B, N, P, C], zero above the diagonal.
        """
        start, new = self._positions, keys.shape[2]
        if (start > 0 or shares.shape[3] != new) if phase == Phase.PREFILL else new != 1:
            raise ValueError(f"{phase.name.lower()} of {new} positions behind {start}")
        fresh = [_by_position(keys), _by_position(values)]
        self._make_room(start + new)
        nonzero = (self._key_nonzero, self._value_nonzero)
        for which in range(2):
            count_kernels.extend_cache(
                *(fresh[which], start, which == 1),
                *(self._newest[which], nonzero[which], self._totals[which]),
            )
        self._positions += new
        if phase not in self.tallies:
            self.tallies[phase] = np.zeros((2, TALLY), np.int64)
        known = (*self._totals, self._value_nonzero)
        if phase == Phase.DECODE:
            tally = self.tallies[phase]
            count_kernels.tally_step(queries, shares, self._key_nonzero, *known, tally)
            return

        def heads(first: int, last: int) -> None:
            tally = np.zeros((2, TALLY), np.int64)
            count_kernels.tally_prompt(queries, fresh[0], shares, *known, first, last, tally)
            with self._lock:
                self.tallies[phase] += tally

        count = shares.shape[0] * shares.shape[1]
        self._threads.split(heads, count, _WORD_COST * (shares.size // 2 + 2 * queries.size))

    def _make_room(self, positions: int) -> None:
        room = self._value_nonzero.shape[2]
        if positions > room:
            left = max(positions, 2 * room) - room
            self._value_nonzero = np.pad(self._value_nonzero, ((0, 0), (0, 0), (0, left)))


def _by_position(heads: Floats) -> Floats:
    """Return float32 [B, K, P, D] as [B, P, K * D]."""
    batch, kv_heads, positions, d = heads.shape
    return np.ascontiguousarray(heads.transpose(0, 2, 1, 3).reshape(batch, positions, kv_heads * d))
