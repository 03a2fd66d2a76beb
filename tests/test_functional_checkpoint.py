"""What the reader refuses, and what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from checkpoint_factory import (
    Recipe,
    config_of,
    store,
    tensors_of,
    write_checkpoint,
    write_safetensors,
)

from accelsim.errors import UserError
from accelsim.functional.checkpoint import read_checkpoint
from accelsim.functional.checkpoint_config import read_checkpoint_config

TINY = Path(__file__).parent / "golden" / "bitnet_tiny"
Q = "model.layers.0.self_attn.q_proj"


def refused(path, *parts):
    with pytest.raises(UserError) as caught:
        read_checkpoint(path)
    line = str(caught.value)
    assert "\n" not in line
    for part in parts:
        assert part in line


def test_the_config_is_read_as_written():
    config = read_checkpoint_config(TINY / "config.json")
    assert (config.vocab_size, config.hidden_size, config.intermediate_size) == (256, 128, 344)
    assert (config.layers, config.heads, config.kv_heads, config.head_dim) == (2, 4, 2, 32)
    assert (config.rope_theta, config.rms_eps, config.max_positions) == (500000.0, 1e-5, 256)
    assert (config.tie_embeddings, config.ternary) == (True, True)
    assert (config.linear_class, config.bos, config.eos) == ("autobitlinear", 1, (2,))


def test_weights_unpack_to_what_was_packed(tmp_path):
    rng = np.random.default_rng(0)
    recipe = Recipe()
    weights = rng.integers(-1, 2, (32, 32))
    from checkpoint_factory import pack

    tensors = tensors_of(recipe) | {f"{Q}.weight": ("U8", pack(weights))}
    write_checkpoint(tmp_path, recipe)
    write_safetensors(tmp_path / "model.safetensors", tensors)
    weight = read_checkpoint(tmp_path).linears[Q]
    np.testing.assert_array_equal(weight.unpack(), weights)
    nonzero, negative = weight.bit_planes()
    assert nonzero.shape == negative.shape == (32, 4)
    bits = np.unpackbits(nonzero, axis=1, bitorder="little").astype(int)
    signs = np.unpackbits(negative, axis=1, bitorder="little").astype(int)
    np.testing.assert_array_equal(bits - 2 * signs, weights)


CONFIG_CASES = {
    "hidden_size": [(None, "missing"), ("384", "range"), (True, "range"), (-4, "range")],
    "vocab_size": [(0, "range"), (1.5, "range"), (10**30, "range")],
    "num_key_value_heads": [(3, "divide"), (5, "range")],
    "num_attention_heads": [(5, "hidden_size")],
    "head_dim": [(7, "heads"), (16, "hidden_size")],
    "rms_norm_eps": [(0, "range"), ("x", "range")],
    "rope_theta": [(None, "missing"), (-1, "range")],
    "rope_scaling": [({"type": "linear"}, "default, llama3")],
    "rope_parameters": [({"rope_type": "yarn", "rope_theta": 1e4}, "rope_type"), ([], "object")],
    "tie_word_embeddings": [(1, "true or false"), (None, "missing")],
    "model_type": [("qwen2", "bitnet, llama, mistral"), (None, "missing")],
    "hidden_act": [("silu", '"relu2"')],
    "attention_bias": [(True, "false")],
    "eos_token_id": [(61, "0 to 60"), ("a", "0 to 60")],
    "intermediate_size": [(42, "multiple of 4")],
    "max_position_embeddings": [(0, "range"), (1 << 40, "range")],
    "quantization_config": [
        ({"quant_method": "gptq"}, "quant_method"),
        ({"quant_method": "bitnet", "linear_class": "linear"}, "autobitlinear, bitlinear"),
        ({"quant_method": "bitnet", "quantization_mode": "later"}, "offline, online"),
        ({"quant_method": "bitnet", "use_rms_norm": True}, "false"),
        ({"quant_method": "bitnet", "modules_to_not_convert": []}, '["lm_head"]'),
        (3, "object"),
    ],
}


@pytest.mark.parametrize(
    ("key", "value", "part"), [(k, v, p) for k, rows in CONFIG_CASES.items() for v, p in rows]
)
def test_a_config_out_of_range_is_refused_by_key(tmp_path, key, value, part):
    write_checkpoint(tmp_path)
    config = config_of(Recipe()) | {key: value}
    (tmp_path / "config.json").write_text(json.dumps(config))
    refused(tmp_path, "config.json", part)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b"1" * 5000,
    ],
)
def test_bad_json_is_refused(tmp_path, text):
    write_checkpoint(tmp_path)
    (tmp_path / "config.json").write_bytes(text)
    refused(tmp_path, "config.json")


def test_missing_files_are_refused(tmp_path):
    refused(tmp_path / "nowhere", "nowhere")
    refused(tmp_path, "config.json", "cannot be read")
    shutil.copy(TINY / "config.json", tmp_path)
    refused(tmp_path, "model.safetensors", "cannot be read")


def change(tmp_path, **tensors):
    """Write a checkpoint with tensors replaced, or dropped where None."""
    write_checkpoint(tmp_path)
    kept = tensors_of(Recipe()) | {name.replace("__", "."): row for name, row in tensors.items()}
    write_safetensors(
        tmp_path / "model.safetensors", {name: row for name, row in kept.items() if row}
    )


@pytest.mark.parametrize(
    ("name", "row", "parts"),
    [
        (f"{Q}.weight", None, ["missing"]),
        (f"{Q}.weight_scale", None, ["missing"]),
        ("model.norm.weight", None, ["missing"]),
        (f"{Q}.weight", store(np.zeros((8, 32)), "F32"), ["wrong dtype (F32)", "U8"]),
        (f"{Q}.weight", ("U8", np.zeros((8, 31), np.uint8)), ["wrong shape", "[8, 32]"]),
        (f"{Q}.weight", ("U8", np.full((8, 32), 0x30, np.uint8)), ["ternary code (3)"]),
        (f"{Q}.weight_scale", store(np.zeros(1), "F32"), ["is no scale (0.0)"]),
        (f"{Q}.weight_scale", store(np.full(1, np.nan), "F32"), ["NaN"]),
        ("model.norm.weight", store(np.full(32, np.inf), "F32"), ["infinity"]),
        ("model.norm.weight", store(np.ones((1, 32)), "F32"), ["wrong shape"]),
        ("model.norm.weight", ("U8", np.ones(32, np.uint8)), ["wrong dtype"]),
        (f"{Q}.bias", store(np.zeros(32), "F32"), ["unexpected tensor"]),
        ("lm_head.weight", store(np.zeros((61, 32)), "F32"), ["unexpected tensor"]),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_by_name(tmp_path, name, row, parts):
    change(tmp_path, **{name.replace(".", "__"): row})
    refused(tmp_path, "model.safetensors", name, *parts)


def with_header(tmp_path, header, body=b"\0" * 64, length=None):
    write_checkpoint(tmp_path)
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = (len(text) if length is None else length).to_bytes(8, "little")
    (tmp_path / "model.safetensors").write_bytes(size + text + body)


@pytest.mark.parametrize("keep", [0, 7, 8, 100, -1])
def test_a_truncated_file_is_refused(tmp_path, keep):
    write_checkpoint(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(tmp_path, "model.safetensors")


def test_appended_bytes_are_refused(tmp_path):
    write_checkpoint(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes() + b"\0")
    refused(tmp_path, "wrong file size")


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10**9, 1 << 20])
def test_a_header_longer_than_the_file_is_refused(tmp_path, length):
    with_header(tmp_path, b"{}", length=length)
    refused(tmp_path, "header is longer than the file")


F = {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (b"\0garbage", "JSON"),
        ({"a": 3}, "malformed header entry"),
        ({"a": F | {"extra": 1}}, "malformed header entry"),
        ({"a": F | {"dtype": "I64"}}, "unknown dtype"),
        ({"a": F | {"dtype": ["F32"]}}, "unknown dtype"),
        ({"a": F | {"shape": [4, -4]}}, "malformed shape"),
        ({"a": F | {"shape": "44"}}, "malformed shape"),
        ({"a": F | {"shape": [1 << 39] * 8}}, "do not fit"),
        ({"a": F | {"shape": [1e400]}}, "JSON"),
        ({"a": F | {"data_offsets": [0]}}, "malformed data_offsets"),
        ({"a": F | {"data_offsets": [0, 60]}}, "do not fit"),
        ({"a": F | {"data_offsets": [64, 128]}}, "wrong offset"),
        ({"a": F, "b": F}, "wrong offset"),
        ({"a": F | {"shape": [2, 4], "data_offsets": [0, 32]}}, "wrong file size"),
        ({"a": F}, "tensor is missing"),
    ],
)
def test_a_lying_header_is_refused(tmp_path, header, part):
    with_header(tmp_path, header)
    refused(tmp_path, "model.safetensors", part)
