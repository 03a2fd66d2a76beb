"""Compiled loops against exact arithmetic, and the instructions they became."""

from __future__ import annotations

import math
import mmap
import os
import platform
import re
import subprocess
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from checkpoint_factory import bfloat16_bits, pack
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.functional import attention_kernels, kernels, operators, rope, ternary_kernels
from accelsim.functional.kv_cache import KVCache
from accelsim.functional.ternary_kernels import PATHS
from accelsim.functional.threads import Threads
from accelsim.kernels import is_portable

ONE = Threads(1)
F32 = np.float32


def ulp(x):
    """Distance between float32 numbers around x."""
    return np.spacing(np.abs(x).astype(F32)).astype(np.float64)


def packed_rows(weights):
    """Pack [n, k] into uint8 [n / 4 rounded up, k]; rows past n hold weights of zero."""
    n, k = weights.shape
    return pack(np.concatenate([weights, np.zeros((-n % 4, k), weights.dtype)]))


def assert_exact(codes, weights):
    """Compare every path that this CPU can take with sums of int64."""
    exact = codes.astype(np.int64) @ weights.astype(np.int64).T
    for path in ternary_kernels.usable_paths():
        ours = operators.TernaryMatrix(packed_rows(weights), len(weights), path).multiply(
            codes, ONE
        )
        assert ours.dtype == np.int32
        np.testing.assert_array_equal(ours, exact, path)


# Inputs around the width of a step, 16 to 64 bytes, and far past it.
@settings(max_examples=60)
@given(
    m=st.integers(1, 9),
    k=st.integers(1, 70) | st.integers(120, 140) | st.integers(500, 1100),
    n=st.integers(1, 37),
    seed=st.integers(0, 99),
)
def test_ternary_sums_equal_int64(m, k, n, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-128, 128, (m, k)).astype(np.int8)
    assert_exact(codes, rng.integers(-1, 2, (n, k)))


@settings(max_examples=20)
@given(m=st.integers(1, 9), k=st.integers(1, 1100), seed=st.integers(0, 99))
def test_ternary_sums_of_extreme_operands_equal_int64(m, k, seed):
    rng = np.random.default_rng(seed)
    codes = rng.choice([-128, 127], (m, k)).astype(np.int8)
    assert_exact(codes, rng.choice([-1, 1], (5, k)))


@pytest.mark.parametrize("code", [-128, 127])
@pytest.mark.parametrize("weight", [-1, 1])
@pytest.mark.parametrize("rows", [1, 5])
def test_the_largest_ternary_sums_do_not_wrap(code, weight, rows):
    # Past 2**17 inputs, sums of fields that are not shifted down would leave int32.
    for k in (70001, 1 << 18):
        assert_exact(np.full((rows, k), code, np.int8), np.full((4, k), weight))


def test_int32_holds_the_sums_of_the_most_inputs_and_more_are_refused():
    k = ternary_kernels.MOST_INPUTS
    codes, packed = np.full((1, k), -128, np.int8), np.full((1, k), 0b10_10_10_10, np.uint8)
    for path in ternary_kernels.usable_paths():
        assert (operators.TernaryMatrix(packed, 4, path).multiply(codes, ONE) == -128 * k).all()
    with pytest.raises(ValueError, match="16777217 inputs"):
        operators.TernaryMatrix(np.zeros((1, k + 1), np.uint8), 4)


@pytest.mark.parametrize("path", ternary_kernels.usable_paths())
def test_many_rows_of_codes_meet_the_weights_in_more_than_one_pass(path):
    rng = np.random.default_rng(0)
    codes = rng.integers(-128, 128, (70, 2560)).astype(np.int8)
    assert (
        ternary_kernels.tokens_at_once(ternary_kernels.arrange(codes, PATHS[path]), PATHS[path])
        < 70
    )
    weights = rng.integers(-1, 2, (9, 2560))
    ours = operators.TernaryMatrix(packed_rows(weights), 9, path).multiply(codes, ONE)
    np.testing.assert_array_equal(ours, codes.astype(np.int64) @ weights.T)


@settings(max_examples=20)
@given(m=st.integers(1, 40), n=st.integers(1, 600), threads=st.integers(2, 5))
def test_threads_never_show_in_a_ternary_sum(m, n, threads):
    rng = np.random.default_rng(n)
    codes = rng.integers(-128, 128, (m, 2560)).astype(np.int8)
    packed = packed_rows(rng.integers(-1, 2, (n, 2560)))
    one = operators.TernaryMatrix(packed, n).multiply(codes, ONE)
    np.testing.assert_array_equal(
        operators.TernaryMatrix(packed, n).multiply(codes, Threads(threads)), one
    )


@pytest.mark.parametrize("path", ternary_kernels.usable_paths())
@pytest.mark.parametrize("k", [1, 63, 64, 100])
def test_a_mapped_file_is_read_where_it_lies_and_never_past_its_end(path, k, tmp_path):
    # Packed rows end where the file and its last page end: a read past them would be a fault.
    page, rows = mmap.PAGESIZE, 3
    rng = np.random.default_rng(k)
    weights = rng.integers(-1, 2, (4 * rows, k))
    file = tmp_path / "weights"
    file.write_bytes(bytes(page - rows * k) + packed_rows(weights).tobytes())
    with file.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    packed = np.frombuffer(mapped, np.uint8)[page - rows * k :].reshape(rows, k)
    codes = rng.integers(-128, 128, (3, k)).astype(np.int8)
    ours = operators.TernaryMatrix(packed, 4 * rows, path).multiply(codes, ONE)
    np.testing.assert_array_equal(ours, codes.astype(np.int64) @ weights.T)


def test_one_kernel_serves_mapped_and_writable_weights(tmp_path):
    packed = packed_rows(np.ones((8, 70), np.int8))
    (tmp_path / "weights").write_bytes(packed.tobytes())
    mapped = np.memmap(tmp_path / "weights", np.uint8, "r", shape=packed.shape)
    codes = np.ones((1, 70), np.int8)
    operators.TernaryMatrix(packed, 8).multiply(codes, ONE)
    known = len(ternary_kernels.ternary_rows.signatures)
    assert (operators.TernaryMatrix(mapped, 8).multiply(codes, ONE) == 70).all()
    assert len(ternary_kernels.ternary_rows.signatures) == known


SPELLED_OUT = """
import numpy as np
from llvmlite import ir
from accelsim.functional import operators, ternary_kernels
from accelsim.functional.threads import Threads

def add(emitter, builder, total, weights, codes):
    byte, wide = (ir.VectorType(ir.IntType(bits), 64) for bits in (8, 32))
    unsigned = builder.zext(builder.bitcast(weights[0], byte), wide)
    products = builder.mul(unsigned, builder.sext(builder.bitcast(codes[0], byte), wide))
    for j in range(4):
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), 16), list(range(j, 64, 4)))
        total = builder.add(total, builder.shuffle_vector(products, products, lanes))
    return total

ternary_kernels._Vnni.add = classmethod(add)
rng = np.random.default_rng(0)
for m, k, n in [(1, 1, 1), (3, 63, 9), (4, 64, 8), (5, 65, 3), (9, 300, 13), (2, 1 << 18, 4)]:
    codes = rng.choice([-128, 127, 1], (m, k)).astype(np.int8)
    fields = rng.integers(0, 3, (4, -(-n // 4), k))
    packed = sum(fields[i] << 2 * i for i in range(4)).astype(np.uint8)
    ours = operators.TernaryMatrix(packed, n, "avx512vnni").multiply(codes, Threads(1))
    exact = codes.astype(np.int64) @ (fields.reshape(-1, k)[:n] - 1).T
    assert (ours == exact).all(), (m, k, n)
"""


@pytest.mark.skipif(is_portable(), reason="longer vectors than plain instructions are slow to read")
def test_steps_of_64_bytes_are_exact_where_no_cpu_has_their_instruction(tmp_path):
    # vpdpbusd as its manual spells it out, in plain vectors. The rest of the path is what ships.
    environment = native_environment() | {"XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", SPELLED_OUT], env=environment, check=True, timeout=300)


COMPILED_FOR_VNNI = """
import numba
import numpy as np
from accelsim.functional import ternary_kernels
path = ternary_kernels.PATHS["avx512vnni"]
codes, packed = np.ones((5, 64), np.int8), np.ones((2, 64), np.uint8)
packed.flags.writeable = False
shape = 0, 2, path.tokens, path.tokens, path.odd
arguments = codes, ternary_kernels.arrange(codes, path), packed, *shape, np.ones((5, 8), np.int32)
signature = tuple(map(numba.typeof, arguments))
ternary_kernels.ternary_rows.compile(signature)
print(ternary_kernels.ternary_rows.inspect_asm(signature))
"""


@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="an instruction of x86")
def test_a_cpu_with_vnni_gets_one_instruction_for_64_products(tmp_path):
    # Compiled for a CPU that need not be here, and not run.
    another = {"NUMBA_CPU_NAME": "icelake-server", "NUMBA_CPU_FEATURES": ""}
    environment = native_environment() | another | {"XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", COMPILED_FOR_VNNI]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    # Between a label and the jump back to it: four fields of four tokens, or of two packed rows.
    loops = re.findall(r"^(\.LBB\w+):\n((?:(?!^\.L).*\n)*?)\tj\w+\t\1\n", done.stdout, re.M)
    steps = [body for _, body in loops if "vpdpbusd" in body]
    dots = [re.findall(r"\tvpdpbusd\t.*%zmm\d+, %zmm\d+\n", body) for body in steps]
    assert sorted(map(len, dots)) == [8, 16]
    for body in steps:
        assert "prefetch" in body
        assert not re.search(r"\tvmov\w+\t%zmm\d+, .*\(%r", body), "a sum left its register"


def ascending(x, weights):
    """Sum float32 products in ascending k, each operation rounded by numpy on its own."""
    total = np.zeros((x.shape[0], weights.shape[0]), F32)
    for k in range(x.shape[1]):
        total = total + x[:, k : k + 1] * weights[:, k]
    return total


@settings(max_examples=30)
@given(m=st.integers(1, 9), k=st.integers(1, 40), n=st.integers(1, 140), seed=st.integers(0, 99))
def test_dense_sums_are_ascending_to_the_byte(m, k, n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(m, k)).astype(F32)
    weights = rng.normal(size=(n, k)).astype(F32)
    ours = operators.dense_gemm(x, operators.panels(weights), n, ONE)
    assert ours.tobytes() == ascending(x, weights).tobytes()
    bits = bfloat16_bits(weights)
    ours = operators.dense_gemm(x, operators.panels(bits), n, ONE)
    widened = (bits.astype(np.uint32) << 16).view(F32)
    assert ours.tobytes() == ascending(x, widened).tobytes()
    row = operators.dense_gemm(x[:1], operators.panels(bits), n, ONE)
    assert row.tobytes() == ours[:1].tobytes()
    rows = rng.integers(0, n, 5)
    np.testing.assert_array_equal(operators.panel_rows(operators.panels(bits), rows), widened[rows])


@settings(max_examples=30)
@given(n=st.integers(1, 300), kind=st.sampled_from(["u2", "f2", "f4"]))
def test_panels_hold_every_row_and_zeros_behind_the_last(n, kind):
    weights = np.random.default_rng(n).integers(0, 999, (n, 7)).astype(kind)
    laid = operators.panels(weights)
    assert laid.dtype == weights.dtype
    rows = laid.reshape(-1, 7, 64).transpose(0, 2, 1).reshape(-1, 7)
    np.testing.assert_array_equal(rows[:n], weights)
    assert not rows[n:].any()


def test_every_float16_multiplies_as_itself():
    words = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = words[np.isfinite(words)]
    weights = np.pad(finite, (0, -finite.size % 64)).reshape(64, -1).copy()
    x = np.eye(weights.shape[1], dtype=F32)[:9]
    laid = operators.panels(weights)
    many, one = (operators.dense_gemm(each, laid, 64, ONE) for each in (x, x[3:4]))
    np.testing.assert_array_equal(many, weights.T[:9].astype(F32))
    np.testing.assert_array_equal(one, weights.T[3:4].astype(F32))
    ones = np.ones((1, weights.shape[1]), F32)
    wide = operators.panels(weights.astype(F32))
    for row in (ones, np.tile(ones, (5, 1))):
        ours = operators.dense_gemm(row, laid, 64, ONE)
        assert ours.tobytes() == operators.dense_gemm(row, wide, 64, ONE).tobytes()


def attention_by_formula(q, keys, values, start, heads):
    """Attend in float64: q [b, p, heads, d], keys and values [b, kv_heads, c, d]."""
    group = heads // keys.shape[1]
    out = np.zeros(q.shape)
    for row, i, head in np.ndindex(q.shape[:3]):
        seen = slice(0, start + i + 1)
        scores = keys[row, head // group, seen] @ q[row, i, head] / math.sqrt(q.shape[3])
        shares = np.exp(scores - scores.max())
        out[row, i, head] = shares / shares.sum() @ values[row, head // group, seen]
    return out


@settings(max_examples=30)
@given(
    batch=st.integers(1, 2),
    count=st.integers(1, 6),
    start=st.integers(0, 70),
    shape=st.sampled_from([(1, 1), (3, 3), (4, 2), (6, 2), (5, 1), (8, 2)]),
    seed=st.integers(0, 99),
)
def test_heads_that_share_keys_attend_as_heads_alone(batch, count, start, shape, seed):
    heads, kv_heads = shape
    rng = np.random.default_rng(seed)
    d, end = 6, start + count
    q = rng.normal(size=(batch, count, heads, d)).astype(F32)
    k, v = rng.normal(size=(2, batch, kv_heads, end, d)).astype(F32)
    config = SimpleNamespace(max_positions=end, layers=1, kv_heads=kv_heads, head_dim=d)
    cache = KVCache(config, batch, end)
    flat = [each.transpose(0, 2, 1, 3).reshape(batch * end, -1).copy() for each in (k, v)]
    cache.append(0, *flat)
    held = cache.keys[0], cache.values[0]
    ours = operators.attend(q.reshape(batch, count, -1), *held, start, heads, ONE)
    exact = attention_by_formula(q, k, v, start, heads)
    np.testing.assert_allclose(ours.reshape(exact.shape), exact, rtol=0, atol=2e-6)
    # A head whose keys nobody shares is computed by itself: the bytes must not differ.
    for head in range(heads):
        kv = head // (heads // kv_heads)
        alone = [np.ascontiguousarray(each[:, kv : kv + 1]) for each in held]
        one = operators.attend(np.ascontiguousarray(q[:, :, head]), *alone, start, 1, ONE)
        assert one.tobytes() == ours.reshape(exact.shape)[:, :, head].tobytes()


def test_dense_sums_round_each_product_and_each_sum():
    # 1 + 2**-23 squared is 1 + 2**-22 + 2**-46: only a fused multiply-add keeps the last term.
    near = F32(1 + 2**-23)
    x = np.array([[F32(-(1 + 2**-22)), near]])
    weights = np.array([[F32(1), near]])
    assert Fraction(float(near)) ** 2 - Fraction(float(-x[0, 0])) == Fraction(1, 2**46)
    assert operators.dense_gemm(x, operators.panels(weights), 1, ONE)[0, 0] == 0


def test_exp_is_within_two_ulp():
    x = np.concatenate([np.linspace(-87.3, 0, 200_001), -np.logspace(-30, 0, 1000)]).astype(F32)
    exact = np.exp(x.astype(np.float64))
    ours = x.copy()
    kernels.exponentials(ours, F32(0), np.empty(x.size, np.int32))
    error = np.abs(ours.astype(np.float64) - exact) / ulp(exact)
    assert error.max() < 2.0


def test_exp_ends_are_exact():
    x = np.array([0.0, -0.0, -88.0, -104.0, -1e9, -3e38], F32)
    total = kernels.exponentials(x, F32(0), np.empty(6, np.int32))
    np.testing.assert_array_equal(x, [1, 1, 0, 0, 0, 0])
    assert total == 2


def lanes_of(terms):
    """Sum float32 terms in the documented 16-lane order."""
    lanes = np.zeros(16, F32)
    for begin in range(0, len(terms), 16):
        chunk = terms[begin : begin + 16]
        lanes[: len(chunk)] = lanes[: len(chunk)] + chunk
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = lanes[:half] + lanes[half:]
    return lanes[0]


@settings(max_examples=30)
@given(n=st.integers(1, 100), seed=st.integers(0, 99))
def test_the_sum_of_exponentials_follows_the_stated_order(n, seed):
    x = np.random.default_rng(seed).normal(size=n).astype(F32)
    total = kernels.exponentials(x, F32(5), np.empty(n, np.int32))
    assert total == lanes_of(x)


@settings(max_examples=30)
@given(n=st.integers(1, 100), seed=st.integers(0, 99))
def test_rms_norm_follows_the_stated_order(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, n)).astype(F32)
    weight = rng.normal(size=n).astype(F32)
    ours = operators.rms_norm(x, operators.Norm(weight, F32(1e-5)), ONE)
    for row, out in zip(x, ours, strict=True):
        mean = lanes_of(row * row) / F32(n)
        expected = (row * (F32(1) / np.sqrt(mean + F32(1e-5)))) * weight
        assert out.tobytes() == expected.tobytes()


def test_codes_are_rounded_half_even():
    # 127 / 127 = 1: the codes are the values themselves, rounded.
    x = np.array([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -126.5, 126.49, -127.0]], F32)
    result = operators.quantise(x, ONE)
    assert result.scales[0] == 1
    np.testing.assert_array_equal(result.codes[0], [127, 0, 2, 2, 0, -2, -126, 126, -127])


@settings(max_examples=50)
@given(k=st.integers(1, 60), exponent=st.integers(-20, 30), seed=st.integers(0, 999))
def test_codes_equal_numpy_float32(k, exponent, seed):
    x = (np.random.default_rng(seed).normal(size=(2, k)) * 2.0**exponent).astype(F32)
    result = operators.quantise(x, ONE)
    scales = F32(127) / np.maximum(np.abs(x).max(1), F32(1e-5))
    assert result.scales.tobytes() == scales.tobytes()
    codes = np.clip(np.rint(x * scales[:, None]), -128, 127)
    np.testing.assert_array_equal(result.codes, codes)


@settings(max_examples=30)
@given(k=st.integers(1, 60), seed=st.integers(0, 99))
def test_codes_behind_a_norm_are_those_of_its_result(k, seed):
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(3, k)).astype(F32), rng.normal(size=k).astype(F32)
    norm = operators.Norm(weight, F32(1e-5))
    ours = operators.quantise(x, ONE, norm)
    apart = operators.quantise(operators.rms_norm(x, norm, ONE), ONE)
    assert ours.codes.tobytes() == apart.codes.tobytes()
    assert ours.scales.tobytes() == apart.scales.tobytes()


def test_a_row_with_what_is_no_number_has_no_scale():
    x = np.array([[1, np.nan, 2], [-np.nan, 0, 0], [1, 2, 3]], F32)
    np.testing.assert_array_equal(np.isnan(operators.quantise(x, ONE).scales), [1, 1, 0])


def test_a_row_of_zeros_has_codes_of_zero():
    result = operators.quantise(np.zeros((1, 8), F32), ONE)
    assert not result.codes.any()
    assert result.scales[0] == F32(127) / F32(1e-5)


@pytest.mark.parametrize("multiplies", [True, False])
def test_dequantise_equals_numpy_float32(multiplies):
    rng = np.random.default_rng(0)
    sums = rng.integers(-(2**24), 2**24, (5, 33)).astype(np.int32)
    scales, weight = rng.uniform(1, 99, 5).astype(F32), F32(0.37)
    ours = operators.dequantise(sums, scales, weight, multiplies, ONE)
    column = scales[:, None]
    expected = sums.astype(F32) / column * weight if multiplies else sums / (column * weight)
    assert ours.tobytes() == expected.astype(F32).tobytes()


def test_relu2_gate_equals_numpy_float32():
    rng = np.random.default_rng(0)
    gate, up = rng.normal(size=(2, 5, 37)).astype(F32)
    expected = np.maximum(gate, F32(0)) ** 2 * up
    assert operators.gated("relu2", gate, up, ONE).tobytes() == expected.tobytes()


def test_rope_tables_are_rounded_float64():
    cosines, sines = rope.rope_tables(128, 500000.0, 4096)
    frequency = rope.frequencies(128, 500000.0)
    exact = 1 / 500000.0 ** (np.arange(64) / 64)
    assert np.abs(frequency / exact - 1).max() < 2**-22
    angles = (np.arange(4096, dtype=F32)[:, None] * frequency).astype(np.float64)
    for ours, function in ((cosines, math.cos), (sines, math.sin)):
        exact = np.vectorize(function)(angles)
        # At most the rounding to float32: half an ulp, and a hair where float64 itself is a tie.
        assert (np.abs(ours - exact) / ulp(exact)).max() < 0.500001


def test_cosine_and_sine_hold_to_the_longest_context():
    angles = np.random.default_rng(0).uniform(0, 2**20, 20_000)
    cosine, sine = rope.cosine_sine(angles)
    assert np.abs(cosine - np.cos(angles)).max() < 3e-16
    assert np.abs(sine - np.sin(angles)).max() < 3e-16


@settings(max_examples=15)
@given(st.integers(1, 2), st.integers(1, 70), st.integers(1, 9), st.sampled_from([6, 64, 70]))
def test_the_cache_holds_what_was_appended(batch, first, second, d):
    config = SimpleNamespace(max_positions=99, layers=2, kv_heads=3, head_dim=d)
    cache = KVCache(config, batch, first + second)
    rng = np.random.default_rng(first)
    k, v = rng.normal(size=(2, batch, first + second, 3, d)).astype(F32)
    for begin, end in ((0, first), (first, first + second)):
        flat = [each[:, begin:end].reshape(-1, 3 * d).copy() for each in (k, v)]
        cache.append(1, *flat)
        cache.advance(end - begin)
    for p in range(first + second):
        block, place = divmod(p, 64)
        key = cache.keys[1].reshape(batch, 3, -1, d, 64)[:, :, block, :, place]
        np.testing.assert_array_equal(key, k[:, p])
        value = cache.values[1].reshape(batch, 3, -(-d // 64), -1, 64)[:, :, :, p]
        np.testing.assert_array_equal(value.reshape(batch, 3, -1)[..., :d], v[:, p])
    assert not cache.keys[0].any()


def test_operators_refuse_what_a_kernel_was_not_written_for():
    x = np.zeros((4, 8), F32)
    with pytest.raises(ValueError, match="x is float64"):
        operators.quantise(x.astype(np.float64), ONE)
    with pytest.raises(ValueError, match="contiguous: False"):
        operators.quantise(x[:, ::2], ONE)
    with pytest.raises(ValueError, match="weight is"):
        operators.rms_norm(x, operators.Norm(np.zeros(7, F32), F32(1e-5)), ONE)
    with pytest.raises(ValueError, match="weight is"):
        operators.quantise(x, ONE, operators.Norm(np.zeros(7, F32), F32(1e-5)))
    with pytest.raises(ValueError, match="packed is"):
        operators.TernaryMatrix(np.zeros((2, 9), np.uint8), 9)
    matrix = operators.TernaryMatrix(np.zeros((2, 9), np.uint8), 8)
    with pytest.raises(ValueError, match="codes is"):
        matrix.multiply(np.zeros((1, 8), np.int8), ONE)
    blocks = np.zeros((1, 1, 1, 8 * 64), F32), np.zeros((1, 1, 1, 64 * 64), F32)
    with pytest.raises(ValueError, match="do not fit"):
        operators.attend(np.zeros((1, 65, 8), F32), *blocks, 0, 1, ONE)


ASSEMBLY = r"""
import platform
import numba
from llvmlite import binding
import numpy as np
from accelsim.functional import attention_kernels, kernels, operators, ternary_kernels
from accelsim.functional.threads import Threads
one = Threads(1)
x = np.ones((5, 32), np.float32)
row, bits = x[0, :5].copy(), np.ones((5, 32), np.uint16)
packed = np.ones((2, 32), np.uint8)
for path in ternary_kernels.usable_paths():
    operators.TernaryMatrix(packed, 8, path).multiply(operators.quantise(x, one).codes, one)
operators.dequantise(np.ones((5, 8), np.int32), row, row[0], True, one)
operators.dense_gemm(x, operators.panels(x), 5, one)
operators.dense_gemm(x, operators.panels(bits), 5, one)
operators.dense_gemm(x[:1], operators.panels(bits), 5, one)
norm = operators.Norm(x[0], row[0])
operators.rms_norm(x, norm, one)
operators.quantise(x, one, norm)
operators.gated("relu2", x, x, one)
operators.gated("silu", x, x, one)
operators.rotate(x, np.zeros(5, np.int64), x[:1, :4].copy(), x[:1, :4].copy(), one)
keys, values = np.zeros((1, 1, 1, 32 * 64), np.float32), np.zeros((1, 1, 1, 64 * 64), np.float32)
operators.append_positions(x, x, 0, keys, values)
operators.attend(x[None], keys, values, 0, 1, one)
kernels.exponentials(np.zeros(3, np.float32), np.float32(0), np.empty(3, np.int32))
@numba.njit(fastmath={"contract"})
def contracted(a, b, out):
    for i in range(a.shape[0]):
        out[i] += a[i] * b[i]
contracted(row, row, row)
kernels.contracted = contracted
both = vars(kernels) | vars(attention_kernels)
for name, function in (both | vars(ternary_kernels)).items():
    for assembly in getattr(function, "inspect_asm", dict)().values():
        print("==", name)
        print(assembly)
can_fuse = binding.get_host_cpu_features().get("fma") or platform.machine() == "aarch64"
print("== cpu")
print("can fuse" if can_fuse else "cannot")
"""
FUSED = re.compile(r"\bv?fn?m(add|sub)|\bfml[as]\b")


@pytest.mark.skipif(is_portable(), reason="looks at this machine's instructions")
def test_no_kernel_fuses_a_multiply_and_an_add(tmp_path):
    # A fresh cache folder: numba shows no assembly of code that it found in its cache.
    environment = native_environment() | {"XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", ASSEMBLY]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=600
    )
    listings = dict(part.split("\n", 1) for part in done.stdout.split("== ")[1:])
    both = vars(kernels) | vars(attention_kernels)
    called = {name for name, each in both.items() if hasattr(each, "signatures")}
    # A control: where the CPU can fuse, the same search finds it in code that is allowed to.
    can_fuse = listings.pop("cpu").strip() == "can fuse"
    assert bool(FUSED.search(listings.pop("contracted"))) == can_fuse
    assert set(listings) == called | {"ternary_rows"}
    for name, assembly in listings.items():
        assert name in assembly
        assert re.search(r"\bret[q]?\b", assembly), name
        assert not FUSED.search(assembly), name


IMPORTS = """
import sys, warnings
warnings.simplefilter("error")
import accelsim.functional, accelsim.functional.checkpoint_config, accelsim.functional.weights_file
assert "numba" not in sys.modules
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from accelsim.functional import kernels
    import numpy as np
    kernels.exponentials(np.zeros(3, np.float32), np.float32(0), np.empty(3, np.int32))
    from accelsim.kernels import cache_folder
print(len(caught), cache_folder())
"""


def native_environment():
    """Return the environment without a choice of instructions, whatever this run was given."""
    chosen = {"ACCELSIM_PORTABLE", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"}
    return {name: value for name, value in os.environ.items() if name not in chosen}


def in_process(**environment):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        env=native_environment() | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout.split(maxsplit=1)


def test_kernels_are_kept_under_the_users_cache_folder(tmp_path):
    warned, folder = in_process(XDG_CACHE_HOME=str(tmp_path))
    assert warned == "0"
    assert folder.startswith(str(tmp_path / "accelsim"))
    assert list((tmp_path / "accelsim").rglob("kernels.exponentials*.nbc"))
    _, portable = in_process(XDG_CACHE_HOME=str(tmp_path), ACCELSIM_PORTABLE="1")
    assert portable != folder


def test_an_unwritable_cache_folder_is_told_once(tmp_path):
    (tmp_path / "file").write_text("")
    warned, folder = in_process(XDG_CACHE_HOME=str(tmp_path / "file"))
    assert (warned, folder.strip()) == ("1", "None")
