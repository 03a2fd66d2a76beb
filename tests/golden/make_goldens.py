"""Write tiny random checkpoints in the HF layout and what transformers computes from them.

Needs torch, transformers and accelerate; the tests read only what it wrote. See README.md.

    python tests/golden/make_goldens.py [NAME ...]
"""

from __future__ import annotations

import os

# The decorated functions of the reference run as they are written, not as a compiler fuses them.
os.environ["TORCH_COMPILE_DISABLE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import save_torch_state_dict
from transformers import AutoModelForCausalLM, BitNetConfig, LlamaConfig, MistralConfig
from transformers.integrations.bitnet import (
    ActQuant,
    AutoBitLinear,
    BitLinear,
    WeightQuant,
    pack_weights,
    unpack_weights,
)

HERE = Path(__file__).parent
NEW_TOKENS = 12
# Scaled activations keep this far from half-integers, where float32 noise would decide a code.
HALF_WINDOW = 3e-5
# Linears that read what the named one reads: their input and codes are stored once.
SHARED = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj"}


@dataclass(frozen=True)
class Case:
    """A checkpoint to draw.

    ``mode`` says what its linears hold: packed, masters or plain. ``old_spelling`` writes the keys
    of config.json as releases before 5 did, which most published checkpoints still have.
    """

    family: str
    mode: str
    seed: int
    storage: torch.dtype = torch.float32
    quantisation: dict[str, Any] | None = None
    shards: int = 1
    tokens: int = 16
    old_spelling: bool = False
    config: dict[str, Any] = field(default_factory=dict)


def shape(hidden: int, ffn: int, kv_heads: int, tied: bool, theta: float, **more: Any) -> dict:
    keys = {
        "vocab_size": 97,
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": 256,
        "tie_word_embeddings": tied,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
    }
    return keys | more


def bitnet(linear_class: str, mode: str) -> dict[str, Any]:
    return {"quant_method": "bitnet", "linear_class": linear_class, "quantization_mode": mode}


# With heads of 16, wavelengths are 6.3, 19.9, 62.8, 199 ...: below, between and above 32 and 128.
STRETCHED = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}

CONFIGS = {"bitnet": BitNetConfig, "llama": LlamaConfig, "mistral": MistralConfig}
CASES = {
    "bitnet_autobitlinear": Case(
        "bitnet",
        "packed",
        seed=21,
        storage=torch.bfloat16,
        quantisation=bitnet("autobitlinear", "offline"),
        tokens=10,
        old_spelling=True,
        config=shape(128, 344, 2, True, 5e5, vocab_size=256),
    ),
    "bitnet_bitlinear": Case(
        "bitnet",
        "packed",
        seed=22,
        quantisation=bitnet("bitlinear", "offline"),
        config=shape(64, 156, 4, False, 1e4),
    ),
    "bitnet_online_sharded": Case(
        "bitnet",
        "masters",
        seed=23,
        storage=torch.bfloat16,
        quantisation=bitnet("autobitlinear", "online"),
        shards=3,
        config=shape(64, 90, 2, True, 5e5),
    ),
    "bitnet_online_f32": Case(
        "bitnet",
        "masters",
        seed=4,
        quantisation=bitnet("autobitlinear", "online"),
        config=shape(48, 102, 1, True, 1e6, head_dim=12),
    ),
    "bitnet_online_f16": Case(
        "bitnet",
        "masters",
        seed=5,
        storage=torch.float16,
        quantisation=bitnet("autobitlinear", "online"),
        config=shape(48, 100, 2, False, 1e4),
    ),
    "llama_bitlinear": Case(
        "llama",
        "packed",
        seed=46,
        storage=torch.bfloat16,
        quantisation={"quant_method": "bitnet", "modules_to_not_convert": None},
        config=shape(64, 156, 2, False, 5e5, rms_norm_eps=1e-5),
    ),
    "llama_untied": Case("llama", "plain", seed=7, config=shape(48, 90, 2, False, 1e4)),
    "llama_tied_bf16": Case(
        "llama",
        "plain",
        seed=8,
        storage=torch.bfloat16,
        old_spelling=True,
        config=shape(64, 100, 2, True, 1e4, rope_parameters=STRETCHED),
    ),
    "llama_wide_heads": Case(
        "llama", "plain", seed=9, config=shape(48, 90, 2, True, 1e4, head_dim=20)
    ),
    "mistral_bf16": Case(
        "mistral",
        "plain",
        seed=10,
        storage=torch.bfloat16,
        config=shape(48, 90, 1, False, 1e6, sliding_window=None),
    ),
}


def draw(case: Case, shapes: dict[str, torch.Size]) -> dict[str, torch.Tensor]:
    """Draw the tensors of an untrained network: spread about as trained ones are."""
    rng = np.random.default_rng(case.seed)

    def normal(size: tuple[int, ...], spread: float) -> torch.Tensor:
        return torch.from_numpy(rng.normal(0.0, spread, size).astype(np.float32))

    tensors = {}
    for name, size in shapes.items():
        if name == "lm_head.weight" and case.config["tie_word_embeddings"]:
            continue
        if "norm" in name:
            tensors[name] = (1 + normal(size, 0.25)).to(case.storage)
        elif "_proj" not in name:
            tensors[name] = normal(size, 0.5).to(case.storage)
        elif case.mode == "packed":
            scale = torch.from_numpy(rng.uniform(0.03, 0.1, 1).astype(np.float32))
            if case.quantisation.get("linear_class") != "autobitlinear":
                scale = 1 / scale
            # Of a Gaussian, 31 % lie within half their mean magnitude of zero.
            ternary = rng.choice([-1, 0, 1], size, p=[0.345, 0.31, 0.345])
            tensors[name] = pack_weights(torch.from_numpy(ternary))
            tensors[f"{name}_scale"] = scale.to(case.storage)
        else:
            tensors[name] = normal(size, size[1] ** -0.5).to(case.storage)
    return tensors


def write_checkpoint(case: Case, folder: Path) -> None:
    """Write config.json and the weights as transformers itself stores them."""
    config = CONFIGS[case.family](**case.config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    keys = json.loads(config.to_json_string())
    keys["architectures"] = [type(model).__name__]
    keys["dtype"] = str(case.storage).removeprefix("torch.")
    if case.old_spelling:
        rope = keys.pop("rope_parameters")
        keys |= {"rope_theta": rope.pop("rope_theta"), "torch_dtype": keys.pop("dtype")}
        keys["rope_scaling"] = None if rope["rope_type"] == "default" else rope
        keys.pop("head_dim", None)
    if case.quantisation is not None:
        keys["quantization_config"] = case.quantisation
    (folder / "config.json").write_text(json.dumps(keys, indent=1) + "\n")
    tensors = draw(case, {name: value.shape for name, value in model.state_dict().items()})
    size = sum(value.nbytes for value in tensors.values())
    save_torch_state_dict(tensors, folder, max_shard_size=int(size / case.shards * 1.2))
    found = len(list(folder.glob("*.safetensors")))
    assert found == case.shards, f"{found} shards"


def load(folder: Path) -> Any:
    """Load a checkpoint in float32; nothing of it may be missing or left over."""
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not any(report.values()), report
    # Of packed checkpoints the loader leaves 16-bit floats as they are, and forbids .float().
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point():
            tensor.data = tensor.data.float()
    return model.eval()


def ternary_of(linear: AutoBitLinear | BitLinear) -> torch.Tensor:
    """Return the weights -1, 0, +1 that the reference multiplies with, int64."""
    if isinstance(linear, BitLinear):
        return unpack_weights(linear.weight, torch.float32).long()
    if not linear.online_quant:
        return linear.weight.long()
    scale = 1.0 / linear.weight.abs().mean().clamp_(min=1e-5)
    ternary = (linear.weight * scale).round().clamp(-1, 1)
    assert torch.equal(ternary / scale, WeightQuant.apply(linear.weight))
    # No weight may lie where the rounding of the mean decides.
    assert ((linear.weight * scale).double().abs() - 0.5).abs().min() > 1e-6
    return ternary.long()


def codes_of(linear: AutoBitLinear | BitLinear, x: torch.Tensor) -> tuple[Any, Any]:
    """Return (codes, scales) of the reference's own activation quantisation."""
    if isinstance(linear, BitLinear):
        return linear.activation_quant(x)
    scale = 127 / x.abs().max(dim=-1, keepdim=True).values.clamp_(min=1e-5)
    codes = (x * scale).round().clamp(-128, 127)
    assert torch.equal(codes / scale, ActQuant.apply(x))
    return codes.to(torch.int8), scale


def factor_of(linear: AutoBitLinear | BitLinear) -> float:
    if isinstance(linear, BitLinear):
        return 1 / float(linear.weight_scale)
    if linear.online_quant:
        return float(linear.weight.abs().mean())
    return float(linear.weight_scale)


def watch(model: Any, arrays: dict[str, np.ndarray]) -> list[Any]:
    """Note input, codes and accumulators of every quantised linear; return the hooks."""

    def hook(name: str) -> Any:
        head, _, last = name.rpartition(".")

        def note(linear: Any, inputs: tuple[torch.Tensor], y: torch.Tensor) -> None:
            x = inputs[0]
            codes, scale = codes_of(linear, x)
            exact = (127 * x.double() / x.double().abs().amax(-1, keepdim=True)).abs()
            assert ((exact - exact.floor()) - 0.5).abs().min() > HALF_WINDOW, name
            sums = codes.long() @ ternary_of(linear).T
            product = sums.double() / scale.double() * factor_of(linear)
            assert (product - y).abs().max() < 2e-6 * product.abs().max(), name
            found = {"x": x[0].numpy(), "q": codes[0].numpy()}
            for key, array in found.items():
                if last in SHARED:
                    assert np.array_equal(arrays[f"{head}.{SHARED[last]}.{key}"], array)
                else:
                    arrays[f"{name}.{key}"] = array.copy()
            arrays[f"{name}.acc"] = sums[0].numpy().astype(np.int32)

        return note

    return [
        module.register_forward_hook(hook(name))
        for name, module in model.named_modules()
        if isinstance(module, (AutoBitLinear, BitLinear))
    ]


def logits_of(model: Any, ids: torch.Tensor) -> torch.Tensor:
    return model(ids[None], use_cache=False).logits[0]


@torch.no_grad()
def compute(case: Case, folder: Path) -> dict[str, np.ndarray]:
    """Run the reference: all that golden.npz holds."""
    model = load(folder)
    rng = np.random.default_rng(case.seed + 1000)
    ids = torch.from_numpy(rng.integers(0, case.config["vocab_size"], case.tokens))
    arrays = {"input_ids": ids.numpy()}
    hooks = watch(model, arrays)
    arrays["logits"] = logits_of(model, ids).numpy()
    for hook in hooks:
        hook.remove()
    text, gap = ids, np.inf
    for _ in range(NEW_TOKENS):
        best = logits_of(model, text)[-1].topk(2)
        gap = min(gap, float(best.values[0] - best.values[1]))
        text = torch.cat([text, best.indices[:1]])
    arrays["greedy"] = text[case.tokens :].numpy()
    assert gap > 0.02, f"two tokens are nearly as likely: {gap}"
    return arrays


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    for name in names or CASES:
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write_checkpoint(CASES[name], folder)
        np.savez_compressed(folder / "golden.npz", **compute(CASES[name], folder))
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"{name}: {size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
