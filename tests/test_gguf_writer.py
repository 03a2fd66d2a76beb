"""Checkpoint to GGUF and back: the same network, in every packing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gguf
import gguf_factory
import numpy as np
import pytest
from checkpoint_factory import Recipe, pack, write_checkpoint

from accelsim.errors import UserError
from accelsim.functional.checkpoint import Checkpoint, TernaryWeight, read_checkpoint
from accelsim.functional.gguf_file import open_gguf
from accelsim.functional.gguf_writer import write_gguf
from accelsim.functional.network import Network
from accelsim.functional.packings import CODECS
from accelsim.functional.tokenizer import load_tokenizer

AUSTEN = Path(__file__).parent.parent / "models" / "austen-12m"
EXACT = ["i2_s", "i2_s_arm"]
TILED = ["tl1", "tl2"]
BY_256 = ["tq1_0", "tq2_0"]
FAMILIES = [("relu2", True), ("silu", True), ("silu", False)]


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Checkpoint:
    recipe = Recipe(hidden=256, ffn=512, heads=4, kv_heads=2)
    return read_checkpoint(write_checkpoint(tmp_path_factory.mktemp("small"), recipe))


def of_family(checkpoint: Checkpoint, activation: str, sub_norms: bool) -> Checkpoint:
    config = replace(checkpoint.config, activation=activation, sub_norms=sub_norms)
    kept = {
        name: weight
        for name, weight in checkpoint.dense.items()
        if sub_norms or "sub_norm" not in name
    }
    return replace(checkpoint, config=config, dense=kept)


def logits_of(checkpoint: Checkpoint) -> np.ndarray:
    network = Network(checkpoint)
    return network.forward(np.array([[1, 5, 7, 2, 9]]), network.new_cache(1, 5))


def assert_same_network(found: Checkpoint, wanted: Checkpoint) -> None:
    assert found.config == wanted.config
    assert found.linears.keys() == wanted.linears.keys()
    assert found.dense.keys() == wanted.dense.keys()
    for name, weight in wanted.linears.items():
        again = found.linears[name]
        np.testing.assert_array_equal(again.packed, weight.packed)
        assert (again.scale, again.shape) == (weight.scale, weight.shape)
    for name, dense in wanted.dense.items():
        np.testing.assert_array_equal(found.dense[name].widen(), dense.widen())


@pytest.mark.parametrize(("activation", "sub_norms"), FAMILIES)
@pytest.mark.parametrize("packing", EXACT)
def test_what_is_written_is_read_back_to_the_bit(tmp_path, small, packing, activation, sub_norms):
    checkpoint = of_family(small, activation, sub_norms)
    path = write_gguf(checkpoint, tmp_path / "x.gguf", packing=packing)
    again = read_checkpoint(path)
    assert_same_network(again, checkpoint)
    np.testing.assert_array_equal(logits_of(again), logits_of(checkpoint))


@pytest.fixture(scope="module")
def tiled(tmp_path_factory) -> Checkpoint:
    """A network of the smallest shapes that tiles are known for."""
    recipe = Recipe(hidden=1536, ffn=4096, heads=12, kv_heads=12, layers=1)
    return read_checkpoint(write_checkpoint(tmp_path_factory.mktemp("tiled"), recipe))


@pytest.mark.parametrize(("activation", "sub_norms"), FAMILIES[::2])
@pytest.mark.parametrize("packing", TILED)
def test_tiled_packings_are_read_back_to_the_bit(tmp_path, tiled, packing, activation, sub_norms):
    checkpoint = of_family(tiled, activation, sub_norms)
    again = read_checkpoint(write_gguf(checkpoint, tmp_path / "x.gguf", packing=packing))
    assert_same_network(again, checkpoint)
    np.testing.assert_array_equal(logits_of(again), logits_of(checkpoint))


@pytest.mark.parametrize("packing", BY_256)
def test_scales_of_blocks_of_256_are_rounded_and_nothing_else(tmp_path, small, packing):
    again = read_checkpoint(write_gguf(small, tmp_path / "x.gguf", packing=packing))
    rounded = {
        name: replace(weight, scale=np.float32(np.float16(weight.scale)))
        for name, weight in small.linears.items()
    }
    assert_same_network(again, replace(small, linears=rounded))


@pytest.mark.parametrize("packing", BY_256)
def test_the_package_unpacks_blocks_of_256_to_the_same_products(tmp_path, small, packing):
    path = write_gguf(small, tmp_path / "x.gguf", packing=packing)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    for inside, name in (("ffn_down", "mlp.down_proj"), ("attn_k", "self_attn.k_proj")):
        tensor = tensors[f"blk.1.{inside}.weight"]
        weight = small.linears[f"model.layers.1.{name}"]
        assert isinstance(weight, TernaryWeight)
        products = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        scale = np.float32(np.float16(weight.scale))
        np.testing.assert_array_equal(products, weight.unpack() * scale)


@pytest.mark.parametrize("packing", EXACT)
def test_the_shipped_network_stays_itself(tmp_path, packing):
    checkpoint = read_checkpoint(AUSTEN)
    again = read_checkpoint(write_gguf(checkpoint, tmp_path / "x.gguf", packing=packing))
    assert_same_network(again, checkpoint)
    text = (AUSTEN / "heldout.txt").read_text()[:5000] + "<|endoftext|>"
    assert again.tokenizer == tmp_path / "x.gguf"
    tokens = load_tokenizer(again).encode(text)
    assert tokens == load_tokenizer(checkpoint).encode(text)
    assert load_tokenizer(again).decode(tokens) == load_tokenizer(checkpoint).decode(tokens)


def test_a_file_is_rewritten_in_another_packing_with_its_tokenizer(tmp_path):
    checkpoint = read_checkpoint(AUSTEN)
    first = read_checkpoint(write_gguf(checkpoint, tmp_path / "a.gguf", packing="i2_s"))
    second = read_checkpoint(write_gguf(first, tmp_path / "b.gguf", packing="i2_s_arm"))
    assert_same_network(second, checkpoint)
    assert load_tokenizer(second).encode("It is") == load_tokenizer(checkpoint).encode("It is")


@pytest.mark.parametrize("packing", TILED)
def test_a_scale_in_a_tensor_behind_the_codes_is_found(tmp_path, packing):
    # As the converters of bitnet.cpp write it: codes, then NAME.weight_scale without dimensions.
    recipe = gguf_factory.Recipe(hidden=1536, ffn=4096, heads=12, kv_heads=12)
    tensors = {n: gguf_factory.float_tensor(v) for n, v in gguf_factory.floats_of(recipe).items()}
    kind = {"tl1": 38, "tl2": 39}[packing]
    ternary = gguf_factory.ternary_of(recipe)
    for name, weights in ternary.items():
        stored = CODECS[packing].encode(pack(weights), weights.shape[0], 1.0)
        tensors[name] = (kind, weights.shape, stored[:-32].tobytes())
        tensors[f"{name}_scale"] = (0, (), np.float32(0.3).tobytes())
    path = gguf_factory.write_network(tmp_path / "x.gguf", recipe, tensors)
    checkpoint = read_checkpoint(path)
    for inside, name in (("ffn_down", "mlp.down_proj"), ("attn_k", "self_attn.k_proj")):
        weight = checkpoint.linears[f"model.layers.0.{name}"]
        np.testing.assert_array_equal(weight.unpack(), ternary[f"blk.0.{inside}.weight"])
        assert weight.scale == np.float32(0.3)


def test_scales_that_divide_are_written_as_multipliers(tmp_path):
    recipe = Recipe(hidden=256, ffn=512, linear_class="bitlinear")
    checkpoint = read_checkpoint(write_checkpoint(tmp_path / "hf", recipe))
    again = read_checkpoint(write_gguf(checkpoint, tmp_path / "x.gguf", packing="i2_s"))
    assert again.config.linear_class == "autobitlinear"
    for name, weight in checkpoint.linears.items():
        assert again.linears[name].scale == np.float32(1) / weight.scale


@pytest.mark.parametrize("head", ["bf16", "f16", "f32", "q8_0"])
def test_the_head_is_rounded_to_its_format_as_the_package_rounds(tmp_path, head):
    recipe = Recipe(hidden=256, ffn=512, tied=False, storage="F32")
    checkpoint = read_checkpoint(write_checkpoint(tmp_path / "hf", recipe))
    path = write_gguf(checkpoint, tmp_path / "x.gguf", packing="i2_s", head=head)
    again = read_checkpoint(path)
    kind = gguf.GGMLQuantizationType[head.upper()]
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        wanted = gguf.quants.quantize(checkpoint.dense[name].widen(), kind)
        wanted = gguf.quants.dequantize(wanted, kind)
        np.testing.assert_array_equal(again.dense[name].widen(), wanted)
    assert again.dense["model.norm.weight"].storage == "F32"


def test_a_tokenizer_that_gguf_cannot_express_stays_behind(tmp_path):
    folder = write_checkpoint(tmp_path / "hf", Recipe(vocab=4096, hidden=256, ffn=512))
    table = json.loads((AUSTEN / "tokenizer.json").read_text())
    table["pre_tokenizer"] = {
        "type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True,
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(table))
    checkpoint = read_checkpoint(folder)
    again = read_checkpoint(write_gguf(checkpoint, tmp_path / "x.gguf", packing="i2_s"))
    assert again.tokenizer is None
    assert (again.config.bos, again.config.eos) == (checkpoint.config.bos, checkpoint.config.eos)


PIECE = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
DIGITS = {"type": "Digits", "individual_digits": True}
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLIT = {
    "type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False,
}  # fmt: skip
BEGIN = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {
        "<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
    },
}


@pytest.mark.parametrize(
    ("steps", "end", "ignore_merges", "name"),
    [
        ([DIGITS, PIECE | {"use_regex": True}], None, False, "smollm"),
        ([SPLIT, PIECE], BEGIN, True, "llama-bpe"),
        ([SPLIT, PIECE], None, True, "llama-bpe"),
    ],
)
def test_a_tokenizer_json_gives_the_same_tokens_out_of_the_file(
    tmp_path, steps, end, ignore_merges, name
):
    changes = {"bos_token_id": 0, "eos_token_id": 0}
    recipe = Recipe(vocab=4096, hidden=256, ffn=512, changes=changes)
    folder = write_checkpoint(tmp_path / "hf", recipe)
    table = json.loads((AUSTEN / "tokenizer.json").read_text())
    table["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    table["post_processor"] = end
    table["model"]["ignore_merges"] = ignore_merges
    (folder / "tokenizer.json").write_text(json.dumps(table))
    checkpoint = read_checkpoint(folder)
    path = write_gguf(checkpoint, tmp_path / "x.gguf", packing="i2_s")
    assert open_gguf(path).values["tokenizer.ggml.pre"] == name
    text = (AUSTEN / "heldout.txt").read_text()[:3000] + " 1234 x12\n\n  'LL <|endoftext|>é"
    found = load_tokenizer(read_checkpoint(path)).encode(text)
    assert found == load_tokenizer(checkpoint).encode(text)
    assert (found[0] == 0) == (end is not None)


def refused(tmp_path, checkpoint, part, **options):
    path = tmp_path / "out" / "x.gguf"
    path.parent.mkdir(exist_ok=True)
    with pytest.raises(UserError) as caught:
        write_gguf(checkpoint, path, **options)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(path.parent.iterdir())


def test_what_cannot_be_written_is_refused_and_nothing_is_left(tmp_path, small):
    refused(tmp_path, small, "unknown packing (i3_s)", packing="i3_s")
    refused(tmp_path, small, "unknown format of the head (q4)", packing="i2_s", head="q4")
    odd = of_family(small, "relu2", sub_norms=False)
    refused(tmp_path, odd, "no architecture that GGUF has", packing="i2_s")
    dense = replace(small, config=replace(small.config, ternary=False))
    refused(tmp_path, dense, "is not ternary", packing="i2_s")
    ends = replace(small, config=replace(small.config, eos=(1, 2, 3, 4)))
    refused(tmp_path, ends, "more ends of a text", packing="i2_s")


def test_a_head_beyond_float16_is_refused_and_nothing_is_left(tmp_path, small):
    name = "model.embed_tokens.weight"
    huge = small.dense[name].widen() * np.float32(1e6)
    weight = replace(small.dense[name], stored=huge, storage="F32")
    checkpoint = replace(small, dense=dict(small.dense) | {name: weight})
    refused(tmp_path, checkpoint, "exceeds float16", packing="i2_s", head="f16")


def test_blocks_of_256_do_not_divide_the_shipped_network(tmp_path):
    checkpoint = read_checkpoint(AUSTEN)
    name = "model.layers.0.self_attn.q_proj"
    refused(tmp_path, checkpoint, name, packing="tq2_0")
    refused(tmp_path, checkpoint, "384", packing="tq1_0")


def test_tiles_are_not_known_for_the_shipped_network(tmp_path):
    refused(tmp_path, read_checkpoint(AUSTEN), "tiles of tl1 are not known", packing="tl1")
