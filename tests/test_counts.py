"""Counts against plain numpy over every element and every step."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from checkpoint_factory import bfloat16_bits, pack
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.functional import counts, operators
from accelsim.functional.cache_counts import CacheCounts
from accelsim.functional.checkpoint import TernaryWeight
from accelsim.functional.count_kernels import (
    ALONG_K,
    ALONG_M,
    PAIRS,
    SEEN,
    SUM,
    TALLY,
    WEIGHT_ALONG_K,
    WEIGHT_ALONG_N,
    WEIGHT_NONZERO,
    WIDEST,
    ZERO,
    tally_floats,
)
from accelsim.functional.counts import (
    CodesCounter,
    LaneProfile,
    LinearCounter,
    bf16_words,
    stored_words,
    tally_dense,
    tally_ternary,
    tally_words,
    widest_sums,
)
from accelsim.functional.kv_cache import KVCache
from accelsim.functional.threads import Threads
from accelsim.trace import Phase

SIZES = st.integers(1, 12)
SEEDS = st.integers(0, 1 << 20)
checked = settings(max_examples=40)


def ternary(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    return rng.integers(-1, 2, (n, k), dtype=np.int8)


def sparse_codes(rng: np.random.Generator, m: int, k: int) -> np.ndarray:
    codes = rng.integers(-127, 128, (m, k), dtype=np.int8)
    return np.where(rng.random((m, k)) < 0.5, np.int8(0), codes)


def sparse_floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    values = rng.standard_normal(shape).astype(np.float32)
    values[rng.random(shape) < 0.3] = 0.0
    values[rng.random(shape) < 0.1] = -0.0
    return values


def bits_of(x: np.ndarray) -> np.ndarray:
    return x.view(np.uint32).astype(np.int64)


def weight_of(weights: np.ndarray) -> TernaryWeight:
    """Pack ternary [n, k]; rows up to a multiple of four hold zeros."""
    full = np.pad(weights, ((0, -len(weights) % 4), (0, 0)))
    return TernaryWeight(pack(full), np.float32(1), len(weights))


def empty_tally() -> np.ndarray:
    return np.zeros(TALLY, np.int64)


def changes(first: np.ndarray, second: np.ndarray) -> tuple[int, int, int]:
    """Count 0<->+, 0<->-, +<->- one pair at a time."""
    found = [0, 0, 0]
    for a, b in zip(first.ravel().tolist(), second.ravel().tolist(), strict=True):
        for i, pair in enumerate(({0, 1}, {0, -1}, {1, -1})):
            found[i] += {a, b} == pair
    return found[0], found[1], found[2]


def flipped(first: np.ndarray, second: np.ndarray) -> int:
    return sum(
        bin(int(a) ^ int(b)).count("1") for a, b in zip(first.flat, second.flat, strict=True)
    )


@given(n=st.integers(1, 300), k=st.integers(1, 40), seed=SEEDS)
@checked
def test_ternary_weights_are_counted_one_by_one(n: int, k: int, seed: int) -> None:
    w = ternary(np.random.default_rng(seed), n, k)
    tally = tally_ternary(weight_of(w))
    assert tally.nonzero.tolist() == (w != 0).sum(axis=0).tolist()
    along_k, along_n = changes(w[:, 1:], w[:, :-1]), changes(w[1:], w[:-1])
    assert tally.columns == {
        "weight_nonzero": (w != 0).sum(),
        "weight_plus": (w == 1).sum(),
        "weight_minus": (w == -1).sum(),
        "weight_zero_plus_k": along_k[0],
        "weight_zero_minus_k": along_k[1],
        "weight_plus_minus_k": along_k[2],
        "weight_zero_plus_n": along_n[0],
        "weight_zero_minus_n": along_n[1],
        "weight_plus_minus_n": along_n[2],
    }


def test_weights_may_lie_at_any_byte_and_be_read_only() -> None:
    w = ternary(np.random.default_rng(0), 20, 24)
    packed = pack(w)
    room = np.zeros(packed.size + 3, np.uint8)
    room[3:] = packed.ravel()
    moved = room[3:].reshape(packed.shape)
    moved.flags.writeable = False
    assert tally_ternary(TernaryWeight(moved, np.float32(1), 20)).columns == (
        tally_ternary(weight_of(w)).columns
    )


@given(m=SIZES, n=SIZES, k=st.integers(1, 40), seed=SEEDS)
@checked
def test_a_linear_is_counted_step_by_step(m: int, n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = sparse_codes(rng, m, k), ternary(rng, n, k)
    products = x.astype(np.int64)[:, None, :] * w[None]
    sums = products.sum(axis=2).astype(np.int32)
    tally = empty_tally()
    count = LinearCounter(CodesCounter(), tally_ternary(weight_of(w)).nonzero, tally)
    for _ in range(2):
        count(x, sums)
    words = x.astype(np.int16) & 0xFF
    assert tally[PAIRS] == 2 * (products != 0).sum()
    assert tally[ZERO] == 2 * (x == 0).sum()
    assert tally[ALONG_K] == 2 * flipped(words[:, 1:], words[:, :-1])
    assert tally[ALONG_M] == 2 * flipped(words[1:], words[:-1])
    assert tally[SUM] == np.abs(x.astype(int)).sum(axis=1).max()
    assert tally[WIDEST] == np.abs(sums).max()
    assert tally[SEEN] == 2


@given(m=st.integers(1, 4), lanes=st.integers(1, 5), seed=SEEDS, multiplies=st.booleans())
@settings(max_examples=20)
def test_few_rows_count_alike_while_they_are_dequantised(
    m: int, lanes: int, seed: int, multiplies: bool
) -> None:
    rng = np.random.default_rng(seed)
    w = ternary(rng, 11, 8 * lanes)
    nonzero = tally_ternary(weight_of(w)).nonzero
    one_by_one, along_the_way = empty_tally(), empty_tally()
    count = LinearCounter(CodesCounter(), nonzero, one_by_one)
    counter = LinearCounter(CodesCounter(), nonzero, along_the_way)
    scales, scale = rng.random(m, np.float32), np.float32(0.3)
    # More rows in all than an eight-bit count of them holds.
    for _ in range(300):
        x = sparse_codes(rng, m, 8 * lanes)
        sums = (x.astype(np.int32) @ w.T).astype(np.int32)
        count(x, sums)
        y = counter.dequantise(x, sums, scales, scale, multiplies, Threads(1))
    counter.settle()
    assert along_the_way.tolist() == one_by_one.tolist()
    wanted = operators.dequantise(sums, scales, scale, multiplies, Threads(1))
    assert y.tobytes() == wanted.tobytes()


def test_columns_of_more_than_255_rows_are_counted() -> None:
    x = np.ones((700, 8), np.int8)
    tally = empty_tally()
    LinearCounter(CodesCounter(), np.full(8, 3, np.int32), tally)(x, np.zeros((700, 4), np.int32))
    assert tally[PAIRS] == 700 * 8 * 3


@given(n=SIZES, k=SIZES, seed=SEEDS)
@checked
def test_dense_operands_are_counted_one_by_one(n: int, k: int, seed: int) -> None:
    x = sparse_floats(np.random.default_rng(seed), n, k)
    words = bf16_words(x)
    tally = tally_dense(words)
    assert tally.nonzero.tolist() == (x != 0).sum(axis=0).tolist()
    assert tally.columns == {
        "weight_nonzero": (x != 0).sum(),
        "weight_hamming_k": flipped(words[:, 1:], words[:, :-1]),
        "weight_hamming_n": flipped(words[1:], words[:-1]),
    }


@pytest.mark.parametrize("block", [1, 20, 100])
def test_a_dense_weight_counted_in_blocks_is_counted_once(monkeypatch, block):
    words = np.random.default_rng(block).integers(0, 3, (37, 13)).astype(np.uint16)
    whole = tally_dense(words)
    monkeypatch.setattr(counts, "_BLOCK_WORDS", block)
    cut = tally_dense(words)
    assert cut.columns == whole.columns
    np.testing.assert_array_equal(cut.nonzero, whole.nonzero)


@given(m=SIZES, n=SIZES, k=SIZES, seed=SEEDS)
@checked
def test_floats_are_counted_as_the_words_they_round_to(m: int, n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = sparse_floats(rng, m, k), sparse_floats(rng, n, k)
    words = bf16_words(x)
    weight = tally_dense(bf16_words(w)).nonzero
    rounded, given_words = empty_tally(), empty_tally()
    tally_floats(x, weight, rounded)
    tally_words(words, weight, given_words)
    assert rounded.tolist() == given_words.tolist()
    assert rounded[PAIRS] == ((x != 0)[:, None, :] & (w != 0)[None]).sum()
    assert rounded[ZERO] == (x == 0).sum()
    assert rounded[ALONG_K] == flipped(words[:, 1:], words[:, :-1])
    assert rounded[ALONG_M] == flipped(words[1:], words[:-1])


class Attention:
    """Random operands of a prompt and of steps behind it, and their counts one by one."""

    def __init__(
        self,
        seed: int,
        prompt: int,
        steps: int,
        batch: int,
        kv: int,
        group: int,
        d: int,
        threads: int = 1,
    ):
        rng = np.random.default_rng(seed)
        self.sizes = (batch, kv, group, d)
        self.prompt, self.positions = prompt, prompt + steps
        heads, end = kv * group, prompt + steps
        self.q = sparse_floats(rng, batch, end, heads * d)
        self.k, self.v = (sparse_floats(rng, batch, end, kv * d) for _ in range(2))
        for operand, without_zeros in ((self.q, seed & 1), (self.k, seed & 2)):
            operand[(operand == 0) & bool(without_zeros)] = 1
        self.counted = operators.ShareCounts.zeros(batch, heads, prompt)
        self.shares = [
            self.attend(Threads(threads)),
            *(sparse_floats(rng, batch, heads, 1, p + 1) for p in range(prompt, end)),
        ]

    def attend(self, threads: Threads) -> np.ndarray:
        """Return the probabilities of the prompt; the network's own kernel counts them too."""
        batch, kv, group, d = self.sizes
        config = SimpleNamespace(max_positions=self.prompt, layers=1, kv_heads=kv, head_dim=d)
        cache = KVCache(config, batch, self.prompt)
        q, k, v = self.parts(0, self.prompt)
        cache.append(0, *(x.reshape(-1, kv * d) for x in (k, v)))
        # Scores far apart leave probabilities of zero.
        operands = 50 * q, cache.keys[0], cache.values[0], 0, kv * group, threads
        shares = np.full((batch, kv * group, self.prompt, self.prompt), np.nan, np.float32)
        plain = operators.attend(*operands, shares)
        assert operators.attend(*operands, self.counted).tobytes() == plain.tobytes()
        return shares

    def parts(self, begin: int, end: int) -> list[np.ndarray]:
        return [np.ascontiguousarray(x[:, begin:end]) for x in (self.q, self.k, self.v)]

    def fixed(self, operand: np.ndarray, kv_head: int, row: int, context: int) -> np.ndarray:
        d = self.sizes[3]
        return operand[row, :context, kv_head * d : (kv_head + 1) * d]

    def wanted_step(self, position: int) -> np.ndarray:
        """Count a step: one instance for each KV head and row, float32 operands in numpy."""
        batch, kv, group, d = self.sizes
        total = np.zeros((2, TALLY), np.int64)
        shares = self.shares[position - self.prompt + 1]
        for row in range(batch):
            for h in range(kv):
                heads = slice(h * group, (h + 1) * group)
                q = self.q[row, position].reshape(-1, d)[heads]
                key, value = (self.fixed(x, h, row, position + 1) for x in (self.k, self.v))
                total[0] += self.product(q, key, np.ones((group, d), bool))
                share = shares[row, heads, 0]
                total[1] += self.product(share, value.T, np.ones(share.shape, bool))
        return total

    def wanted_prompt(self) -> np.ndarray:
        batch, kv, group, d = self.sizes
        total, p = np.zeros((2, TALLY), np.int64), self.prompt
        inside = np.tri(p, dtype=bool)
        for row in range(batch):
            for head in range(kv * group):
                key, value = (self.fixed(x, head // group, row, p) for x in (self.k, self.v))
                q = self.q[row, :p, head * d : (head + 1) * d]
                counted = self.product(q, key, np.ones(q.shape, bool))
                met = (q != 0)[:, None, :] & (key != 0)[None]
                counted[PAIRS] = (met & inside[:, :, None]).sum()
                total[0] += counted
                total[1] += self.product(self.shares[0][row, head], value.T, inside)
        return total

    @staticmethod
    def product(x: np.ndarray, w: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Count x [m, k], where ``inside``, times w [n, k]."""
        a, b = bf16_words(x).astype(int), bf16_words(w).astype(int)
        both_k, both_m = inside[:, 1:] & inside[:, :-1], inside[1:] & inside[:-1]
        found = np.zeros(TALLY, np.int64)
        found[PAIRS] = ((inside & (x != 0))[:, None, :] & (w != 0)[None]).sum()
        found[ZERO] = (inside & (x == 0)).sum()
        found[ALONG_K] = flipped(a[:, 1:][both_k], a[:, :-1][both_k])
        found[ALONG_M] = flipped(a[1:][both_m], a[:-1][both_m])
        found[WEIGHT_NONZERO] = (w != 0).sum()
        found[WEIGHT_ALONG_K] = flipped(b[:, 1:], b[:, :-1])
        found[WEIGHT_ALONG_N] = flipped(b[1:], b[:-1])
        return found


@given(
    prompt=st.sampled_from([*range(1, 10), 33, 67]),
    steps=st.integers(0, 4),
    batch=st.integers(1, 2),
    kv=st.integers(1, 2),
    group=st.integers(1, 3),
    d=st.integers(1, 9),
    threads=st.integers(1, 2),
    seed=SEEDS,
)
@settings(max_examples=30)
def test_a_cache_that_grows_counts_like_the_whole_context(
    prompt: int, steps: int, batch: int, kv: int, group: int, d: int, threads: int, seed: int
) -> None:
    case = Attention(seed, prompt, steps, batch, kv, group, d, threads)
    operands = case.parts(0, prompt)
    cache = CacheCounts(Threads(threads))
    cache.prompt(*operands, *case.counted)
    assert cache.tallies[Phase.PREFILL].tolist() == case.wanted_prompt().tolist()
    wanted = np.zeros((2, TALLY), np.int64)
    for position in range(prompt, prompt + steps):
        cache.step(*case.parts(position, position + 1), case.shares[position - prompt + 1])
        wanted += case.wanted_step(position)
        assert cache.tallies[Phase.DECODE].tolist() == wanted.tolist()


def test_a_second_prompt_and_a_long_step_are_refused() -> None:
    case = Attention(0, 3, 2, 1, 1, 1, 2)
    operands = case.parts(0, 3)
    cache = CacheCounts(Threads(1))
    with pytest.raises(ValueError, match="behind 0"):
        cache.step(*case.parts(3, 4), case.shares[1])
    cache.prompt(*operands, *case.counted)
    with pytest.raises(ValueError, match="behind 3"):
        cache.prompt(*operands, *case.counted)
    with pytest.raises(ValueError, match="a step of 3"):
        cache.step(*operands, case.shares[1])


@given(m=SIZES, n=st.integers(1, 300), k=SIZES, seed=SEEDS)
@checked
def test_bound_and_prefix_are_those_of_every_order(m: int, n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = sparse_codes(rng, m, k), ternary(rng, n, k)
    products = x.astype(np.int64)[:, None, :] * w[None]
    prefix, bound = widest_sums(x, weight_of(w))
    assert bound == np.abs(products).sum(axis=2).max()
    assert prefix == np.abs(products.cumsum(axis=2)).max()
    assert np.abs(products.sum(axis=2)).max() <= prefix <= bound
    assert bound <= np.abs(x.astype(int)).sum(axis=1).max()


@given(
    n=st.integers(1, 20),
    k=st.integers(1, 20),
    tile_k=st.integers(1, 7),
    tile_n=st.integers(1, 9),
    group=st.integers(1, 9),
    seed=SEEDS,
)
@checked
def test_lane_profile_waits_for_the_slowest_lane_of_each_group(
    n: int, k: int, tile_k: int, tile_n: int, group: int, seed: int
) -> None:
    w = ternary(np.random.default_rng(seed), n, k)
    wanted = 0
    for first in range(0, n, tile_n):
        for j in range(0, k, tile_k):
            load = (w[first : first + tile_n, j : j + tile_k] != 0).sum(axis=1)
            wanted += sum(int(load[g : g + group].max()) for g in range(0, len(load), group))
    lanes = LaneProfile(weight_of(w))
    assert lanes.profile(tile_k, tile_n, group) == wanted
    assert lanes.profile(tile_k, tile_n, group) == wanted


def test_lane_profile_is_not_the_mean_load() -> None:
    """Sixteen lanes of a Gaussian weight wait a quarter longer than their mean (69 % non-zero)."""
    rng = np.random.default_rng(0)
    w = (rng.random((64, 256)) < 0.69).astype(np.int8)
    slowest = LaneProfile(weight_of(w)).profile(16, 16, 16)
    assert 1.15 < slowest * 16 / int(w.sum()) < 1.35


def test_stored_formats_become_their_own_bits() -> None:
    x = sparse_floats(np.random.default_rng(1), 3, 5)
    half = x.astype(np.float16)
    assert (stored_words(half) == half.view(np.uint16)).all()
    assert (stored_words(bfloat16_bits(x)) == bfloat16_bits(x)).all()


@given(bits=st.lists(st.integers(0, (1 << 31) - (1 << 24)), min_size=1, max_size=20))
@checked
def test_floats_round_to_the_nearest_bfloat16(bits: list[int]) -> None:
    x = np.array([bits], np.uint32).view(np.float32)
    below = bits_of(x) >> 16
    for value, low, word in zip(x[0], below[0].tolist(), bf16_words(x)[0].tolist(), strict=True):
        down, up = (np.array([w << 16], np.uint32).view(np.float32)[0] for w in (low, low + 1))
        gaps = float(value) - float(down), float(up) - float(value)
        even = low + low % 2
        assert word == (even if gaps[0] == gaps[1] else low if gaps[0] < gaps[1] else low + 1)


def test_operands_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="matrix of int8"):
        widest_sums(np.zeros((2, 2), np.int32), weight_of(np.ones((4, 2), np.int8)))
    with pytest.raises(ValueError, match="matrix of uint16"):
        tally_dense(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="positive"):
        LaneProfile(weight_of(np.ones((4, 2), np.int8))).profile(0, 1, 1)
