"""Damaged GGUF files: a reader answers with one line or with a valid checkpoint, nothing else.

More of them: ``python tests/test_gguf_fuzz.py COUNT SEED``.
"""

from __future__ import annotations

import struct
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from gguf_factory import (
    ARRAY,
    BOOL,
    F32,
    STRING,
    Recipe,
    array,
    entry,
    float_tensor,
    floats_of,
    i2_s,
    scalar,
    ternary_of,
    write_network,
)
from tokenizers import pre_tokenizers

from accelsim.errors import UserError
from accelsim.functional.checkpoint import (
    TernaryWeight,
    dense_shapes,
    linear_names,
    read_checkpoint,
)
from accelsim.functional.tokenizer import load_tokenizer

MUTATIONS = 400
EXTREMES = [0, 1, 2, 7, 8, 9, 31, 36, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**64 - 1]


def text_keys(model: str) -> list[bytes]:
    """A vocabulary of 300 tokens."""
    if model == "gpt2":
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        tokens = [*letters, "ab", "abc", *(f"<{number}>" for number in range(42))]
        own = [entry("tokenizer.ggml.merges", ARRAY, array(STRING, ["a b", "ab c"]))]
        own.append(entry("tokenizer.ggml.pre", STRING, scalar(STRING, "llama-bpe")))
        types = [1] * 258 + [3] * 42
    else:
        tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        tokens += ["▁", *"abcd", "ab", "▁a", *(f"w{number}" for number in range(34))]
        own = [entry("tokenizer.ggml.scores", ARRAY, array(F32, range(300)))]
        own.append(entry("tokenizer.ggml.unknown_token_id", 4, scalar(4, 0)))
        types = [2, 3, 3] + [6] * 256 + [1] * 41
    return [
        entry("tokenizer.ggml.model", STRING, scalar(STRING, model)),
        entry("tokenizer.ggml.tokens", ARRAY, array(STRING, tokens)),
        entry("tokenizer.ggml.token_type", ARRAY, array(5, types)),
        entry("tokenizer.ggml.add_bos_token", BOOL, scalar(BOOL, True)),
        *own,
    ]


def whole_files(folder: Path) -> list[bytes]:
    """A ternary network with the one kind of tokenizer, and a dense one with the other."""
    path, files = folder / "x.gguf", []
    for architecture, model in (("bitnet-b1.58", "gpt2"), ("llama", "llama")):
        recipe = Recipe(architecture, vocab=300, hidden=128, ffn=128, heads=2, kv_heads=1)
        tensors = {name: float_tensor(values) for name, values in floats_of(recipe).items()}
        for name, weights in ternary_of(recipe).items():
            ternary = architecture != "llama"
            tensors[name] = i2_s(weights, 0.25) if ternary else float_tensor(weights, 1)
        tensors["output.weight"] = (8, (300, 128), bytes(300 * 4 * 34))
        write_network(path, recipe, tensors, text_keys(model))
        files.append(path.read_bytes())
        read_and_check(path)
    return files


def is_many_lines(error: UserError) -> bool:
    assert "\n" not in str(error)
    return False


def read_and_check(path: Path) -> bool:
    """Read a file; check what a valid checkpoint promises. False where it is refused."""
    try:
        checkpoint = read_checkpoint(path)
        tokenizer = None if checkpoint.tokenizer is None else load_tokenizer(checkpoint)
    except UserError as error:
        return is_many_lines(error)
    config = checkpoint.config
    for name, shape in linear_names(config).items():
        weight = checkpoint.linears[name]
        assert weight.shape == shape
        if isinstance(weight, TernaryWeight):
            assert np.isin(weight.unpack(), (-1, 0, 1)).all()
            assert 0 < weight.scale < np.inf
        else:
            assert np.isfinite(weight.widen()).all()
    for name, shape in dense_shapes(config).items():
        assert checkpoint.dense[name].shape == shape
        assert np.isfinite(checkpoint.dense[name].widen()).all()
    if tokenizer is not None:
        tokens = tokenizer.encode("abc <5> d é")
        assert all(0 <= token < config.vocab_size for token in tokens)
        tokenizer.decode(tokens)
    return True


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut, flip or lie, mostly in the header; at times in several places."""
    head = content.index(b"token_embd.weight") + 1200
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, min(head if rng.random() < 0.85 else 2**30, len(changed) - 8)))
        choice = rng.integers(0, 6)
        if choice == 0:
            changed[at] ^= 1 << int(rng.integers(0, 8))
        elif choice == 1:
            changed[at] = int(rng.integers(0, 256))
        elif choice == 2:
            lie = int(rng.choice(np.array(EXTREMES, dtype=np.uint64)))
            changed[at : at + 8] = struct.pack("<Q", lie)
        elif choice == 3:
            lie = int(rng.choice(np.array(EXTREMES, dtype=np.uint64))) & 0xFFFFFFFF
            changed[at : at + 4] = struct.pack("<I", lie)
        elif choice == 4:
            length = int(rng.integers(1, 64))
            other = int(rng.integers(0, head))
            changed[at : at + length] = changed[other : other + length]
        elif rng.random() < 0.3:
            del changed[int(rng.integers(0, len(changed))) :]
        else:
            del changed[at : at + int(rng.integers(1, 40))]
        if len(changed) < 64:
            break
    return bytes(changed)


@pytest.mark.parametrize("number", [0, 1])
def test_damage_is_refused_in_one_line_or_leaves_a_valid_checkpoint(tmp_path, number):
    content = whole_files(tmp_path)[number]
    rng = np.random.default_rng(number)
    path = tmp_path / "x.gguf"
    for _ in range(MUTATIONS // 2):
        path.write_bytes(damaged(content, rng))
        read_and_check(path)


def main(count: int, seed: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    rng, slowest, read = np.random.default_rng(seed), 0.0, 0
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x.gguf"
        files = whole_files(Path(name))
        for number in range(count):
            content = damaged(files[number % 2], rng)
            path.write_bytes(content)
            begin = time.perf_counter()
            try:
                read += read_and_check(path)
            except BaseException:
                Path("damaged.gguf").write_bytes(content)
                raise
            slowest = max(slowest, time.perf_counter() - begin)
    sys.stdout.write(f"{count} files, {read} valid, slowest {slowest:.3f} s\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
