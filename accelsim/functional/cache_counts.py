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

    def __init__(self, threads: Threads) -> None:
        """Start empty; ``threads`` share the heads of a prompt."""
        self._threads = threads
        self._lock = Lock()
        self.tallies: dict[Phase, NDArray[np.int64]] = {}
        self._resize(0, 0, 0)

    def _resize(self, batch: int, kv_heads: int, head_dim: int) -> None:
        self._positions = 0
        # Of keys and of values: the last position, and the running totals.
        self._newest = np.zeros((2, batch, kv_heads, -(-head_dim // _HELD)), np.uint64)
        self._totals = np.zeros((2, batch, kv_heads, 3), np.int64)
        self._key_nonzero = np.zeros((batch, kv_heads, head_dim), np.int32)
        self._value_nonzero = np.zeros((batch, kv_heads, 0), np.int32)

    def prompt(
        self,
        queries: Floats,
        keys: Floats,
        values: Floats,
        shares: NDArray[np.int32],
        changes: NDArray[np.int64],
    ) -> None:
        """Count the first pass, in which query i meets positions 0 .. i; an instance for each head.

        Args:
            queries: float32 [B, P, N * D].
            keys: float32 [B, P, K * D].
            values: float32 [B, P, K * D].
            shares: int32 [B, N, P], of the probabilities, see `operators.ShareCounts`.
            changes: int64 [B, N, 2], likewise.
        """
        if self._positions or shares.shape[2] != keys.shape[1]:
            raise ValueError(f"a prompt of {keys.shape[1]} positions behind {self._positions}")
        head_dim = queries.shape[2] // shares.shape[1]
        self._resize(len(keys), keys.shape[2] // head_dim, head_dim)
        start = self._advance(keys.shape[1])
        for which, fresh, nonzero in (
            (0, keys, self._key_nonzero),
            (1, values, self._value_nonzero),
        ):
            newest, totals = self._newest[which], self._totals[which]
            count_kernels.extend_cache(fresh, start, which == 1, newest, nonzero, totals)
        tally = self.tallies[Phase.PREFILL] = np.zeros((2, TALLY), np.int64)

        def heads(first: int, last: int) -> None:
            mine = np.zeros_like(tally)
            count_kernels.tally_prompt(
                queries, keys, shares, changes, self._totals, self._value_nonzero,
                first, last, mine,
            )  # fmt: skip
            with self._lock:
                tally[:] += mine

        self._threads.split(heads, shares.shape[0] * shares.shape[1], _WORD_COST * queries.size, 1)

    def step(self, queries: Floats, keys: Floats, values: Floats, shares: Floats) -> None:
        """Count a pass of one position; an instance for each KV head, whose queries share it.

        Args:
            queries: float32 [B, 1, N * D].
            keys: float32 [B, 1, K * D], of the new position.
            values: float32 [B, 1, K * D], likewise.
            shares: float32 [B, N, 1, C], the probabilities.
        """
        if keys.shape[1] != 1 or not self._positions:
            raise ValueError(f"a step of {keys.shape[1]} positions behind {self._positions}")
        start = self._advance(1)
        tally = self.tallies.get(Phase.DECODE)
        if tally is None:
            tally = self.tallies[Phase.DECODE] = np.zeros((2, TALLY), np.int64)
        count_kernels.tally_step(
            *(queries, keys, values, shares, start, self._newest, self._totals),
            *(self._key_nonzero, self._value_nonzero, tally),
        )

    def _advance(self, new: int) -> int:
        """Make room for new positions; return how many there were."""
        start, end = self._positions, self._positions + new
        room = self._value_nonzero.shape[2]
        if end > room:
            roomy = np.zeros((*self._value_nonzero.shape[:2], max(end, 2 * room)), np.int32)
            roomy[:, :, :room] = self._value_nonzero
            self._value_nonzero = roomy
        self._positions = end
        return start
