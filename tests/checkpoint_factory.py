"""Random checkpoints in the HF layout, written byte by byte and independent of the reader."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Tensor = tuple[str, np.ndarray]  # dtype as safetensors names it, and the array of its bytes


@dataclass
class Recipe:
    """What a random checkpoint is like; ``changes`` overrides config.json."""

    vocab: int = 61
    hidden: int = 32
    ffn: int = 44
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    positions: int = 96
    tied: bool = True
    linear_class: str | None = "autobitlinear"
    storage: str = "F32"
    seed: int = 0
    changes: dict[str, Any] = field(default_factory=dict)


def bfloat16_bits(x: np.ndarray) -> np.ndarray:
    """Cut float32 down to the upper 16 bits."""
    return (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def store(x: np.ndarray, storage: str) -> Tensor:
    kinds = {"F32": np.float32, "F16": np.float16}
    return storage, bfloat16_bits(x) if storage == "BF16" else x.astype(kinds[storage])


def pack(weights: np.ndarray) -> np.ndarray:
    """Pack ternary [out, in], one weight at a time as the layout is defined."""
    quarter = weights.shape[0] // 4
    packed = np.zeros((quarter, weights.shape[1]), np.uint8)
    for i in range(4):
        packed |= (weights[i * quarter : (i + 1) * quarter] + 1).astype(np.uint8) << (2 * i)
    return packed


def config_of(recipe: Recipe) -> dict[str, Any]:
    config: dict[str, Any] = {
        "model_type": "bitnet",
        "vocab_size": recipe.vocab,
        "hidden_size": recipe.hidden,
        "intermediate_size": recipe.ffn,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
        "num_key_value_heads": recipe.kv_heads,
        "hidden_act": "relu2",
        "max_position_embeddings": recipe.positions,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": recipe.tied,
        "rope_theta": 500000.0,
        "bos_token_id": 1,
        "eos_token_id": [2, 3],
    }
    if recipe.linear_class is not None:
        config["quantization_config"] = {
            "quant_method": "bitnet",
            "linear_class": recipe.linear_class,
            "quantization_mode": "offline",
        }
    return config | recipe.changes


def tensors_of(recipe: Recipe) -> dict[str, Tensor]:
    rng = np.random.default_rng(recipe.seed)
    hidden, ffn = recipe.hidden, recipe.ffn
    kv = hidden // recipe.heads * recipe.kv_heads
    tensors = {"model.embed_tokens.weight": store(rng.normal(size=(recipe.vocab, hidden)), "BF16")}
    tensors["model.norm.weight"] = store(rng.uniform(0.5, 1.5, hidden), "F32")
    if not recipe.tied:
        tensors["lm_head.weight"] = store(rng.normal(size=(recipe.vocab, hidden)), recipe.storage)
    linears = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (kv, hidden),
        "self_attn.v_proj": (kv, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (ffn, hidden),
        "mlp.up_proj": (ffn, hidden),
        "mlp.down_proj": (hidden, ffn),
    }
    norms = {
        "input_layernorm": hidden,
        "self_attn.attn_sub_norm": hidden,
        "post_attention_layernorm": hidden,
        "mlp.ffn_sub_norm": ffn,
    }
    for layer in range(recipe.layers):
        prefix = f"model.layers.{layer}."
        for name, size in norms.items():
            tensors[f"{prefix}{name}.weight"] = store(rng.uniform(0.5, 1.5, size), "F32")
        for name, shape in linears.items():
            if recipe.linear_class is None:
                weight = rng.normal(size=shape) * 0.1
                tensors[f"{prefix}{name}.weight"] = store(weight, recipe.storage)
                continue
            ternary = rng.integers(-1, 2, shape)
            scale = rng.uniform(0.02, 0.2, 1)
            if recipe.linear_class == "bitlinear":
                scale = 1 / scale
            tensors[f"{prefix}{name}.weight"] = ("U8", pack(ternary))
            tensors[f"{prefix}{name}.weight_scale"] = store(scale, "F32")
    return tensors


def write_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    header, chunks, offset = {}, [], 0
    for name, (dtype, array) in tensors.items():
        chunk = array.tobytes()
        place = [offset, offset + len(chunk)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": place}
        chunks.append(chunk)
        offset += len(chunk)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(chunks))


def write_checkpoint(folder: Path, recipe: Recipe | None = None) -> Path:
    recipe = recipe or Recipe()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_of(recipe)))
    write_safetensors(folder / "model.safetensors", tensors_of(recipe))
    return folder
