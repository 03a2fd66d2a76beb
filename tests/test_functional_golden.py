"""The functional model against the numbers of another implementation, and against itself."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from checkpoint_factory import Recipe, write_checkpoint

from accelsim.functional.checkpoint import TernaryWeight, read_checkpoint
from accelsim.functional.dump import write_dump
from accelsim.functional.generate import Sampling, generate
from accelsim.functional.network import Network

TINY = Path(__file__).parent / "golden" / "bitnet_tiny"


@pytest.fixture(scope="module")
def golden():
    return np.load(TINY / "golden.npz")


@pytest.fixture(scope="module")
def dump(golden, tmp_path_factory):
    path = tmp_path_factory.mktemp("dump") / "tiny.npz"
    write_dump(Network(read_checkpoint(TINY), threads=1), golden["input_ids"], 12, path)
    return np.load(path)


def test_every_code_and_accumulator_equals_the_golden(golden, dump):
    names = [name for name in golden.files if name.endswith((".q", ".acc"))]
    assert len(names) == 2 * 7 * 2
    assert set(names) < set(dump.files)
    for name in names:
        assert dump[name].dtype == golden[name].dtype
        np.testing.assert_array_equal(dump[name], golden[name], err_msg=name)
    assert sum(golden[name].size for name in names if name.endswith(".q")) == 53376
    assert sum(golden[name].size for name in names if name.endswith(".acc")) == 57600


def test_logits_and_greedy_tokens_equal_the_golden(golden, dump):
    np.testing.assert_allclose(dump["logits"], golden["logits"], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(dump["tokens"], golden["greedy"])
    np.testing.assert_array_equal(dump["input_ids"], golden["input_ids"])


def reference_logits(checkpoint, ids):
    """Compute logits [n, V] in float64 with numpy alone; codes still round as int8."""
    config = checkpoint.config
    half = config.head_dim // 2

    def dense(name):
        return checkpoint.dense[name].widen().astype(np.float64)

    def norm(x, name):
        return x / np.sqrt((x * x).mean(1, keepdims=True) + config.rms_eps) * dense(name)

    def linear(x, name):
        weight = checkpoint.linears[name]
        if not isinstance(weight, TernaryWeight):
            return x @ weight.widen().astype(np.float64).T
        scale = 127 / np.maximum(np.abs(x).max(1, keepdims=True), 1e-5)
        y = np.rint(x * scale) @ weight.unpack().astype(np.float64).T / scale
        return y * float(weight.scale) ** (1 if config.linear_class == "autobitlinear" else -1)

    def rotate(x):
        angle = np.arange(len(x))[:, None] / config.rope_theta ** (np.arange(half) / half)
        z = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * angle)
        return np.concatenate([z.real, z.imag], axis=1)

    h = dense("model.embed_tokens.weight")[ids]
    above = np.triu(np.ones((len(ids), len(ids)), bool), 1)
    for layer in range(config.layers):
        prefix = f"model.layers.{layer}."
        x = norm(h, prefix + "input_layernorm.weight")
        q, k, v = (
            linear(x, f"{prefix}self_attn.{n}_proj").reshape(len(ids), -1, 2 * half) for n in "qkv"
        )
        heads = []
        for head in range(config.heads):
            kv = head * config.kv_heads // config.heads
            scores = rotate(q[:, head]) @ rotate(k[:, kv]).T / np.sqrt(2 * half)
            weights = np.exp(np.where(above, -np.inf, scores))
            heads.append(weights / weights.sum(1, keepdims=True) @ v[:, kv])
        a = norm(np.concatenate(heads, axis=1), prefix + "self_attn.attn_sub_norm.weight")
        h = h + linear(a, prefix + "self_attn.o_proj")
        x = norm(h, prefix + "post_attention_layernorm.weight")
        y = np.maximum(linear(x, prefix + "mlp.gate_proj"), 0) ** 2
        y = norm(y * linear(x, prefix + "mlp.up_proj"), prefix + "mlp.ffn_sub_norm.weight")
        h = h + linear(y, prefix + "mlp.down_proj")
    head = "model.embed_tokens.weight" if config.tie_embeddings else "lm_head.weight"
    return norm(h, "model.norm.weight") @ dense(head).T


VARIANTS = {
    "autobitlinear": Recipe(),
    "bitlinear": Recipe(linear_class="bitlinear"),
    "untied": Recipe(tied=False, storage="F16"),
    "untied bf16": Recipe(tied=False, storage="BF16"),
    "multi-head": Recipe(kv_heads=4),
    "one kv head": Recipe(kv_heads=1, ffn=52),
    "wide heads": Recipe(hidden=144, heads=2, kv_heads=1, ffn=60),
    "dense f32": Recipe(linear_class=None, storage="F32"),
    "dense f16": Recipe(linear_class=None, storage="F16"),
    "dense bf16": Recipe(linear_class=None, storage="BF16"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_logits_equal_a_float64_implementation(tmp_path, name):
    checkpoint = read_checkpoint(write_checkpoint(tmp_path, VARIANTS[name]))
    network = Network(checkpoint, threads=1)
    ids = np.random.default_rng(5).integers(0, 61, 70)
    ours = network.forward(ids[None], network.new_cache(1, 70))[0]
    theirs = reference_logits(checkpoint, ids)
    # A code that float64 rounds to the other side moves every later position a little.
    error = np.abs(ours - theirs).max(axis=1) / np.abs(theirs).max()
    assert np.median(error) < 2e-6
    assert error.max() < 2e-2


@pytest.fixture(scope="module", params=["autobitlinear", "wide heads", "dense bf16", "dense f16"])
def checkpoint(request, tmp_path_factory):
    recipe = VARIANTS[request.param]
    return read_checkpoint(write_checkpoint(tmp_path_factory.mktemp("random"), recipe))


def test_prefill_equals_decode_to_the_byte(checkpoint):
    network = Network(checkpoint, threads=1)
    ids = np.random.default_rng(1).integers(0, 61, (1, 90))
    cache = network.new_cache(1, 90)
    whole = network.forward(ids, cache)
    for cuts in ([1] * 90, [5, 64, 1, 3, 17]):
        other = network.new_cache(1, 90)
        ends = np.cumsum([0, *cuts])
        parts = [network.forward(ids[:, a:b], other) for a, b in pairwise(ends)]
        assert np.concatenate(parts, axis=1).tobytes() == whole.tobytes()
        assert other.keys.tobytes() == cache.keys.tobytes()
        assert other.values.tobytes() == cache.values.tobytes()


def test_a_batch_row_does_not_depend_on_its_neighbours(checkpoint):
    network = Network(checkpoint, threads=1)
    ids = np.random.default_rng(2).integers(0, 61, (3, 11))
    together = network.forward(ids, network.new_cache(3, 11))
    for row in range(3):
        alone = network.forward(ids[row : row + 1], network.new_cache(1, 11))
        assert alone[0].tobytes() == together[row].tobytes()


def test_threads_do_not_show_in_a_byte(checkpoint, monkeypatch):
    monkeypatch.setattr("accelsim.functional.threads._WORTH_A_THREAD", 1)
    ids = np.random.default_rng(3).integers(0, 61, (2, 50))
    seen = []
    for threads in (1, 2, 3):
        network = Network(checkpoint, threads)
        cache = network.new_cache(2, 60)
        logits = network.forward(ids, cache)
        step = network.forward(ids[:, :1], cache)
        seen.append(logits.tobytes() + step.tobytes() + cache.keys.tobytes())
    assert seen[0] == seen[1] == seen[2]


DIGEST = """
import hashlib, sys
from pathlib import Path
import numpy as np
from accelsim.functional.checkpoint import read_checkpoint
from accelsim.functional.generate import Sampling, generate
from accelsim.functional.network import Network
for path in sys.argv[1:]:
    network = Network(read_checkpoint(Path(path)), threads=1)
    result = generate(network, np.arange(3, 50)[None], 5, sampling=Sampling(7), all_logits=True)
    print(hashlib.sha256(result.logits.tobytes() + result.tokens.tobytes()).hexdigest())
"""


def test_plain_instructions_give_the_same_bytes(tmp_path):
    paths = [str(TINY), str(write_checkpoint(tmp_path / "dense", VARIANTS["dense f32"]))]
    digests = []
    for portable in ("0", "1"):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_CPU_")}
        environment["ACCELSIM_PORTABLE"] = portable
        command = [sys.executable, "-c", DIGEST, *paths]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=300
        )
        digests.append(done.stdout.split())
    assert len(digests[0]) == 2
    assert digests[0] == digests[1]


def test_a_pass_may_compute_its_last_logits_only(checkpoint):
    network = Network(checkpoint, threads=1)
    ids = np.arange(20)[None]
    whole = network.forward(ids, network.new_cache(1, 20))
    last = network.forward(ids, network.new_cache(1, 20), last=3)
    assert last.tobytes() == whole[:, -3:].tobytes()


def test_the_observer_sees_every_product_and_changes_nothing(tmp_path):
    checkpoint = read_checkpoint(write_checkpoint(tmp_path))
    network = Network(checkpoint, threads=1)
    seen = []

    def observer(name, layer, kind, *operands):
        seen.append((name, layer, kind, [operand.copy() for operand in operands]))

    cache = network.new_cache(2, 9)
    ids = np.arange(18).reshape(2, 9)
    watched = network.forward(ids, cache, observer=observer)
    unwatched = network.forward(ids, network.new_cache(2, 9))
    assert watched.tobytes() == unwatched.tobytes()
    linears = [name for name, _, kind, _ in seen if kind == "gemm"]
    assert linears == list(checkpoint.linears)
    for name, _, kind, operands in seen:
        if kind == "gemm":
            codes, sums = operands
            weights = checkpoint.linears[name].unpack().astype(np.int64)
            np.testing.assert_array_equal(codes.astype(np.int64) @ weights.T, sums)
    attention = [operands for _, _, kind, operands in seen if kind == "attention"]
    assert len(attention) == 2
    q, k, v, probabilities = attention[0]
    assert (q.shape, k.shape, v.shape) == ((2, 9, 32), (2, 9, 16), (2, 9, 16))
    k = k.reshape(2, 9, 2, 8).transpose(0, 2, 1, 3)
    scores = q.reshape(2, 9, 4, 8).transpose(0, 2, 1, 3) @ np.repeat(k, 2, 1).transpose(0, 1, 3, 2)
    scores = np.where(np.triu(np.ones((9, 9), bool), 1), -np.inf, scores / np.sqrt(8))
    expected = np.exp(scores - scores.max(3, keepdims=True))
    expected /= expected.sum(3, keepdims=True)
    seen_by_queries = np.tril(np.ones((9, 9), bool))  # what lies above is not defined
    np.testing.assert_allclose(np.where(seen_by_queries, probabilities, 0), expected, atol=1e-6)
    assert seen[-1][1:3] == (-1, "lm_head")
    np.testing.assert_array_equal(seen[-1][3][1], watched.reshape(18, -1))


def test_a_dense_network_dumps_logits_and_tokens_only(tmp_path):
    checkpoint = read_checkpoint(write_checkpoint(tmp_path, VARIANTS["dense f32"]))
    write_dump(Network(checkpoint, threads=1), [4, 5], 3, tmp_path / "out.npz", Sampling(1))
    assert set(np.load(tmp_path / "out.npz").files) == {"input_ids", "logits", "tokens"}
    assert not list(tmp_path.glob("tmp*"))


def test_two_dumps_have_the_same_bytes(tmp_path):
    network = Network(read_checkpoint(TINY), threads=2)
    for name in ("a.npz", "b.npz"):
        write_dump(network, [1, 2, 3], 2, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_checkpoint_hash_is_that_of_the_weights_file():
    text = (TINY / "model.safetensors").read_bytes()
    assert read_checkpoint(TINY).sha256 == hashlib.sha256(text).hexdigest()
    assert json.loads((TINY / "config.json").read_text())["hidden_size"] == 128


def test_greedy_generation_equals_full_recomputation(tmp_path):
    network = Network(read_checkpoint(write_checkpoint(tmp_path)), threads=1)
    prompt = [3, 1, 4, 1, 5]
    tokens = generate(network, prompt, 8).tokens[0]
    for count in range(8):
        ids = np.array([[*prompt, *tokens[:count]]])
        logits = network.forward(ids, network.new_cache(1, ids.size))
        assert logits[0, -1].argmax() == tokens[count]
