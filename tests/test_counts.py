"""Counts against plain numpy over every element and every step."""

from __future__ import annotations

import numpy as np
import pytest
from checkpoint_factory import bfloat16_bits, pack
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.functional.checkpoint import TernaryWeight
from accelsim.functional.counts import (
    LaneProfile,
    accumulator_bound,
    bf16_words,
    causal_nonzero_pairs,
    code_words,
    lay_out_magnitudes,
    nonzero_pairs,
    stored_words,
    tally_activations,
    tally_dense,
    tally_ternary,
    widest_prefix,
)
from accelsim.functional.threads import Threads

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


def magnitudes_of(weights: np.ndarray) -> np.ndarray:
    return lay_out_magnitudes(TernaryWeight(pack(weights), np.float32(1)))


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


@given(n=SIZES, k=SIZES, seed=SEEDS)
@checked
def test_ternary_weights_are_counted_one_by_one(n: int, k: int, seed: int) -> None:
    w = ternary(np.random.default_rng(seed), n, k)
    tally = tally_ternary(w)
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


@given(m=SIZES, n=SIZES, k=SIZES, seed=SEEDS)
@checked
def test_steps_with_both_operands_non_zero_are_exact(m: int, n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = sparse_codes(rng, m, k), ternary(rng, n, k)
    found = nonzero_pairs(tally_ternary(w), tally_activations(code_words(x)))
    assert found == ((x != 0)[:, None, :] & (w != 0)[None]).sum()


@given(m=SIZES, k=SIZES, seed=SEEDS)
@checked
def test_codes_toggle_as_two_complement(m: int, k: int, seed: int) -> None:
    x = sparse_codes(np.random.default_rng(seed), m, k)
    words = x.astype(np.int16) & 0xFF
    assert tally_activations(code_words(x)).columns == {
        "activation_zero": (x == 0).sum(),
        "activation_hamming_k": flipped(words[:, 1:], words[:, :-1]),
        "activation_hamming_m": flipped(words[1:], words[:-1]),
    }


@given(n=SIZES, k=SIZES, seed=SEEDS, first=st.booleans())
@checked
def test_dense_operands_are_counted_one_by_one(n: int, k: int, seed: int, first: bool) -> None:
    x = sparse_floats(np.random.default_rng(seed), n, k)
    words = bfloat16_bits(x)
    tally = tally_dense(np.ascontiguousarray(words.T) if first else words, first)
    assert tally.nonzero.tolist() == (x != 0).sum(axis=0).tolist()
    assert tally.columns == {
        "weight_nonzero": (x != 0).sum(),
        "weight_hamming_k": flipped(words[:, 1:], words[:, :-1]),
        "weight_hamming_n": flipped(words[1:], words[:-1]),
    }


@given(p=SIZES, d=SIZES, seed=SEEDS)
@checked
def test_causal_operands_are_counted_inside_the_triangle(p: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, k = sparse_floats(rng, p, d), sparse_floats(rng, p, d)
    met = ((q != 0)[:, None, :] & (k != 0)[None]).sum(axis=2)
    assert causal_nonzero_pairs(bf16_words(q), bf16_words(k)) == np.tril(met).sum()
    shares = np.tril(sparse_floats(rng, p, p))
    words = bfloat16_bits(shares)
    along_k = sum(flipped(words[i, 1 : i + 1], words[i, :i]) for i in range(p))
    along_m = sum(flipped(words[i, : i + 1], words[i + 1, : i + 1]) for i in range(p - 1))
    assert tally_activations(words, causal=True).columns == {
        "activation_zero": sum((shares[i, : i + 1] == 0).sum() for i in range(p)),
        "activation_hamming_k": along_k,
        "activation_hamming_m": along_m,
    }


@given(m=SIZES, quarter=st.integers(1, 4), k=SIZES, seed=SEEDS)
@checked
def test_bound_and_prefix_are_those_of_every_order(m: int, quarter: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = sparse_codes(rng, m, k), ternary(rng, 4 * quarter, k)
    products = x.astype(np.int64)[:, None, :] * w[None]
    bound = accumulator_bound(x, magnitudes_of(w), Threads(1))
    assert bound == np.abs(products).sum(axis=2).max()
    prefix = widest_prefix(x, w)
    assert prefix == np.abs(products.cumsum(axis=2)).max()
    assert np.abs(products.sum(axis=2)).max() <= prefix <= bound


def test_code_outside_the_symmetric_range_has_no_bound() -> None:
    magnitudes = magnitudes_of(np.ones((4, 2), np.int8))
    with pytest.raises(ValueError, match="-128"):
        accumulator_bound(np.array([[-128, 0]], np.int8), magnitudes, Threads(1))


@given(
    quarter=st.integers(1, 5),
    k=st.integers(1, 20),
    tile_k=st.integers(1, 7),
    tile_n=st.integers(1, 9),
    group=st.integers(1, 9),
    seed=SEEDS,
)
@checked
def test_lane_profile_waits_for_the_slowest_lane_of_each_group(
    quarter: int, k: int, tile_k: int, tile_n: int, group: int, seed: int
) -> None:
    w = ternary(np.random.default_rng(seed), 4 * quarter, k)
    wanted = 0
    for n in range(0, len(w), tile_n):
        for j in range(0, k, tile_k):
            load = (w[n : n + tile_n, j : j + tile_k] != 0).sum(axis=1)
            wanted += sum(int(load[g : g + group].max()) for g in range(0, len(load), group))
    lanes = LaneProfile(TernaryWeight(pack(w), np.float32(1)))
    assert lanes.profile(tile_k, tile_n, group) == wanted
    assert lanes.profile(tile_k, tile_n, group) == wanted


def test_lane_profile_is_not_the_mean_load() -> None:
    """Sixteen lanes of a Gaussian weight wait a quarter longer than their mean (69 % non-zero)."""
    rng = np.random.default_rng(0)
    w = (rng.random((64, 256)) < 0.69).astype(np.int8)
    slowest = LaneProfile(TernaryWeight(pack(w), np.float32(1))).profile(16, 16, 16)
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
        tally_ternary(np.zeros((2, 2), np.int32))
    with pytest.raises(ValueError, match="uint8 or uint16"):
        tally_dense(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="positive"):
        LaneProfile(TernaryWeight(pack(np.ones((4, 2), np.int8)), np.float32(1))).profile(0, 1, 1)
