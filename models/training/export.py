"""Write trained weights as a checkpoint in the Hugging Face layout: packed ternary, or bf16 twin.

    python export.py --weights NAME.pt --tokenizer corpus/tokenizer-4096.json --out DIR [--twin]

Packed linear weights are uint8 [out/4, in]: bits 2i, 2i+1 of byte [r, k] hold
t[i * out/4 + r, k] + 1; `weight_scale` [1] = mean|w| multiplies (linear_class autobitlinear).
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from network import MATRICES, Shape, ternarise
from safetensors.torch import load_file, save_file
from torch import Tensor

MODULE_OF = {name: "self_attn" for name in ("q_proj", "k_proj", "v_proj", "o_proj")}
MODULE_OF |= {name: "mlp" for name in ("gate_proj", "up_proj", "down_proj")}
MODULE_OF |= {"attn_sub_norm": "self_attn", "ffn_sub_norm": "mlp"}


def tensor_name(name: str, layer: int) -> str:
    """Return the checkpoint's name of layer `layer` of the stacked tensor `name`."""
    module = f"{MODULE_OF[name]}.{name}" if name in MODULE_OF else name
    return f"model.layers.{layer}.{module}.weight"


def pack(codes: Tensor) -> Tensor:
    """Pack ternary codes [out, in] into uint8 [out/4, in], four rows out/4 apart to a byte."""
    quarters = (codes + 1).to(torch.uint8).chunk(4)
    return quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6


def unpack(packed: Tensor) -> Tensor:
    """Undo `pack`: f32 codes [out, in]."""
    return torch.cat([(packed >> 2 * i) & 3 for i in range(4)]).float() - 1


def tensors_of(weights: dict[str, Tensor], ternary: bool) -> dict[str, Tensor]:
    """Name every tensor as the checkpoint does; embedding, norms and twin matrices in bf16."""
    tensors = {
        "model.embed_tokens.weight": weights["embed_tokens"].bfloat16(),
        "model.norm.weight": weights["norm"].bfloat16(),
    }
    for name in weights.keys() - {"embed_tokens", "norm"}:
        for layer, w in enumerate(weights[name]):
            key = tensor_name(name, layer)
            if ternary and name in MATRICES:
                codes, mean = ternarise(w.float())
                tensors[key] = pack(codes)
                tensors[key + "_scale"] = mean.reshape(1)
            else:
                tensors[key] = w.bfloat16()
    return {k: tensors[k].cpu().contiguous() for k in sorted(tensors)}


def config_of(shape: Shape, ternary: bool) -> dict[str, object]:
    """Return config.json; token 0 separates documents and serves as bos and eos."""
    config: dict[str, object] = {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "relu2",
        "max_position_embeddings": shape.positions,
        "initializer_range": 0.02,
        "rms_norm_eps": shape.eps,
        "rope_theta": shape.rope_theta,
        "rope_scaling": None,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_cache": True,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": None,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    }
    if ternary:
        config["quantization_config"] = {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        }
    return config


def export(
    weights: dict[str, Tensor], shape: Shape, ternary: bool, tokenizer: Path, out: Path
) -> None:
    """Write config.json, model.safetensors and tokenizer.json into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors_of(weights, ternary), out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(config_of(shape, ternary), indent=2) + "\n")
    shutil.copyfile(tokenizer, out / "tokenizer.json")


def load(folder: Path) -> tuple[Shape, bool, dict[str, Tensor]]:
    """Read a checkpoint back: its shape, whether it is packed, stacked f32 tensors.

    Packed matrices come back as codes, with their scales [layers] as NAME_scale.
    """
    config = json.loads((folder / "config.json").read_text())
    shape = Shape(
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        intermediate_size=config["intermediate_size"],
        rope_theta=config["rope_theta"],
        eps=config["rms_norm_eps"],
        positions=config["max_position_embeddings"],
    )
    tensors = load_file(folder / "model.safetensors")
    packed = "quantization_config" in config
    weights = {
        "embed_tokens": tensors["model.embed_tokens.weight"].float(),
        "norm": tensors["model.norm.weight"].float(),
    }
    for name in (*MATRICES, "input_layernorm", "post_attention_layernorm", *MODULE_OF):
        keys = [tensor_name(name, layer) for layer in range(shape.layers)]
        if packed and name in MATRICES:
            weights[name] = torch.stack([unpack(tensors[key]) for key in keys])
            weights[f"{name}_scale"] = torch.cat([tensors[key + "_scale"] for key in keys]).float()
        else:
            weights[name] = torch.stack([tensors[key].float() for key in keys])
    return shape, packed, weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True, help="NAME.pt of run_grid.py --keep")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--twin", action="store_true", help="bf16 matrices, no quantisation")
    arguments = parser.parse_args()
    weights = torch.load(arguments.weights, map_location="cpu")
    layers, intermediate, hidden = weights["gate_proj"].shape
    shape = Shape(
        vocab_size=len(weights["embed_tokens"]),
        hidden_size=hidden,
        layers=layers,
        intermediate_size=intermediate,
    )
    export(weights, shape, not arguments.twin, arguments.tokenizer, arguments.out)


if __name__ == "__main__":
    main()
