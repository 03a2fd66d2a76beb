"""Narrow arithmetic against Python integers, and against what the CPU kernels are known to do."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from checkpoint_factory import Recipe, pack, write_checkpoint
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import UserError
from accelsim.functional import narrow_kernels
from accelsim.functional.checkpoint import TernaryWeight, read_checkpoint
from accelsim.functional.dump import write_dump
from accelsim.functional.generate import generate
from accelsim.functional.linear import build_linear
from accelsim.functional.narrow import (
    EXACT,
    Arithmetic,
    emulating,
    lane_sums,
    parse_arithmetic,
    prefix_range,
    saturating_sums,
    signed_bits,
    wrapped,
)
from accelsim.functional.narrow_compare import compare_arithmetic
from accelsim.functional.network import Network
from accelsim.functional.score import score
from accelsim.functional.threads import Threads

TINY = Path(__file__).parent / "golden" / "bitnet_tiny"
ONE = Threads(1)


def weight_of(ternary: np.ndarray, scale: float = 1.0) -> TernaryWeight:
    return TernaryWeight(pack(ternary), np.float32(scale), len(ternary))


def operands(seed: int, m: int, k: int, outputs: int, lean: float = 0.0):
    """Return codes [m, k] and ternary weights [outputs, k]; ``lean`` makes signs agree."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-128, 128, (m, k)).astype(np.int8)
    weights = rng.integers(-1, 2, (outputs, k)).astype(np.int8)
    agree = np.where(codes[:1] < 0, -1, 1).astype(np.int8)
    return codes, np.where(rng.random((outputs, k)) < lean, agree, weights)


SHAPES = st.tuples(
    st.integers(0, 10**6),
    st.integers(1, 4),
    st.integers(1, 70),
    st.sampled_from([4, 8, 60, 64, 68, 132]),
    st.sampled_from([0.0, 0.5]),
)


def signed(value: int, bits: int) -> int:
    """Read the low bits of a Python integer as a signed number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def add_up(codes, weights, step):
    """Return sums [m][outputs] of Python integers, ``step`` applied after every addition."""
    rows = []
    for x in codes.tolist():
        row = []
        for w in weights.tolist():
            total = 0
            for a, b in zip(x, w, strict=True):
                total = step(total + a * b)
            row.append(total)
        rows.append(row)
    return rows


@given(SHAPES, st.integers(2, 32))
def test_a_saturating_sum_is_clamped_after_every_addition(shape, bits):
    codes, weights = operands(*shape)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    expected = add_up(codes, weights, lambda total: max(low, min(high, total)))
    assert saturating_sums(codes, weight_of(weights), bits, ONE).tolist() == expected


@given(SHAPES, st.integers(2, 32))
def test_a_wrapping_sum_keeps_the_low_bits_after_every_addition(shape, bits):
    codes, weights = operands(*shape)
    expected = add_up(codes, weights, lambda total: signed(total, bits))
    assert sums_of(Arithmetic("wrap", bits), codes, weights).tolist() == expected


@given(st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=1), st.integers(2, 32))
def test_wrapping_reads_the_low_bits_of_any_sum(values, bits):
    expected = [signed(value, bits) for value in values]
    assert wrapped(np.array(values, np.int32), bits).tolist() == expected


def sums_of(arithmetic, codes, weights):
    """Return what a linear reports for these codes."""
    linear = emulating(arithmetic)("linear", weight_of(weights), True, ONE)
    entered = linear.enter(codes.astype(np.float32))._replace(codes=codes)
    reported = []
    linear(entered, lambda name, codes, sums: reported.append(sums))
    return reported[0]


@given(SHAPES)
def test_running_sums_reach_the_least_and_the_greatest_prefix(shape):
    codes, weights = operands(*shape)
    prefixes = np.cumsum(codes[:, None].astype(np.int64) * weights[None], axis=2)
    expected = (min(int(prefixes.min()), 0), max(int(prefixes.max()), 0))
    assert prefix_range(codes, weight_of(weights), ONE) == expected


@given(st.integers(-(1 << 31), 0), st.integers(0, (1 << 31) - 1))
def test_signed_bits_hold_both_ends_and_one_fewer_does_not(least, most):
    def holds(bits):
        return bits > 0 and -(1 << (bits - 1)) <= least and most <= (1 << (bits - 1)) - 1

    bits = signed_bits(least, most)
    assert holds(bits)
    assert not holds(bits - 1)


@given(SHAPES)
def test_the_bits_of_the_prefixes_never_saturate_and_those_of_the_sums_never_wrap(shape):
    codes, weights = operands(*shape)
    weight = weight_of(weights)
    exact = codes.astype(np.int64) @ weights.T
    bits = max(2, signed_bits(*prefix_range(codes, weight, ONE)))
    assert (saturating_sums(codes, weight, bits, ONE) == exact).all()
    bits = max(2, signed_bits(int(exact.min()), int(exact.max())))
    assert (wrapped(exact.astype(np.int32), bits) == exact).all()
    if bits > 2:
        assert (wrapped(exact.astype(np.int32), bits - 1) != exact).any()


def test_outputs_that_do_not_fill_a_byte_are_left_out():
    codes, weights = operands(3, 2, 33, 12)
    packed = pack(weights)
    expected = codes.astype(np.int64) @ weights[:10].T
    wide = np.int32(1 << 29)
    sums = np.zeros((2, 10), np.int32)
    narrow_kernels.saturate_rows(codes, packed, 0, 3, ~wide, wide, sums)
    assert (sums == expected).all()


@pytest.mark.parametrize("bits", [9, 13])
def test_threads_do_not_show_in_saturated_sums(bits):
    codes, weights = operands(5, 40, 256, 644)
    weight = weight_of(weights)
    alone = saturating_sums(codes, weight, bits, ONE)
    assert (saturating_sums(codes, weight, bits, Threads(3)) == alone).all()
    assert (lane_sums(codes, weight, Threads(3)) == lane_sums(codes, weight, ONE)).all()
    assert prefix_range(codes, weight, Threads(3)) == prefix_range(codes, weight, ONE)


def i2_s_bytes(row: np.ndarray) -> list[int]:
    """Pack a row [k] as I2_S: byte j of a block of 128 holds elements j, 32 + j, 64 + j, 96 + j."""
    packed = []
    for block in (row.astype(int) + 1).reshape(-1, 4, 32).tolist():
        packed += [a << 6 | b << 4 | c << 2 | d for a, b, c, d in zip(*block, strict=True)]
    return packed


def i2_s_dot(packed: list[int], y: list[int]) -> int:
    """Follow the AVX2 instructions of the one-row kernel one lane at a time, in Python integers."""
    blocks = len(packed) // 32
    total = 0
    for first in range(0, blocks, 32):
        lanes = [0] * 16
        for block in range(first, min(first + 32, blocks)):
            x = packed[32 * block : 32 * block + 32]
            for group, shift in enumerate((6, 4, 2, 0)):
                for lane in range(16):
                    at = 128 * block + 32 * group + 2 * lane
                    pair = sum(((x[2 * lane + j] >> shift) & 3) * y[at + j] for j in (0, 1))
                    assert -(1 << 15) <= pair < 1 << 15  # where maddubs would saturate
                    lanes[lane] = signed(lanes[lane] + pair, 16)
        total = signed(total + sum(lanes), 32)
    return total - sum(y)


def test_i2_s_of_2560_equal_signs_is_what_the_kernel_is_known_to_return():
    # microsoft/BitNet issue 629: 325120 would be right.
    codes = np.full((1, 2560), 127, np.int8)
    sums = lane_sums(codes, weight_of(np.ones((4, 2560), np.int8)), ONE)
    assert sums.tolist() == [[-723456] * 4]


@pytest.mark.parametrize("k", [128, 384, 2560, 4096, 4224, 8320])
@pytest.mark.parametrize("alike", [False, True])
def test_i2_s_equals_its_instructions_lane_by_lane(k, alike):
    codes, weights = operands(k, 2, k, 4)
    if alike:  # large codes of one sign on weights that are nearly all +1
        codes = (codes & 15) + np.int8(112)
        weights = np.maximum(weights, np.random.default_rng(k).random(weights.shape) < 0.98)
    sums = lane_sums(codes, weight_of(weights), ONE)
    expected = [[i2_s_dot(i2_s_bytes(w), x) for w in weights] for x in codes.tolist()]
    assert sums.tolist() == expected
    wraps = (sums != codes.astype(np.int64) @ weights.T).any()
    assert wraps == (alike and k >= 2560)


def test_i2_s_never_wraps_within_16_blocks():
    codes = np.full((1, 2048), -128, np.int8)
    weight = weight_of(np.ones((4, 2048), np.int8))
    assert lane_sums(codes, weight, ONE).tolist() == [[-128 * 2048] * 4]


def q8_k_block(x: np.ndarray) -> tuple[list[int], np.float32]:
    """Quantise 256 float32 as ggml states it, one value at a time."""
    largest = np.float32(0)
    for value in x:
        if abs(value) > abs(largest):
            largest = value
    if largest == 0:
        return [0] * 256, np.float32(0)
    inverse = np.float32(-127) / largest
    codes = [min(127, int(np.rint(np.float32(inverse * value)))) for value in x]
    return codes, np.float32(1) / inverse


def q8_k_dot(x: np.ndarray, w: np.ndarray, scale: np.float32) -> np.float32:
    y = np.float32(0)
    for begin in range(0, x.size, 256):
        codes, step = q8_k_block(x[begin : begin + 256])
        total = sum(a * int(b) for a, b in zip(codes, w[begin : begin + 256], strict=True))
        y = np.float32(y + np.float32(total) * np.float32(step * scale))
    return y


@pytest.mark.parametrize("multiplies", [True, False])
@pytest.mark.parametrize("k", [256, 1024])
def test_q8_k_equals_blocks_quantised_and_added_one_by_one(k, multiplies):
    rng = np.random.default_rng(k)
    x = (rng.normal(size=(3, k)) * np.exp(rng.normal(size=(3, k)))).astype(np.float32)
    x[1, :256] = 0
    x[2, 5], x[2, 9] = 40, -40  # the first of equal magnitudes sets the sign of the step
    weights = rng.integers(-1, 2, (8, k))
    scale = 0.0371 if multiplies else 1 / 0.0371
    linear = emulating(Arithmetic("q8_k"))("l", weight_of(weights, scale), multiplies, ONE)
    y = linear(linear.enter(x))
    half = np.float32(np.float16(0.0371))
    expected = [[q8_k_dot(row, w, half) for w in weights] for row in x]
    np.testing.assert_array_equal(y, np.array(expected, np.float32))


def test_q8_k_scales_weights_as_a_tq2_0_file_holds_them():
    weights = np.random.default_rng(1).integers(-1, 2, (4, 512)).astype(np.float32)
    scale = np.float32(0.0371)
    stored = gguf.quantize(weights * scale, gguf.GGMLQuantizationType.TQ2_0)
    held = gguf.dequantize(stored, gguf.GGMLQuantizationType.TQ2_0)
    linear = emulating(Arithmetic("q8_k"))("l", weight_of(weights.astype(int), scale), True, ONE)
    np.testing.assert_array_equal(held, weights * linear.scale)


def test_q8_k_blocks_of_zeros_or_next_to_nothing_give_zeros():
    x = np.zeros((1, 512), np.float32)
    x[0, 256:] = 1e-40
    linear = emulating(Arithmetic("q8_k"))("l", weight_of(np.ones((4, 512), int)), True, ONE)
    assert (linear(linear.enter(x)) == 0).all()


def test_squares_are_added_one_by_one_without_fusing():
    rng = np.random.default_rng(2)
    exact, narrow = rng.normal(size=(2, 9, 50)).astype(np.float32)
    power = error = 0.0
    for a, b in zip(exact.ravel().tolist(), narrow.ravel().tolist(), strict=True):
        power += a * a
        error += (b - a) * (b - a)
    assert narrow_kernels.squares(exact, narrow) == (power, error)


def test_operands_that_do_not_fit_each_other_are_refused():
    weight = weight_of(np.ones((4, 64), int))
    for codes in (np.zeros((1, 63), np.int8), np.zeros((1, 64), np.uint8)):
        with pytest.raises(ValueError, match="do not fit"):
            saturating_sums(codes, weight, 8, ONE)
    with pytest.raises(ValueError, match="no blocks of 128"):
        lane_sums(np.zeros((1, 64), np.int8), weight, ONE)


NAMES = ["exact", "wrap:2", "wrap:32", "saturate:16", "i2_s", "q8_k"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_reads_as_it_is_written(name):
    assert parse_arithmetic(name).name == name


WRONG = ["", "wrap", "wrap:", "wrap:1", "saturate:33", "wrap:-4", "wrap:1e1", "i2_s:4", "exact:8"]


@pytest.mark.parametrize("name", [*WRONG, "Wrap:8", "wrap:٨", "wrap: 8", "wrap:008", "lanes16"])
def test_another_name_is_refused_with_those_there_are(name):
    with pytest.raises(UserError, match=r"^--emulate: no arithmetic .* saturate:BITS \(2 to 32\)"):
        parse_arithmetic(name, file="--emulate")


@pytest.mark.parametrize(("kind", "multiple"), [("i2_s", 128), ("q8_k", 256)])
def test_rows_that_do_not_fill_blocks_are_refused(kind, multiple):
    weight = weight_of(np.ones((4, 192), int))
    with pytest.raises(UserError, match=rf"^l: rows do not fit {kind} \(192 weights\).*{multiple}"):
        emulating(Arithmetic(kind))("l", weight, True, ONE)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    recipe = Recipe(hidden=256, ffn=512)
    return read_checkpoint(write_checkpoint(tmp_path_factory.mktemp("net"), recipe))


def logits_of(network):
    return network.forward([[5, 9, 2, 40]], network.new_cache(1, 4))


@pytest.mark.parametrize("name", ["exact", "wrap:32", "saturate:32", "saturate:20", "i2_s"])
def test_an_accumulator_that_is_wide_enough_changes_no_byte_of_a_network(checkpoint, name):
    # Sums of 512 codes need at most 17 bits, and I2_S lanes hold 2048 elements.
    narrow = Network(checkpoint, 1, emulating(parse_arithmetic(name)))
    assert logits_of(narrow).tobytes() == logits_of(Network(checkpoint, 1)).tobytes()


def test_q8_k_stays_close_to_the_exact_network(checkpoint):
    narrow = logits_of(Network(checkpoint, 1, emulating(Arithmetic("q8_k"))))
    exact = logits_of(Network(checkpoint, 1))
    error = np.sqrt(np.mean((narrow - exact) ** 2) / np.mean(exact**2))
    assert 0 < error < 0.1


def test_a_watched_network_stays_exact_and_counts_what_its_own_codes_would_give(tmp_path):
    tiny = read_checkpoint(TINY)
    prompt = [1, 17, 99, 5]
    write_dump(Network(tiny, 1), prompt, 6, tmp_path / "exact.npz")
    exact = np.load(tmp_path / "exact.npz")
    compared = compare_arithmetic(
        tiny, Arithmetic("saturate", 9), prompt=prompt, new_tokens=1, threads=1
    )
    assert compared["prompt"]["exact"] == exact["tokens"][:1].tolist()
    low, high = -256, 255
    kinds: dict[str, list[int]] = {}
    for name, weight in tiny.linears.items():
        codes, sums = exact[f"{name}.q"], exact[f"{name}.acc"]
        narrow = add_up(codes, weight.unpack(), lambda total: max(low, min(high, total)))
        row = kinds.setdefault(name.rpartition(".")[2], [0, 0, 0])
        row[0] += sums.size
        row[1] += int((np.array(narrow) != sums).sum())
        row[2] = max(row[2], int(abs(sums).max()))
    linears = compared["linears"]
    for kind, (outputs, differing, largest) in kinds.items():
        found = linears[kind]
        assert (found["outputs"], found["differing"], found["largest_sum"]) == (
            outputs,
            differing,
            largest,
        )
    assert list(linears) == [*kinds, "all"]
    assert linears["all"]["differing"] == sum(row[1] for row in kinds.values()) > 0
    assert linears["all"]["prefix_bits"] >= linears["all"]["sum_bits"] > 9
    assert 0 < linears["all"]["relative_rms_error"] < 1


def test_both_sides_of_a_comparison_are_what_either_network_says_alone():
    tiny = read_checkpoint(TINY)
    arithmetic = Arithmetic("wrap", 9)
    prompt, text = [1, 17, 99, 5], np.arange(40) * 7 % 256
    compared = compare_arithmetic(
        tiny, arithmetic, prompt=prompt, new_tokens=12, text=text, characters=100, threads=1
    )
    narrow = Network(tiny, 1, emulating(arithmetic))
    sides = [generate(net, [prompt], 12, all_logits=True) for net in (Network(tiny, 1), narrow)]
    assert compared["prompt"]["exact"] == sides[0].tokens[0].tolist()
    assert compared["prompt"]["narrow"] == sides[1].tokens[0].tolist()
    likeliest = [side.logits[0].argmax(axis=1) for side in sides]
    assert compared["prompt"]["changed"] == (likeliest[0] != likeliest[1]).sum()
    pairs = zip(compared["prompt"]["exact"], compared["prompt"]["narrow"], strict=True)
    first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
    assert compared["prompt"]["first_difference"] == first
    for side, network in (("exact", Network(tiny, 1)), ("narrow", narrow)):
        alone = score(network, text, characters=100)
        assert compared["text"][side] == {
            "perplexity": alone.perplexity,
            "bits_per_character": alone.bits_per_character,
            "tokens": 39,
        }


def test_wide_enough_sums_change_nothing_in_a_comparison():
    compared = compare_arithmetic(
        read_checkpoint(TINY), Arithmetic("saturate", 24), prompt=[1, 2, 3], new_tokens=8
    )
    assert compared["prompt"]["first_difference"] is None
    assert compared["prompt"]["changed"] == compared["linears"]["all"]["differing"] == 0
    assert compared["linears"]["all"]["relative_rms_error"] == 0


def test_a_network_without_ternary_linears_has_nothing_to_emulate(tmp_path):
    floats = read_checkpoint(write_checkpoint(tmp_path, Recipe(linear_class=None)))
    with pytest.raises(UserError, match=r"no ternary linears to emulate \(i2_s\)"):
        compare_arithmetic(floats, Arithmetic("i2_s"), prompt=[1])


def test_an_exact_builder_builds_the_exact_linear():
    weight = weight_of(np.ones((4, 8), int))
    built = emulating(EXACT)("l", weight, True, ONE)
    assert type(built) is type(build_linear("l", weight, True, ONE))
