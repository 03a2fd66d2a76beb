"""What GGUF files of BitNet and llama networks are made of: architectures, names, types. Tables.

Sources: microsoft/BitNet at 01eb415 and its llama.cpp fork (Eddie-Wang1120/llama.cpp at 1f86f05),
ggml-org/llama.cpp, the package gguf 0.19.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from accelsim.functional.checkpoint_config import Activation


@dataclass(frozen=True)
class Architecture:
    """What ``general.architecture`` says about a network.

    Attributes:
        activation: Of the gate, where the file has no ``hidden_activation``.
        sub_norms: Whether norms stand before the output and down projections.
        ternary: Whether linears are ternary whatever type they are stored in.
        paired_rows: Whether rows of q and k are ordered so that the two that are rotated together
            are neighbours; else they stand half a head apart, as in the HF layout.
    """

    activation: Activation
    sub_norms: bool
    ternary: bool
    paired_rows: bool


# Activations: the fork's `build_bitnet_158`, which runs bitnet-b1.58 and bitnet-25, calls
# LLM_FFN_RELU_SQR, its `build_bitnet` and upstream's src/models/bitnet.cpp call LLM_FFN_SILU. Later
# trees run all three through SiLU and turn the perplexity of 2B-4T from 17 to 100 (microsoft/BitNet
# issues 588 and 602). The key `hidden_activation` that their fixes introduce decides; without it,
# an architecture means what its first builder computed.
# Rows: only `LlamaModel.modify_tensors` of the converters permutes q and k.
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "bitnet": Architecture("silu", sub_norms=True, ternary=True, paired_rows=False),
        "bitnet-25": Architecture("relu2", sub_norms=True, ternary=True, paired_rows=False),
        "bitnet-b1.58": Architecture("relu2", sub_norms=True, ternary=True, paired_rows=False),
        "llama": Architecture("silu", sub_norms=False, ternary=False, paired_rows=True),
    }
)

TOKEN_EMBEDDING = "token_embd.weight"
OUTPUT_NORM = "output_norm.weight"
OUTPUT = "output.weight"
# Names inside a layer: of the HF layout, and of GGUF after ``blk.N.``.
LINEARS: Mapping[str, str] = MappingProxyType(
    {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
)
NORMS: Mapping[str, str] = MappingProxyType(
    {
        "input_layernorm": "attn_norm",
        "self_attn.attn_sub_norm": "attn_sub_norm",
        "post_attention_layernorm": "ffn_norm",
        "mlp.ffn_sub_norm": "ffn_sub_norm",
    }
)
END_KEYS = ("eos_token_id", "eot_token_id", "eom_token_id")  # under tokenizer.ggml
NO_VOCABULARY = "no_vocab"  # as tokenizer.ggml.model
# No converter says for which machine I2_S was ordered; ours does, and without the key it is x86.
I2_S_ORDER = "accelsim.i2_s_order"
I2_S_ORDERS: Mapping[str, str] = MappingProxyType({"x86": "i2_s", "arm": "i2_s_arm"})

FLOATS: Mapping[int, str] = MappingProxyType({0: "F32", 1: "F16", 30: "BF16"})
FLOAT_DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
)
# Block formats that the package widens, by their names there.
BLOCKS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
# 36, 38 and 39 exist in bitnet.cpp's fork only. Upstream has dropped 36 and 38, and 39 is MXFP4.
TQ1_0, TQ2_0, I2_S, TL1, TL2 = 34, 35, 36, 38, 39
TERNARY: Mapping[int, str] = MappingProxyType(
    {TQ1_0: "tq1_0", TQ2_0: "tq2_0", I2_S: "i2_s", TL1: "tl1", TL2: "tl2"}
)
SCALE_BYTES = 32  # a scale behind the codes of bitnet.cpp's types, with its padding


def layer_name(layer: int, name: str, suffix: str = "weight") -> str:
    """Return the GGUF name of a layer's tensor: ``blk.3.attn_q.weight``."""
    return f"blk.{layer}.{name}.{suffix}"
