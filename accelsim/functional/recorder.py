"""Fills the rows of a trace with what the operands of a running network really were."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.functional import counts
from accelsim.functional.checkpoint import DenseWeight, TernaryWeight
from accelsim.functional.counts import ActivationTally, WeightTally
from accelsim.functional.threads import Threads
from accelsim.trace import COUNT_COLUMNS, EXTREME_COLUMNS, Phase

Floats = NDArray[np.float32]


class Recorder:
    """Accumulates exact counts of every instance that it is shown.

    Counts of a weight are taken at its first instance and added again at each further one; the
    recorder keeps the weights it has seen, so that one object stands for one weight.
    """

    def __init__(
        self,
        rows: NDArray[np.void],
        names: tuple[str, ...],
        layers: int,
        *,
        threads: Threads | None = None,
        prefixes: bool = False,
    ) -> None:
        """Start from rows whose shapes are set.

        Args:
            rows: ``OPERATOR_DTYPE`` [O], from ``operator_rows``.
            names: Of the rows.
            layers: Decoder layers; rows outside the layers are kept under layer 0.
            threads: Share the products that bound accumulators.
            prefixes: Also find ``widest_prefix``, at the price of a plain product.
        """
        self._rows = rows
        self._index = {name: position for position, name in enumerate(names)}
        self._column = {name: position for position, name in enumerate(COUNT_COLUMNS)}
        self._counts = np.zeros((layers, len(names), len(COUNT_COLUMNS)), np.int64)
        self._extremes = np.full((len(names), len(EXTREME_COLUMNS)), -1, np.int64)
        self._threads = threads or Threads()
        self._prefixes = prefixes
        self._weights: dict[int, tuple[object, WeightTally]] = {}
        self._magnitudes: dict[int, NDArray[np.uint8]] = {}
        self._latest: tuple[object, ActivationTally] | None = None

    def linear(
        self,
        name: str,
        codes: NDArray[np.int8],
        weight: TernaryWeight,
        accumulators: NDArray[np.int32],
        layer: int = 0,
    ) -> None:
        """Count an instance of a ternary linear.

        Args:
            name: Of the row, with its phase.
            codes: int8 [m, k].
            weight: Ternary [n, k].
            accumulators: int32 [m, n], what the product gave.
            layer: Which layer.
        """
        moving = self._moving(codes)
        fixed = self._fixed(weight)
        self._add(name, layer, fixed, moving, counts.nonzero_pairs(fixed, moving))
        widest = max(int(accumulators.max()), -int(accumulators.min()))
        bound = counts.accumulator_bound(codes, self._magnitudes[id(weight)], self._threads)
        prefix = counts.widest_prefix(codes, weight.unpack()) if self._prefixes else -1
        index = self._index[name]
        np.maximum(self._extremes[index], (widest, bound, prefix), out=self._extremes[index])

    def dense(self, name: str, operands: Floats, weight: DenseWeight, layer: int = 0) -> None:
        """Count an instance of a product of 16-bit floats.

        Args:
            name: Of the row, with its phase.
            operands: float32 [m, k]; counted as binary16 where the weight is, else as bfloat16.
            weight: Floats [n, k].
            layer: Which layer.
        """
        half = weight.storage == "F16"
        moving = counts.tally_activations(
            operands.astype(np.float16).view(np.uint16) if half else counts.bf16_words(operands)
        )
        fixed = self._fixed(weight)
        self._add(name, layer, fixed, moving, counts.nonzero_pairs(fixed, moving))

    def attention(
        self,
        phase: Phase,
        queries: Floats,
        keys: Floats,
        values: Floats,
        probabilities: Floats,
        layer: int = 0,
    ) -> None:
        """Count both products of attention, as bfloat16, over the pairs that causality leaves.

        Args:
            phase: Prefill: one instance per head. Decode: one per KV head, its heads share it.
            queries: float32 [B, P, N * D].
            keys: float32 [B, K, C, D].
            values: float32 [B, K, C, D].
            probabilities: float32 [B, N, P, C], zero above the diagonal.
            layer: Which layer.
        """
        batch, kv_heads, _, head_dim = keys.shape
        heads = probabilities.shape[1]
        group = heads // kv_heads
        words = [counts.bf16_words(x) for x in (queries, keys, values, probabilities)]
        q = words[0].reshape(batch, -1, heads, head_dim).transpose(0, 2, 1, 3)  # [B, N, P, D]
        for row in range(batch):
            for kv_head in range(kv_heads):
                shared = slice(kv_head * group, (kv_head + 1) * group)
                self._attend(
                    phase,
                    layer,
                    q[row, shared],
                    words[1][row, kv_head],
                    words[2][row, kv_head],
                    words[3][row, shared],
                )

    def _attend(
        self,
        phase: Phase,
        layer: int,
        q: NDArray[np.uint16],
        k: NDArray[np.uint16],
        v: NDArray[np.uint16],
        p: NDArray[np.uint16],
    ) -> None:
        """Count the heads of one KV head: q [g, P, D], k and v [C, D], p [g, P, C]."""
        causal = phase == Phase.PREFILL
        key_tally = counts.tally_dense(k)
        value_tally = counts.tally_dense(v, reduction_first=True)
        instances = range(len(q)) if causal else [slice(None)]
        for instance in instances:
            queries = q[instance].reshape(-1, q.shape[2])
            shares = p[instance].reshape(-1, p.shape[2])
            moving = counts.tally_activations(queries)
            if causal:
                pairs = counts.causal_nonzero_pairs(queries, k)
            else:
                pairs = counts.nonzero_pairs(key_tally, moving)
            prefix = phase.name.lower()
            self._add(f"{prefix}/attention_qk", layer, key_tally, moving, pairs)
            moving = counts.tally_activations(shares, causal)
            pairs = counts.nonzero_pairs(value_tally, moving)
            self._add(f"{prefix}/attention_av", layer, value_tally, moving, pairs)

    def rows(self) -> NDArray[np.void]:
        """Return the rows with everything counted so far, ``OPERATOR_DTYPE`` [O]."""
        filled = self._with_counts(self._counts.sum(axis=0))
        for position, column in enumerate(EXTREME_COLUMNS):
            filled[column] = self._extremes[:, position]
        return filled

    def layer_rows(self) -> list[NDArray[np.void]]:
        """Return, for each layer, the rows with the counts of that layer alone."""
        return [self._with_counts(layer) for layer in self._counts]

    def _with_counts(self, table: NDArray[np.int64]) -> NDArray[np.void]:
        filled = self._rows.copy()
        for column, position in self._column.items():
            filled[column] = table[:, position]
        return filled

    def _add(
        self,
        name: str,
        layer: int,
        fixed: WeightTally,
        moving: ActivationTally,
        both_nonzero: int,
    ) -> None:
        row = self._counts[layer, self._index[name]]
        row[self._column["both_nonzero"]] += both_nonzero
        for column, count in (*fixed.columns.items(), *moving.columns.items()):
            row[self._column[column]] += count

    def _moving(self, codes: NDArray[np.int8]) -> ActivationTally:
        """Count codes once where several linears in a row read the same array."""
        if self._latest is None or self._latest[0] is not codes:
            self._latest = (codes, counts.tally_activations(counts.code_words(codes)))
        return self._latest[1]

    def _fixed(self, weight: Any) -> WeightTally:
        known = self._weights.get(id(weight))
        if known is None:
            if isinstance(weight, TernaryWeight):
                tally = counts.tally_ternary(weight.unpack())
                self._magnitudes[id(weight)] = counts.lay_out_magnitudes(weight)
            else:
                tally = counts.tally_dense(counts.stored_words(weight.stored))
            known = self._weights[id(weight)] = (weight, tally)
        return known[1]
