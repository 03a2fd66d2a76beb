"""Write a checkpoint of a published shape with random weights, to measure what size costs.

    python benchmarks/seeded_checkpoint.py SHAPE OUT [--seed N]

SHAPE is a YAML of models/ (bitnet-b1.58-2b-4t, for instance), OUT a new folder in the HF layout.
Ternary weights are drawn evenly, the embedding from a Gaussian: the network says nothing, at the
speed of one that does. There is no tokenizer.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from accelsim import locate
from accelsim.config import NetworkConfig, load_network_config
from accelsim.functional.checkpoint import dense_shapes, linear_names
from accelsim.functional.checkpoint_config import CheckpointConfig, read_checkpoint_config

_PIECE = 1 << 22
# The 81 bytes of four weights.
_BYTES = np.array([b for b in range(256) if not b & (b >> 1) & 0x55], np.uint8)


def config_of(shape: NetworkConfig) -> dict[str, object]:
    """Return a config.json of the BitNet architecture."""
    return {
        "model_type": "bitnet",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": shape.max_positions,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "tie_word_embeddings": shape.tie_embeddings,
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        },
    }


def shapes_of(config: CheckpointConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of every tensor."""
    shapes = {name: ("BF16", shape) for name, shape in dense_shapes(config).items()}
    for name, (outputs, inputs) in linear_names(config).items():
        shapes[f"{name}.weight"] = ("U8", (outputs // 4, inputs))
        shapes[f"{name}.weight_scale"] = ("BF16", (1,))
    return shapes


def pieces(dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[bytes]:
    """Draw a tensor; vectors are ones."""
    left = int(np.prod(shape))
    while left:
        count = min(left, _PIECE)
        left -= count
        if dtype == "U8":
            yield _BYTES[rng.integers(0, _BYTES.size, count, np.uint8)].tobytes()
        elif len(shape) == 1:
            yield np.full(count, 0x3F80, np.uint16).tobytes()
        else:
            values = 0.02 * rng.standard_normal(count, np.float32)
            yield (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    shape = load_network_config(locate.resolve(arguments.shape, locate.NETWORKS, option="SHAPE"))
    arguments.out.mkdir(parents=True)
    (arguments.out / "config.json").write_text(json.dumps(config_of(shape), indent=2))
    shapes = shapes_of(read_checkpoint_config(arguments.out / "config.json"))
    header, offset = {}, 0
    for name, (dtype, sides) in shapes.items():
        size = int(np.prod(sides)) * (1 if dtype == "U8" else 2)
        place = [offset, offset + size]
        header[name] = {"dtype": dtype, "shape": list(sides), "data_offsets": place}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors of whole words begin at whole words, as HF has it
    rng = np.random.default_rng(arguments.seed)
    with (arguments.out / "model.safetensors").open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for dtype, sides in shapes.values():
            for piece in pieces(dtype, sides, rng):
                stream.write(piece)
    print(f"{offset / 1e9:.2f} GB written to {arguments.out}")


if __name__ == "__main__":
    main()
