"""Traces of real networks against operands counted one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_factory import Recipe, write_checkpoint

from accelsim.errors import UserError
from accelsim.functional.checkpoint import read_checkpoint
from accelsim.functional.counts import bf16_words
from accelsim.functional.generate import generate
from accelsim.functional.network import Network
from accelsim.functional.opportunities import opportunities
from accelsim.functional.tracer import record_network, trace_network
from accelsim.trace import (
    COUNT_COLUMNS,
    EXTREME_COLUMNS,
    Kind,
    Trace,
    Workload,
    load_trace,
    save_trace,
    steps,
)

TINY = Path(__file__).parent / "golden" / "bitnet_tiny"
CHANGES = {"zero_plus": {0, 1}, "zero_minus": {0, -1}, "plus_minus": {1, -1}}


def tiny() -> Network:
    return Network(read_checkpoint(TINY), threads=1)


def prompt(batch: int, positions: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (batch, positions))


def flipped(first: np.ndarray, second: np.ndarray) -> int:
    differ = first.astype(np.int64) ^ second.astype(np.int64)
    return int(sum((differ >> bit & 1).sum() for bit in range(16)))


class NaiveCounter:
    """Counts every instance from full matrices with plain numpy, step by step."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.phase = "prefill"
        self.caches: dict[int, list[np.ndarray]] = {}
        self.rows: dict[str, dict[str, int]] = {}

    def start_pass(self, number: int) -> None:
        self.phase = "decode" if number else "prefill"

    def __call__(self, name: str, layer: int, kind: str, *operands: np.ndarray) -> None:
        if kind == "attention":
            q, k, v, probabilities = operands
            held = self.caches.get(layer)
            now = [k, v] if held is None else [np.hstack(x) for x in zip(held, (k, v), strict=True)]
            self.caches[layer] = now
            self.attention(q, *now, probabilities)
        elif kind == "lm_head":
            table = self.network.checkpoint.dense["model.embed_tokens.weight"].widen()
            self.product("lm_head", operands[0], table, np.ones((len(operands[0]), 1), bool))
        else:
            weight: Any = self.network.checkpoint.linears[name]
            self.ternary(name.rpartition(".")[2], operands[0], weight.unpack(), operands[1])

    def add(self, name: str, counts: dict[str, int], extremes: dict[str, int]) -> None:
        row = self.rows.setdefault(f"{self.phase}/{name}", {})
        for column, count in counts.items():
            row[column] = row.get(column, 0) + int(count)
        for column, value in extremes.items():
            row[column] = max(row.get(column, -1), int(value))

    def ternary(self, name: str, x: np.ndarray, w: np.ndarray, acc: np.ndarray) -> None:
        products = x.astype(np.int64)[:, None, :] * w[None]
        counts = {
            "both_nonzero": (products != 0).sum(),
            "weight_nonzero": (w != 0).sum(),
            "weight_plus": (w == 1).sum(),
            "weight_minus": (w == -1).sum(),
            "activation_zero": (x == 0).sum(),
            "activation_hamming_k": flipped(x.view(np.uint8)[:, 1:], x.view(np.uint8)[:, :-1]),
            "activation_hamming_m": flipped(x.view(np.uint8)[1:], x.view(np.uint8)[:-1]),
        }
        for change, pair in CHANGES.items():
            low, high = sorted(pair)
            for axis, a, b in (("k", w[:, 1:], w[:, :-1]), ("n", w[1:], w[:-1])):
                there = ((a == low) & (b == high)) | ((a == high) & (b == low))
                counts[f"weight_{change}_{axis}"] = there.sum()
        extremes = {
            "widest_accumulator": np.abs(acc).max(),
            "activation_sum": np.abs(x.astype(np.int64)).sum(axis=1).max(),
            "accumulator_bound": np.abs(products).sum(axis=2).max(),
            "widest_prefix": np.abs(products.cumsum(axis=2)).max(),
        }
        self.add(name, counts, extremes)

    def attention(self, q: np.ndarray, k: np.ndarray, v: np.ndarray, p: np.ndarray) -> None:
        batch, heads, positions, context = p.shape
        dim = q.shape[2] // heads
        kv_heads = k.shape[2] // dim
        k, v = (x.reshape(batch, context, kv_heads, dim).transpose(0, 2, 1, 3) for x in (k, v))
        q = q.reshape(batch, positions, heads, dim)
        group = heads // kv_heads
        for row in range(batch):
            for first in range(0, heads, 1 if positions > 1 else group):
                mine = slice(first, first + (1 if positions > 1 else group))
                seen = np.tri(positions, context, context - positions, dtype=bool)
                queries = q[row, :, mine].reshape(-1, dim)
                shares = p[row, mine].reshape(-1, context)
                seen = np.repeat(seen, len(queries) // positions, axis=0)
                self.product("attention_qk", queries, k[row, first // group], seen)
                self.product("attention_av", shares, v[row, first // group].T, seen, seen)

    def product(
        self,
        name: str,
        x: np.ndarray,
        w: np.ndarray,
        pairs: np.ndarray,
        inside: np.ndarray | None = None,
    ) -> None:
        """Count x [m, k] times w [n, k] over pairs, bool [m, n] (or [m, k]: ``inside``)."""
        inside = np.ones(x.shape, bool) if inside is None else inside
        met = (x != 0)[:, None, :] & (w != 0)[None]
        met &= pairs[:, None, :] if pairs.shape == x.shape and name.endswith("av") else True
        if name.endswith("qk"):
            met &= pairs[:, :, None]
        a, b = bf16_words(x), bf16_words(np.ascontiguousarray(w))
        both_k, both_m = inside[:, 1:] & inside[:, :-1], inside[1:] & inside[:-1]
        counts = {
            "both_nonzero": met.sum(),
            "weight_nonzero": (w != 0).sum(),
            "weight_hamming_k": flipped(b[:, 1:], b[:, :-1]),
            "weight_hamming_n": flipped(b[1:], b[:-1]),
            "activation_zero": (inside & (x == 0)).sum(),
            "activation_hamming_k": flipped(a[:, 1:][both_k], a[:, :-1][both_k]),
            "activation_hamming_m": flipped(a[1:][both_m], a[:-1][both_m]),
        }
        self.add(name, counts, {})


def naive_rows(network: Network, tokens: np.ndarray, decode: int) -> dict[str, dict[str, int]]:
    counter = NaiveCounter(network)
    generate(network, tokens, decode + 1, observer=counter, before_pass=counter.start_pass)
    return counter.rows


def assert_consistent(trace: Trace) -> None:
    rows, chances = trace.operators, opportunities(trace.operators)
    assert (rows["both_nonzero"] <= steps(rows)).all()
    assert (rows["activation_zero"] <= chances.activations).all()
    assert (rows["weight_nonzero"] <= chances.weights).all()


@pytest.mark.parametrize("prefixes", [True, False])
@pytest.mark.parametrize(
    ("batch", "positions", "decode"), [(1, 9, 3), (3, 4, 2), (2, 5, 0), (1, 3, 5), (5, 2, 2)]
)
def test_trace_of_a_network_is_what_numpy_counts(
    batch: int, positions: int, decode: int, prefixes: bool
) -> None:
    network, tokens = tiny(), prompt(batch, positions)
    workload = Workload(positions, decode, batch)
    trace = trace_network(network, tokens, workload, name="tiny", prefixes=prefixes)
    assert_consistent(trace)
    naive = naive_rows(network, tokens, decode)
    products = {
        name
        for name, row in zip(trace.names, trace.operators, strict=True)
        if row["kind"] >= Kind.GEMM
    }
    assert products == set(naive)
    for name in products:
        row = trace.operators[trace.names.index(name)]
        for column in COUNT_COLUMNS:
            assert int(row[column]) == naive[name].get(column, 0), (name, column)
        known = EXTREME_COLUMNS if prefixes else ("widest_accumulator", "activation_sum")
        for column in known:
            assert int(row[column]) == naive[name].get(column, -1), (name, column)


def test_sums_of_products_are_found_on_request_only() -> None:
    trace = trace_network(tiny(), prompt(1, 5), Workload(5, 1), name="tiny")
    linear = trace.operators["kind"] == Kind.GEMM
    for column in ("accumulator_bound", "widest_prefix"):
        assert (trace.operators[column] == -1).all()
    for column in ("widest_accumulator", "activation_sum"):
        assert (trace.operators[column][linear] > 0).all()
        assert (trace.operators[column][~linear] == -1).all()


def test_trace_says_where_it_came_from(tmp_path: Path) -> None:
    network = tiny()
    trace = trace_network(network, prompt(1, 6), Workload(6, 2), name="tiny")
    ternary = np.concatenate([w.unpack().ravel() for w in network.checkpoint.linears.values()])  # type: ignore[union-attr]
    assert trace.source.kind == "checkpoint"
    assert trace.source.sha256 == network.checkpoint.sha256
    assert trace.source.zero_fraction == pytest.approx((ternary == 0).mean(), abs=1e-12)
    assert trace.footprint.ternary == ternary.size
    save_trace(trace, tmp_path / "trace.npz")
    again = load_trace(tmp_path / "trace.npz")
    assert again.operators.tobytes() == trace.operators.tobytes()


def test_layers_add_up_to_the_trace() -> None:
    recording = record_network(tiny(), prompt(1, 5), Workload(5, 1), name="tiny")
    for column in COUNT_COLUMNS:
        total = sum(layer[column] for layer in recording.layers)
        assert (total == recording.trace.operators[column]).all()


@pytest.mark.parametrize("storage", ["BF16", "F16", "F32"])
def test_unquantised_network_records_sixteen_bit_operands(tmp_path: Path, storage: str) -> None:
    folder = write_checkpoint(tmp_path, Recipe(linear_class=None, storage=storage))
    network = Network(read_checkpoint(folder), threads=1)
    tokens = prompt(1, 6) % network.config.vocab_size
    trace = trace_network(network, tokens, Workload(6, 2), name="dense")
    assert_consistent(trace)
    assert trace.form == "fp16_twin"
    assert not any(name.endswith("quantise") for name in trace.names)
    seen: dict[str, int] = {}

    def watch(name: str, layer: int, kind: str, *operands: np.ndarray) -> None:
        if kind == "gemm":
            w: Any = network.checkpoint.linears[name]
            met = ((operands[0] != 0)[:, None, :] & (w.widen() != 0)[None]).sum()
            row = "prefill/" + name.rpartition(".")[2]
            seen[row] = seen.get(row, 0) + int(met)

    generate(network, tokens, 1, observer=watch)
    assert seen
    for name, count in seen.items():
        row = trace.operators[trace.names.index(name)]
        assert row["both_nonzero"] == count
        assert row["weight_hamming_k"] > 0
        assert row["weight_plus"] == row["weight_zero_plus_k"] == 0
        assert row["widest_accumulator"] == -1


def test_equal_sequences_are_no_batch() -> None:
    twice = np.repeat(prompt(1, 4), 2, axis=0)
    with pytest.raises(UserError, match="two sequences of the batch are equal"):
        trace_network(tiny(), twice, Workload(4, 1, 2), name="tiny")


def test_tokens_have_the_shape_of_the_workload() -> None:
    with pytest.raises(UserError, match="tokens do not fit the workload"):
        trace_network(tiny(), prompt(1, 4), Workload(5, 1), name="tiny")


def test_context_past_the_longest_is_refused() -> None:
    longest = tiny().config.max_positions
    with pytest.raises(UserError, match="longest context"):
        trace_network(tiny(), prompt(1, 4), Workload(4, longest), name="tiny")
