"""A BitNet b1.58 or llama network, top to bottom.

The architecture is that of microsoft/bitnet-b1.58-2B-4T (arXiv 2504.12285) as transformers 5.23
computes it in float32: pre-norm decoder layers with sub-norms before the output and down
projections, grouped-query attention, rotary positions and a squared-ReLU gate. A llama network has
no sub-norms and a SiLU gate; its linears may be ternary or floats.

Shapes: B batch rows, P positions of this pass, M = B * P, H hidden, F feed-forward, N heads,
K kv heads, D head_dim, C context, V vocabulary.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.errors import UserError
from accelsim.functional import operators
from accelsim.functional.checkpoint import EMBEDDING, FINAL_NORM, LM_HEAD, Checkpoint, DenseWeight
from accelsim.functional.kv_cache import KVCache
from accelsim.functional.linear import (
    DenseLinear,
    Linear,
    LinearBuilder,
    Report,
    build_linear,
)
from accelsim.functional.operators import Floats, Norm, ShareCounts
from accelsim.functional.rope import rope_tables
from accelsim.functional.threads import Threads


class Observer(Protocol):
    """Called for every matrix product of a pass, in the order they run."""

    def __call__(self, name: str, layer: int, kind: str, *operands: NDArray[Any]) -> None:
        """Receive the operands of one product; they must be neither kept unchanged nor written.

        Args:
            name: Tensor name without ``.weight``, or ``model.layers.N.self_attn``.
            layer: Layer number; -1 for the lm_head.
            kind: Says what the operands are:
                ``gemm``: int8 codes [M, k] and int32 sums [M, n], or, of a network that is not
                ternary, float32 operands [M, k] and results [M, n];
                ``attention``: float32 queries [B, P, N * D], keys and values of the pass's own
                positions [B, P, K * D] and probabilities [B, N, P, C], anything above the diagonal;
                ``lm_head``: float32 operands [m, H] and logits [m, V].
            operands: See kind.
        """


@dataclass(frozen=True)
class Layer:
    """Weights of one decoder layer; norms of [H], [N * D], [H], [F]; sub-norms or None."""

    input_norm: Norm
    attention_norm: Norm | None
    post_norm: Norm
    ffn_norm: Norm | None
    q: Linear
    k: Linear
    v: Linear
    o: Linear
    gate: Linear
    up: Linear
    down: Linear

    def with_linears(self, change: Callable[[Linear], Linear]) -> Layer:
        """Return the layer with what ``change`` makes of each linear."""
        return replace(
            self,
            q=change(self.q),
            k=change(self.k),
            v=change(self.v),
            o=change(self.o),
            gate=change(self.gate),
            up=change(self.up),
            down=change(self.down),
        )


class Network:
    """A checkpoint that can be run.

    The bytes of every result depend on the weights and the tokens alone: not on the number of
    threads, the CPU, the rows of a batch, or how positions are cut into passes.

    Attributes:
        config: The network's shape.
        checkpoint: Where the weights came from.
        threads: They share the work.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        threads: int | None = None,
        build: LinearBuilder = build_linear,
    ) -> None:
        """Copy the weights into the kernels' layouts.

        Args:
            checkpoint: What to run.
            threads: How many share the work; by default ``ACCELSIM_THREADS`` or all CPUs.
            build: Makes the layers' linears: exact ones, or those of `narrow`.
        """
        self.config = config = checkpoint.config
        self.checkpoint = checkpoint
        self.threads = Threads(threads)
        self._build = build
        self._layers = [self._build_layer(checkpoint, i) for i in range(config.layers)]
        self._final_norm = self._build_norm(checkpoint.dense[FINAL_NORM])
        self._embedding = operators.panels(checkpoint.dense[EMBEDDING].stored, checkpoint.forget)
        self._lm_head = self._build_lm_head(checkpoint)
        self._cosines, self._sines = self._rope_tables(1)
        self._counts_prompts = False

    def counting(self, change: Callable[[int, Linear], Linear]) -> Network:
        """Return a network that counts while it computes, and shares all else with this one.

        Its observer is told of the attention of a first pass not the probabilities, but the two
        arrays of their `operators.ShareCounts`.

        Args:
            change: Returns what takes the place of a linear in a layer of that number.
        """
        other = copy.copy(self)
        other._counts_prompts = True
        other._layers = [
            layer.with_linears(functools.partial(change, number))
            for number, layer in enumerate(self._layers)
        ]
        return other

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        """Return an empty cache for ``batch`` rows of ``capacity`` positions.

        Raises:
            UserError: the capacity is past the network's longest context.
        """
        return KVCache(self.config, batch, capacity)

    def forward(
        self,
        token_ids: ArrayLike,
        cache: KVCache,
        *,
        last: int | None = None,
        observer: Observer | None = None,
    ) -> Floats:
        """Run one pass and return logits, float32 [B, P, V].

        Args:
            token_ids: Integers [B, P]; they stand at the positions behind those in the cache.
            cache: Of B rows; the pass appends P positions to it.
            last: Compute logits for the last so many positions only: [B, last, V].
            observer: Receives the operands of every product.

        Raises:
            UserError: no token, a token outside the vocabulary, or positions past the capacity.
        """
        ids = self._check_tokens(token_ids, cache)  # [B, P]
        batch, count = ids.shape
        positions = np.tile(np.arange(cache.length, cache.length + count), batch)  # [M]
        self._grow_rope(cache.length + count)
        h = operators.panel_rows(self._embedding, ids.reshape(-1))  # [M, H]
        for number, layer in enumerate(self._layers):
            h = h + self._attention(number, layer, h, positions, cache, observer)  # [M, H]
            h = h + self._feed_forward(number, layer, h, observer)  # [M, H]
        cache.advance(count)
        kept = count if last is None else min(last, count)
        h = h.reshape(batch, count, -1)[:, count - kept :]  # [B, kept, H]
        h = np.ascontiguousarray(h).reshape(batch * kept, -1)  # [B * kept, H]
        x = self._lm_head.enter(h, self._final_norm)  # [B * kept, H]
        logits = self._lm_head(x, _reporter(observer, -1, "lm_head"))  # [B * kept, V]
        return logits.reshape(batch, kept, -1)  # [B, kept, V]

    def _attention(
        self,
        number: int,
        layer: Layer,
        h: Floats,
        positions: NDArray[np.int64],
        cache: KVCache,
        observer: Observer | None,
    ) -> Floats:
        report = _reporter(observer, number)
        x: Any = layer.q.enter(h, layer.input_norm)  # [M, H]
        q = layer.q(x, report)  # [M, N * D]
        k = layer.k(x, report)  # [M, K * D]
        v = layer.v(x, report)  # [M, K * D]
        operators.rotate(q, positions, self._cosines, self._sines, self.threads)
        operators.rotate(k, positions, self._cosines, self._sines, self.threads)
        cache.append(number, k, v)
        q = q.reshape(cache.batch, -1, q.shape[1])  # [B, P, N * D]
        a = self._attend(number, q, k, v, cache, observer)  # [B, P, N * D]
        x = layer.o.enter(a.reshape(h.shape[0], -1), layer.attention_norm)  # [M, N * D]
        return layer.o(x, report)  # [M, H]

    def _attend(
        self,
        number: int,
        q: Floats,
        k: Floats,
        v: Floats,
        cache: KVCache,
        observer: Observer | None,
    ) -> Floats:
        batch, count, heads = q.shape[0], q.shape[1], self.config.heads
        end = cache.length + count
        operands = q, cache.keys[number], cache.values[number], cache.length, heads, self.threads
        if observer is None:
            return operators.attend(*operands)
        name = f"model.layers.{number}.self_attn"
        k, v = k.reshape(batch, count, -1), v.reshape(batch, count, -1)  # [B, P, K * D]
        if self._counts_prompts and not cache.length:
            counted = ShareCounts.zeros(batch, heads, count)
            a = operators.attend(*operands, counted)
            observer(name, number, "attention", q, k, v, *counted)
        else:
            kept = np.empty((batch, heads, count, end), np.float32)
            a = operators.attend(*operands, kept)
            observer(name, number, "attention", q, k, v, kept)
        return a

    def _feed_forward(
        self, number: int, layer: Layer, h: Floats, observer: Observer | None
    ) -> Floats:
        report = _reporter(observer, number)
        x: Any = layer.gate.enter(h, layer.post_norm)  # [M, H]
        gate = layer.gate(x, report)  # [M, F]
        up = layer.up(x, report)  # [M, F]
        y = operators.gated(self.config.activation, gate, up, self.threads)  # [M, F]
        x = layer.down.enter(y, layer.ffn_norm)  # [M, F]
        return layer.down(x, report)  # [M, H]

    def _grow_rope(self, positions: int) -> None:
        """Double the rotary tables until they hold so many positions."""
        size = self._cosines.shape[0]
        if size < positions:
            size = min(max(2 * size, positions, 64), self.config.max_positions)
            self._cosines, self._sines = self._rope_tables(size)

    def _rope_tables(self, size: int) -> tuple[Floats, Floats]:
        config = self.config
        return rope_tables(config.head_dim, config.rope_theta, size, config.rope_scaling)

    def _check_tokens(self, token_ids: ArrayLike, cache: KVCache) -> NDArray[np.int64]:
        ids = np.asarray(token_ids)
        if ids.ndim != 2 or ids.size == 0 or not np.issubdtype(ids.dtype, np.integer):
            given = f"{ids.dtype} {ids.shape}"
            raise UserError("no tokens", value=given, allowed="integers [batch, positions]")
        wrong = ids[(ids < 0) | (ids >= self.config.vocab_size)]
        if wrong.size:
            allowed = f"allowed: 0 to {self.config.vocab_size - 1}"
            raise UserError("token outside the vocabulary", value=int(wrong[0]), allowed=allowed)
        if ids.shape[0] != cache.batch:
            allowed = f"the cache has {cache.batch} rows"
            raise UserError("wrong batch", value=ids.shape[0], allowed=allowed)
        end = cache.length + ids.shape[1]
        if end > cache.capacity:
            allowed = f"allowed: up to {cache.capacity}"
            raise UserError("positions past the cache", value=end, allowed=allowed)
        return ids.astype(np.int64)

    def _build_layer(self, checkpoint: Checkpoint, number: int) -> Layer:
        prefix = f"model.layers.{number}."
        multiplies = checkpoint.config.linear_class == "autobitlinear"

        def linear(name: str) -> Linear:
            weight = checkpoint.linears[prefix + name]
            return self._build(prefix + name, weight, multiplies, self.threads)

        norms = {
            name: self._build_norm(checkpoint.dense[f"{prefix}{name}.weight"])
            for name in checkpoint.config.norm_sizes()
        }

        return Layer(
            input_norm=norms["input_layernorm"],
            attention_norm=norms.get("self_attn.attn_sub_norm"),
            post_norm=norms["post_attention_layernorm"],
            ffn_norm=norms.get("mlp.ffn_sub_norm"),
            q=linear("self_attn.q_proj"),
            k=linear("self_attn.k_proj"),
            v=linear("self_attn.v_proj"),
            o=linear("self_attn.o_proj"),
            gate=linear("mlp.gate_proj"),
            up=linear("mlp.up_proj"),
            down=linear("mlp.down_proj"),
        )

    def _build_norm(self, weight: DenseWeight) -> Norm:
        return Norm(weight.widen(), np.float32(self.config.rms_eps))

    def _build_lm_head(self, checkpoint: Checkpoint) -> DenseLinear:
        tied = checkpoint.config.tie_embeddings
        laid = self._embedding
        if not tied:
            laid = operators.panels(checkpoint.dense[LM_HEAD].stored, checkpoint.forget)
        name = (EMBEDDING if tied else LM_HEAD).removesuffix(".weight")
        return DenseLinear(name, laid, checkpoint.config.vocab_size, self.threads)


def _reporter(observer: Observer | None, layer: int, kind: str = "gemm") -> Report | None:
    if observer is None:
        return None

    def report(name: str, operands: NDArray[Any], sums: NDArray[Any]) -> None:
        observer(name, layer, kind, operands, sums)

    return report
