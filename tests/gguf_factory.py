"""GGUF files built byte by byte, independent of reader and writer; they may lie."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
U32, F32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9


@dataclass
class Info:
    """One tensor info; ``sides`` in the file's order, fastest first."""

    name: str
    sides: Sequence[int]
    kind: int = 0
    offset: int = 0


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def scalar(kind: int, value: Any) -> bytes:
    return text(value) if kind == STRING else struct.pack(f"<{FORMATS[kind]}", value)


def array(kind: int, values: Sequence[Any], count: int | None = None) -> bytes:
    count = len(values) if count is None else count
    return struct.pack("<IQ", kind, count) + b"".join(scalar(kind, value) for value in values)


def entry(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def info(row: Info) -> bytes:
    sides = struct.pack(f"<I{len(row.sides)}Q", len(row.sides), *row.sides)
    return text(row.name) + sides + struct.pack("<IQ", row.kind, row.offset)


def container(
    entries: Sequence[bytes] = (),
    infos: Sequence[Info] = (),
    content: bytes = b"",
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    keys: int | None = None,
    tensors: int | None = None,
    alignment: int = 32,
) -> bytes:
    head = magic + struct.pack(
        "<IQQ",
        version,
        len(infos) if tensors is None else tensors,
        len(entries) if keys is None else keys,
    )
    head += b"".join(entries) + b"".join(map(info, infos))
    return head + bytes(-len(head) % alignment) + content


@dataclass
class Recipe:
    """A random network; ``keys`` override its own keys, None drops one."""

    architecture: str = "bitnet-b1.58"
    vocab: int = 37
    hidden: int = 256
    ffn: int = 512
    layers: int = 1
    heads: int = 4
    kv_heads: int = 2
    keys: dict[str, Any] = field(default_factory=dict)
    seed: int = 0


Stored = tuple[int, tuple[int, ...], bytes]  # type id, shape as numpy has it, bytes


def keys_of(recipe: Recipe) -> dict[str, Any]:
    own = {
        "context_length": 64,
        "embedding_length": recipe.hidden,
        "block_count": recipe.layers,
        "feed_forward_length": recipe.ffn,
        "attention.head_count": recipe.heads,
        "attention.head_count_kv": recipe.kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 500000.0,
        "rope.dimension_count": recipe.hidden // recipe.heads,
    }
    keys = {"general.architecture": recipe.architecture}
    keys |= {f"{recipe.architecture}.{key}": value for key, value in own.items()}
    keys |= {"tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2}
    keys |= {key.replace("ARCH", recipe.architecture): v for key, v in recipe.keys.items()}
    return {key: value for key, value in keys.items() if value is not None}


def linear_shapes(recipe: Recipe) -> dict[str, tuple[int, int]]:
    kv = recipe.hidden // recipe.heads * recipe.kv_heads
    inside = {
        "attn_q": (recipe.hidden, recipe.hidden),
        "attn_k": (kv, recipe.hidden),
        "attn_v": (kv, recipe.hidden),
        "attn_output": (recipe.hidden, recipe.hidden),
        "ffn_gate": (recipe.ffn, recipe.hidden),
        "ffn_up": (recipe.ffn, recipe.hidden),
        "ffn_down": (recipe.hidden, recipe.ffn),
    }
    return {
        f"blk.{layer}.{name}.weight": shape
        for layer in range(recipe.layers)
        for name, shape in inside.items()
    }


def floats_of(recipe: Recipe) -> dict[str, np.ndarray]:
    """Embedding and norms, float32."""
    rng = np.random.default_rng(recipe.seed)
    sizes = {"attn_norm": recipe.hidden, "ffn_norm": recipe.hidden}
    if recipe.architecture != "llama":
        sizes |= {"attn_sub_norm": recipe.hidden, "ffn_sub_norm": recipe.ffn}
    shapes: dict[str, Any] = {"token_embd.weight": (recipe.vocab, recipe.hidden)}
    for layer in range(recipe.layers):
        shapes |= {f"blk.{layer}.{name}.weight": size for name, size in sizes.items()}
    shapes["output_norm.weight"] = recipe.hidden
    return {name: rng.uniform(0.5, 1.5, shape).astype("f4") for name, shape in shapes.items()}


def float_tensor(values: np.ndarray, kind: int = 0) -> Stored:
    stored = values.astype({0: "<f4", 1: "<f2"}[kind])
    return kind, values.shape, stored.tobytes()


def ternary_of(recipe: Recipe) -> dict[str, np.ndarray]:
    """The weights -1, 0, 1 of every linear, int8."""
    rng = np.random.default_rng(recipe.seed + 1)
    return {
        name: rng.integers(-1, 2, shape).astype("i1")
        for name, shape in linear_shapes(recipe).items()
    }


def i2_s(weights: np.ndarray, scale: float, group: int = 32) -> Stored:
    """Store codes: of every 4 * group weights, four that stand group apart share a byte."""
    flat = weights.reshape(-1)
    block, inside = np.divmod(np.arange(flat.size), 4 * group)
    which, at = np.divmod(inside, group)
    stored = np.zeros(flat.size // 4 + 32, np.uint8)
    codes = (flat + 1) << (6 - 2 * which)
    np.bitwise_or.at(stored, block * group + at, codes.astype(np.uint8))
    stored[-32:-28] = np.frombuffer(struct.pack("<f", scale), np.uint8)
    return 36, weights.shape, stored.tobytes()


def write_network(
    path: Path, recipe: Recipe, tensors: dict[str, Stored], more_entries: Sequence[bytes] = ()
) -> Path:
    kinds = {bool: BOOL, int: U32, float: F32, str: STRING}
    entries = [
        entry(key, kinds[type(value)], scalar(kinds[type(value)], value))
        for key, value in keys_of(recipe).items()
    ]
    infos, content = [], b""
    for name, (kind, shape, stored) in tensors.items():
        infos.append(Info(name, tuple(reversed(shape)), kind, len(content)))
        content += stored + bytes(-len(stored) % 32)
    path.write_bytes(container([*entries, *more_entries], infos, content))
    return path
