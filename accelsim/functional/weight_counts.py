"""Counts of the weights of a checkpoint, which no text changes: taken once, whatever runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from accelsim.functional import counts
from accelsim.functional.checkpoint import DenseWeight, TernaryWeight
from accelsim.functional.counts import WeightTally
from accelsim.functional.threads import Threads

Weight = TernaryWeight | DenseWeight
_BYTE_COST = 8  # of counting a byte of weights, next to a multiply-add


class WeightCounts:
    """The tallies of all weights that were asked for; one object stands for one weight."""

    def __init__(self, forget: Callable[[], None] = lambda: None) -> None:
        """Start with none.

        Args:
            forget: Called while a large weight is counted: what was read will not be read again.
        """
        self._forget = forget
        # With the weights themselves, so that no other object takes the place of one.
        self._known: dict[int, tuple[Weight, WeightTally]] = {}

    def count(self, weights: Iterable[Weight], threads: Threads) -> None:
        """Count those of the weights that are not known yet; the threads share them."""
        fresh = {id(weight): weight for weight in weights if id(weight) not in self._known}
        waiting = list(fresh.values())

        def some(begin: int, end: int) -> None:
            for weight in waiting[begin:end]:
                self._known[id(weight)] = (weight, self._tally(weight))

        size = sum(_stored_bytes(weight) for weight in waiting)
        threads.split(some, len(waiting), _BYTE_COST * size)

    def of(self, weight: Weight, threads: Threads) -> WeightTally:
        """Return the counts of one weight."""
        if id(weight) not in self._known:
            self.count([weight], threads)
        return self._known[id(weight)][1]

    def _tally(self, weight: Weight) -> WeightTally:
        if isinstance(weight, TernaryWeight):
            return counts.tally_ternary(weight)
        return counts.tally_dense(counts.stored_words(weight.stored), self._forget)


def _stored_bytes(weight: Weight) -> int:
    return (weight.packed if isinstance(weight, TernaryWeight) else weight.stored).nbytes
