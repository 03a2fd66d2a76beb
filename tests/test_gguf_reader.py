"""GGUF to checkpoint: values against the package and hand-made layouts, and what is refused."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf_factory import (
    Recipe,
    float_tensor,
    floats_of,
    i2_s,
    linear_shapes,
    ternary_of,
    write_network,
)

from accelsim.errors import UserError
from accelsim.functional.checkpoint import DenseWeight, TernaryWeight, read_checkpoint

NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
Q = "blk.0.attn_q.weight"


def linear_of(checkpoint, name):
    _, layer, inside, _ = name.split(".")
    return checkpoint.linears[f"model.layers.{layer}.{NAMES[inside]}"]


def dense_tensors(recipe):
    return {name: float_tensor(values) for name, values in floats_of(recipe).items()}


def i2_s_tensors(recipe, group=32):
    return dense_tensors(recipe) | {
        name: i2_s(weights, 0.25, group) for name, weights in ternary_of(recipe).items()
    }


def read(tmp_path, recipe, tensors):
    return read_checkpoint(write_network(tmp_path / "x.gguf", recipe, tensors))


def test_the_shape_of_the_network_is_what_the_keys_say(tmp_path):
    recipe = Recipe(layers=2)
    config = read(tmp_path, recipe, i2_s_tensors(recipe)).config
    assert (config.vocab_size, config.hidden_size, config.intermediate_size) == (37, 256, 512)
    assert (config.layers, config.heads, config.kv_heads, config.head_dim) == (2, 4, 2, 64)
    assert (config.rope_theta, config.rms_eps, config.max_positions) == (500000.0, 1e-5, 64)
    assert (config.tie_embeddings, config.ternary, config.packed) == (True, True, True)
    assert (config.linear_class, config.bos, config.eos) == ("autobitlinear", 1, (2,))
    assert (config.activation, config.sub_norms) == ("relu2", True)


@pytest.mark.parametrize(
    ("architecture", "keys", "activation"),
    [
        ("bitnet-b1.58", {}, "relu2"),
        ("bitnet-25", {}, "relu2"),
        ("bitnet", {}, "silu"),
        ("bitnet", {"ARCH.hidden_activation": "relu2"}, "relu2"),
        ("bitnet-b1.58", {"ARCH.hidden_activation": "silu"}, "silu"),
        ("llama", {}, "silu"),
    ],
)
def test_the_activation_is_the_key_or_that_of_the_architecture(
    tmp_path, architecture, keys, activation
):
    recipe = Recipe(architecture, hidden=128, ffn=128, heads=2, kv_heads=1, keys=keys)
    config = read(tmp_path, recipe, i2_s_tensors(recipe)).config
    assert config.activation == activation
    assert config.sub_norms == (architecture != "llama")


def test_floats_stay_mapped_in_their_own_format(tmp_path):
    recipe = Recipe()
    bits = np.arange(37 * 256, dtype="<u2").reshape(37, 256)
    half = float_tensor(np.linspace(-3, 3, 37 * 256).reshape(37, 256), 1)
    tensors = i2_s_tensors(recipe)
    tensors |= {"token_embd.weight": (30, bits.shape, bits.tobytes()), "output.weight": half}
    checkpoint = read(tmp_path, recipe, tensors)
    assert not checkpoint.config.tie_embeddings
    embedding = checkpoint.dense["model.embed_tokens.weight"]
    np.testing.assert_array_equal(embedding.stored, bits)
    head = checkpoint.dense["lm_head.weight"]
    assert (embedding.storage, head.storage) == ("BF16", "F16")
    for weight in (embedding, head):
        assert not weight.stored.flags.owndata
        assert not weight.stored.flags.writeable
    for name, values in floats_of(recipe).items():
        if name == "output_norm.weight":
            np.testing.assert_array_equal(checkpoint.dense["model.norm.weight"].widen(), values)


@pytest.mark.parametrize(
    "kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
)
def test_block_formats_widen_as_the_package_does_it(tmp_path, kind):
    recipe = Recipe()
    number = gguf.GGMLQuantizationType[kind]
    block, block_bytes = gguf.GGML_QUANT_SIZES[number]
    rng = np.random.default_rng(3)
    # Small bytes: the scales among them are finite float16 numbers.
    stored = rng.integers(0, 100, (37, 256 // block * block_bytes)).astype(np.uint8)
    tensors = i2_s_tensors(recipe)
    tensors["token_embd.weight"] = (int(number), (37, 256), stored.tobytes())
    embedding = read(tmp_path, recipe, tensors).dense["model.embed_tokens.weight"]
    np.testing.assert_array_equal(embedding.stored, gguf.quants.dequantize(stored, number))
    assert embedding.storage == "F32"


@pytest.mark.parametrize(("group", "keys"), [(32, {}), (16, {"accelsim.i2_s_order": "arm"})])
def test_i2_s_is_read_in_the_order_of_the_machine_it_was_made_for(tmp_path, group, keys):
    recipe = Recipe(layers=2, keys=keys)
    checkpoint = read(tmp_path, recipe, i2_s_tensors(recipe, group))
    for name, weights in ternary_of(recipe).items():
        weight = linear_of(checkpoint, name)
        assert isinstance(weight, TernaryWeight)
        np.testing.assert_array_equal(weight.unpack(), weights)
        assert weight.scale == np.float32(0.25)
        assert not weight.packed.flags.writeable


@pytest.mark.parametrize("kind", ["TQ1_0", "TQ2_0"])
def test_what_the_package_packed_by_256_is_read(tmp_path, kind):
    recipe = Recipe()
    number = gguf.GGMLQuantizationType[kind]
    tensors = dense_tensors(recipe)
    for name, weights in ternary_of(recipe).items():
        stored = gguf.quants.quantize(weights * np.float32(0.37), number)
        tensors[name] = (int(number), weights.shape, stored.tobytes())
    checkpoint = read(tmp_path, recipe, tensors)
    for name, weights in ternary_of(recipe).items():
        weight = linear_of(checkpoint, name)
        np.testing.assert_array_equal(weight.unpack(), weights)
        assert weight.scale == np.float32(np.float16(0.37))


@pytest.mark.parametrize("kind", [0, 1])
def test_floats_that_a_converter_made_ternary_keep_their_scale(tmp_path, kind):
    recipe = Recipe()
    scale = np.float32(np.float16(0.0123))
    tensors = dense_tensors(recipe)
    for name, weights in ternary_of(recipe).items():
        tensors[name] = float_tensor(weights * scale, kind)
    checkpoint = read(tmp_path, recipe, tensors)
    assert (checkpoint.config.ternary, checkpoint.config.packed) == (True, False)
    for name, weights in ternary_of(recipe).items():
        weight = linear_of(checkpoint, name)
        np.testing.assert_array_equal(weight.unpack(), weights)
        assert weight.scale == scale


def test_master_weights_of_a_ternary_architecture_are_made_ternary(tmp_path):
    recipe = Recipe()
    rng = np.random.default_rng(5)
    masters = {
        name: rng.normal(size=shape).astype("f4") for name, shape in linear_shapes(recipe).items()
    }
    tensors = dense_tensors(recipe) | {name: float_tensor(w) for name, w in masters.items()}
    checkpoint = read(tmp_path, recipe, tensors)
    for name, master in masters.items():
        weight = linear_of(checkpoint, name)
        mean = np.abs(master.astype(np.float64)).mean()
        np.testing.assert_array_equal(weight.unpack(), np.clip(np.rint(master / mean), -1, 1))
        assert weight.scale == pytest.approx(mean, rel=1e-6)


def test_scale_tensors_of_older_converters_multiply(tmp_path):
    recipe = Recipe()
    tensors = i2_s_tensors(recipe)
    tensors["blk.0.attn_q.scale"] = (0, (), float_tensor(np.float32([3.0]))[2])
    checkpoint = read(tmp_path, recipe, tensors)
    assert linear_of(checkpoint, Q).scale == np.float32(0.75)
    assert linear_of(checkpoint, "blk.0.attn_k.weight").scale == np.float32(0.25)


def converter_rows(weights, heads):
    """Order rows as the converters of llama do it, pair by pair."""
    rows, inputs = weights.shape
    halves = weights.reshape(heads, 2, rows // heads // 2, inputs)
    return np.stack([halves[:, 0], halves[:, 1]], axis=2).reshape(rows, inputs)


@pytest.mark.parametrize("ternary", [True, False])
def test_rows_of_q_and_k_of_llama_are_ordered_back(tmp_path, ternary):
    recipe = Recipe("llama")
    weights = {
        name: w if ternary else w * np.arange(1, w.shape[0] + 1, dtype="f4")[:, None]
        for name, w in ternary_of(recipe).items()
    }
    tensors = dense_tensors(recipe)
    heads = {"attn_q": recipe.heads, "attn_k": recipe.kv_heads}
    for name, w in weights.items():
        count = heads.get(name.split(".")[2])
        stored = w if count is None else converter_rows(w, count)
        tensors[name] = i2_s(stored, 0.5) if ternary else float_tensor(stored, 1)
    checkpoint = read(tmp_path, recipe, tensors)
    assert checkpoint.config.ternary == ternary
    for name, w in weights.items():
        weight = linear_of(checkpoint, name)
        found = weight.unpack() if ternary else weight.stored
        np.testing.assert_array_equal(found, w)
        assert isinstance(weight, TernaryWeight if ternary else DenseWeight)


KEY_CASES = [
    ({"general.architecture": "gemma"}, "general.architecture: is not computed (gemma)"),
    ({"general.architecture": None}, "general.architecture: is missing"),
    ({"split.count": 3}, "one piece of several"),
    ({"ARCH.embedding_length": None}, "embedding_length: is missing"),
    ({"ARCH.embedding_length": 128}, "dimension_count: differs from the width of a head"),
    ({"ARCH.feed_forward_length": 128}, "wrong shape"),
    ({"ARCH.block_count": 0}, "block_count: is out of range"),
    ({"ARCH.block_count": 4000}, "tensor is missing"),
    ({"ARCH.attention.head_count": 3}, "key_length: is odd (85)"),
    ({"ARCH.attention.head_count": 2}, "differs from the width of a head"),
    ({"ARCH.attention.head_count_kv": 3}, "does not divide"),
    ({"ARCH.attention.key_length": 63}, "is odd"),
    ({"ARCH.attention.value_length": 32}, "differs from the width of a head"),
    ({"ARCH.rope.dimension_count": 32}, "differs from the width of a head"),
    ({"ARCH.rope.scaling.type": "yarn"}, "is not computed (yarn)"),
    ({"ARCH.rope.scaling.factor": 4.0}, "is not computed (4.0)"),
    ({"ARCH.expert_count": 8}, "expert_count: is not computed (8)"),
    ({"ARCH.hidden_activation": "gelu"}, "is not computed (gelu)"),
    ({"ARCH.attention.layer_norm_rms_epsilon": float("nan")}, "is out of range"),
    ({"ARCH.rope.freq_base": -1.0}, "is out of range"),
    ({"ARCH.vocab_size": 36}, "wrong shape"),
    ({"tokenizer.ggml.eos_token_id": 37}, "an integer from 0 to 36"),
    ({"accelsim.i2_s_order": "mips"}, "allowed: arm, x86"),
]


def refused(tmp_path, recipe, tensors, *parts):
    with pytest.raises(UserError) as caught:
        read(tmp_path, recipe, tensors)
    line = str(caught.value)
    assert "\n" not in line
    for part in ("x.gguf", *parts):
        assert part in line


@pytest.mark.parametrize(("keys", "part"), KEY_CASES, ids=range(len(KEY_CASES)))
def test_a_key_that_does_not_fit_is_refused(tmp_path, keys, part):
    tensors = i2_s_tensors(Recipe())
    refused(tmp_path, Recipe(keys=keys), tensors, part)


def test_a_scaling_by_one_is_none(tmp_path):
    keys = {"ARCH.rope.scaling.type": "linear", "ARCH.rope.scaling.factor": 1.0}
    recipe = Recipe(keys=keys)
    assert read(tmp_path, recipe, i2_s_tensors(recipe)).config.rope_scaling is None


GOOD = i2_s(np.zeros((256, 256), "i1"), 1.0)
NORM = "output_norm.weight"
TENSOR_CASES = [
    (Q, None, ["tensor is missing"]),
    (NORM, None, ["tensor is missing"]),
    ("token_embd.weight", None, ["is missing"]),
    ("blk.0.attn_q.bias", float_tensor(np.zeros(256)), ["unexpected tensor"]),
    ("blk.1.attn_q.weight", GOOD, ["unexpected tensor"]),
    ("rope_freqs.weight", float_tensor(np.ones(32)), ["unexpected tensor"]),
    (Q, float_tensor(np.zeros((256, 256))), ["wrong tensor type (0)", "i2_s (36)"]),
    (Q, (36, (256, 512), GOOD[2]), ["wrong shape", "[256, 256]"]),
    (Q, (36, (256, 256), GOOD[2][:-64]), ["wrong length in the file (16352)", "16416"]),
    (Q, (36, (256, 256), GOOD[2] + bytes(64)), ["wrong length in the file (16480)"]),
    (Q, (39, (256, 256), bytes(256 * 256 // 32 * 17)), ["is MXFP4 (39)"]),
    (Q, (39, (256, 256), bytes(256 * 256 // 4)), ["tiles of tl2 are not known"]),
    (Q, (36, (256, 256), b"\xff" + GOOD[2][1:]), ["holds a code that is no weight"]),
    (Q, (36, (256, 256), GOOD[2][:-32] + bytes(32)), ["scale is not finite and positive (0.0)"]),
    (
        Q,
        (36, (256, 256), GOOD[2][:-32] + b"\0\0\xc0\x7f" + bytes(28)),
        ["scale is not finite and positive (nan)"],
    ),
    (
        Q,
        (36, (256, 256), GOOD[2][:-32] + b"\0\0\x80\xbf" + bytes(28)),
        ["scale is not finite and positive (-1.0)"],
    ),
    ("blk.0.attn_q.scale", float_tensor(np.float32([0])), ["is no scale (0.0)"]),
    ("blk.0.attn_q.scale", float_tensor(np.float32([1, 1])), ["wrong shape"]),
    (NORM, float_tensor(np.full(256, np.inf)), ["NaN or infinity"]),
    (NORM, float_tensor(np.full(256, np.nan), 1), ["NaN or infinity"]),
    (NORM, (30, (256,), b"\x80\x7f" * 256), ["NaN or infinity"]),
    (NORM, (24, (256,), bytes(256)), ["wrong tensor type (24)", "F32 (0)"]),
    (NORM, (999, (256,), bytes(256)), ["wrong tensor type (999)"]),
    (NORM, (8, (256,), b"\xff" * 272), ["NaN or infinity"]),
]


@pytest.mark.parametrize(("name", "row", "parts"), TENSOR_CASES, ids=range(len(TENSOR_CASES)))
def test_a_tensor_that_does_not_fit_is_refused_by_name(tmp_path, name, row, parts):
    recipe = Recipe()
    tensors = i2_s_tensors(recipe) | {name: row}
    tensors = {key: value for key, value in tensors.items() if value is not None}
    refused(tmp_path, recipe, tensors, name, *parts)


def test_rows_that_blocks_do_not_divide_are_refused(tmp_path):
    recipe = Recipe(hidden=384, heads=6, kv_heads=2)
    tensors = i2_s_tensors(recipe) | {"output_norm.weight": (14, (384,), bytes(210 * 2))}
    refused(tmp_path, recipe, tensors, "output_norm.weight", "wrong row length (384)")


def test_a_truncated_file_is_refused(tmp_path):
    recipe = Recipe()
    path = write_network(tmp_path / "x.gguf", recipe, i2_s_tensors(recipe))
    content = path.read_bytes()
    for keep in (len(content) - 4096, len(content) // 2, 3000):
        path.write_bytes(content[:keep])
        with pytest.raises(UserError):
            read_checkpoint(path)
