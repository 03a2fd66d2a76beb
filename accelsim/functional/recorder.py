"""Fills the rows of a trace with what the operands of a running network really were."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from accelsim.functional import count_kernels, counts
from accelsim.functional.cache_counts import CacheCounts
from accelsim.functional.checkpoint import DenseWeight, TernaryWeight
from accelsim.functional.count_kernels import TALLY
from accelsim.functional.counts import CodesCounter, LinearCounter, WeightTally
from accelsim.functional.threads import Threads
from accelsim.functional.weight_counts import Weight, WeightCounts
from accelsim.trace import COUNT_COLUMNS, EXTREME_COLUMNS, Phase

Floats = NDArray[np.float32]
Int64 = NDArray[np.int64]
Codes = NDArray[np.int8]
Counter = Callable[..., None]
_COLUMN = {name: position for position, name in enumerate(COUNT_COLUMNS)}
# The trace columns of the first entries of every tally, and of the last ones of attention.
_MOVING = [
    _COLUMN[name]
    for name in ("both_nonzero", "activation_zero", "activation_hamming_k", "activation_hamming_m")
]
_CACHE = [_COLUMN[name] for name in ("weight_nonzero", "weight_hamming_k", "weight_hamming_n")]


class _Site:
    """A linear of one layer in one phase: the counts of its weight and of all its instances."""

    def __init__(self, row: int, layer: int, weight: Weight, counted: WeightTally) -> None:
        self.row = row
        self.layer = layer
        self.weight = weight
        self.counted = np.array([counted.columns.get(name, 0) for name in COUNT_COLUMNS], np.int64)
        self.nonzero = counted.nonzero
        self.tally = np.zeros(TALLY, np.int64)
        self.bound = self.prefix = -1

    def count_floats(self, operands: Floats, _: Floats) -> None:
        """Count operands [m, k] as binary16 where the weight is, else as bfloat16."""
        if isinstance(self.weight, DenseWeight) and self.weight.storage == "F16":
            words = operands.astype(np.float16).view(np.uint16)
            counts.tally_words(words, self.nonzero, self.tally)
        else:
            count_kernels.tally_floats(operands, self.nonzero, self.tally)

    def find_widest(self, codes: Codes, weight: TernaryWeight) -> None:
        """Do the plain products that bound sums."""
        prefix, bound = counts.widest_sums(codes, weight)
        self.prefix, self.bound = max(self.prefix, prefix), max(self.bound, bound)

    def extremes(self) -> tuple[int, int, int, int]:
        """Return what was largest, in the order of ``EXTREME_COLUMNS``."""
        if not isinstance(self.weight, TernaryWeight):
            return -1, -1, -1, -1
        widest, largest = self.tally[count_kernels.WIDEST], self.tally[count_kernels.SUM]
        return int(widest), int(largest), self.bound, self.prefix


class Recorder:
    """Accumulates exact counts of every instance that it is shown.

    Counts of a weight are taken once and multiplied by the number of instances at the end.
    """

    def __init__(
        self,
        rows: NDArray[np.void],
        names: tuple[str, ...],
        layers: int,
        *,
        threads: Threads | None = None,
        prefixes: bool = False,
        weights: WeightCounts | None = None,
    ) -> None:
        """Start from rows whose shapes are set.

        Args:
            rows: ``OPERATOR_DTYPE`` [O], from ``operator_rows``.
            names: Of the rows.
            layers: Decoder layers; rows outside the layers are kept under layer 0.
            threads: Share what is worth it.
            prefixes: Also find ``accumulator_bound`` and ``widest_prefix``, at the price of two
                plain products for each linear.
            weights: Counts of those that are known; the others are counted when they first run.
        """
        self._rows = rows
        self._index = {name: position for position, name in enumerate(names)}
        self._layers = layers
        self._threads = threads or Threads()
        self._prefixes = prefixes
        self._weights = weights or WeightCounts()
        self._sites: list[_Site] = []
        self._caches: dict[int, CacheCounts] = {}
        self._codes = CodesCounter(self._threads)
        self._linears: list[LinearCounter] = []

    def linear(self, name: str, weight: Weight, layer: int = 0) -> Counter:
        """Return what counts an instance of a linear, given its operands and its results.

        Of a ternary linear these are int8 codes [m, k] and int32 sums [m, n], of another float32
        operands [m, k].

        Args:
            name: Of the row, with its phase.
            weight: [n, k].
            layer: Which layer.
        """
        counted = self._weights.of(weight, self._threads)
        site = _Site(self._index[name], layer, weight, counted)
        self._sites.append(site)
        if not isinstance(weight, TernaryWeight):
            return site.count_floats
        count = LinearCounter(self._codes, site.nonzero, site.tally)
        self._linears.append(count)
        if not self._prefixes:
            return count

        def count_and_bound(codes: Codes, sums: NDArray[np.int32]) -> None:
            count(codes, sums)
            site.find_widest(codes, weight)

        return count_and_bound

    def attention(self, phase: Phase, layer: int = 0) -> Counter:
        """Return what counts both products of attention, over the pairs that causality leaves.

        Their operands are those of `CacheCounts.prompt` or `CacheCounts.step`.

        Args:
            phase: Prefill: one instance per head. Decode: one per KV head, its heads share it.
            layer: Which layer.
        """
        cache = self._caches.setdefault(layer, CacheCounts(self._threads))
        return cache.prompt if phase == Phase.PREFILL else cache.step

    def rows(self) -> NDArray[np.void]:
        """Return the rows with everything counted so far, ``OPERATOR_DTYPE`` [O]."""
        filled = self._with_counts(self._table().sum(axis=0))
        extremes = np.full((len(filled), len(EXTREME_COLUMNS)), -1, np.int64)
        if self._sites:
            found = np.array([site.extremes() for site in self._sites])
            np.maximum.at(extremes, [site.row for site in self._sites], found)
        for position, column in enumerate(EXTREME_COLUMNS):
            filled[column] = extremes[:, position]
        return filled

    def layer_rows(self) -> list[NDArray[np.void]]:
        """Return, for each layer, the rows with the counts of that layer alone."""
        return [self._with_counts(layer) for layer in self._table()]

    def _table(self) -> Int64:
        """Return all counts, int64 [layers, rows, ``COUNT_COLUMNS``]."""
        for linear in self._linears:
            linear.settle()
        table = np.zeros((self._layers, len(self._index), len(COUNT_COLUMNS)), np.int64)
        if self._sites:
            tallies = np.array([site.tally for site in self._sites])
            counted = np.array([site.counted for site in self._sites])
            counted *= tallies[:, count_kernels.SEEN, None]
            counted[:, _MOVING] = tallies[:, : len(_MOVING)]
            where = [site.layer for site in self._sites], [site.row for site in self._sites]
            table[where] = counted
        for layer, cache in self._caches.items():
            for phase, tally in cache.tallies.items():
                for name, counted in zip(("attention_qk", "attention_av"), tally, strict=True):
                    row = table[layer, self._index[f"{phase.name.lower()}/{name}"]]
                    row[_MOVING + _CACHE] = counted
        return table

    def _with_counts(self, table: Int64) -> NDArray[np.void]:
        filled = self._rows.copy()
        for column, position in _COLUMN.items():
            filled[column] = table[:, position]
        return filled
