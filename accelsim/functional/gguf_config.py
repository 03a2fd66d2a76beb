"""The shape of a network, read strictly from the keys of a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from accelsim.errors import UserError, did_you_mean
from accelsim.functional.checkpoint_config import Activation, CheckpointConfig
from accelsim.functional.gguf_file import GgufFile
from accelsim.functional.gguf_layout import (
    ARCHITECTURES,
    END_KEYS,
    OUTPUT,
    TOKEN_EMBEDDING,
    Architecture,
)

_LARGEST_WIDTH = 1 << 20
_LARGEST_COUNT = 1 << 24
_ROPE_THETA = 10000.0  # llama.cpp's, where the key is absent
_ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {"relu2": "relu2", "relu_sqr": "relu2", "silu": "silu"}
)
# Keys that turn the network into one that is not computed here, and the values that do not.
_NEUTRAL: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "expert_count": (0,),
        "attention.sliding_window": (0,),
        "attention.scale": (0.0,),
        "attention.clamp_kqv": (0.0,),
        "attention.max_alibi_bias": (0.0,),
        "attention.causal": (True,),
        "logit_scale": (0.0, 1.0),
        "embedding_scale": (0.0, 1.0),
        "residual_scale": (0.0, 1.0),
        "use_parallel_residual": (False,),
        # Converters of BitNet write a linear scaling by 1.
        "rope.scaling.type": ("none", "linear"),
        "rope.scaling.factor": (0.0, 1.0),
        "rope.scaling.attn_factor": (1.0,),
        "rope.scale_linear": (0.0, 1.0),
    }
)


def architecture_of(file: GgufFile) -> Architecture:
    """Return the row that the file's ``general.architecture`` names.

    Raises:
        UserError: it names none, or the file is one piece of several.
    """
    name = file.text("general.architecture")
    if name not in ARCHITECTURES:
        allowed = did_you_mean(name, ARCHITECTURES)
        raise file.error("general.architecture", "is not computed", name, allowed)
    pieces = file.values.get("split.count", 0)
    if pieces not in (0, 1):
        raise file.error("split.count", "is one piece of several", pieces, "allowed: a whole file")
    return ARCHITECTURES[name]


def read_gguf_config(file: GgufFile, ternary: bool) -> CheckpointConfig:
    """Read the shape of a network whose linears are ternary, or are not.

    Raises:
        UserError: the architecture is not computed here; a value is missing or out of range; values
            contradict each other; a key changes the arithmetic.
    """
    architecture = architecture_of(file)
    keys = _Keys(file)
    keys.check_neutral()
    embedding = file.tensors.get(TOKEN_EMBEDDING)
    if embedding is None or len(embedding.shape) != 2:
        raise UserError("is missing or no matrix", file=file.path, key=TOKEN_EMBEDDING)
    vocab = keys.integer("vocab_size", 1, _LARGEST_COUNT, default=embedding.shape[0])
    hidden = keys.integer("embedding_length", 2, _LARGEST_WIDTH)
    heads = keys.integer("attention.head_count", 1, hidden)
    config = CheckpointConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=keys.integer("feed_forward_length", 1, _LARGEST_WIDTH),
        layers=keys.integer("block_count", 1, 4096),
        heads=heads,
        kv_heads=keys.integer("attention.head_count_kv", 1, heads, default=heads),
        head_dim=_head_dim(keys, hidden, heads),
        rope_theta=keys.number("rope.freq_base", 1.0, 1e12, default=_ROPE_THETA),
        rms_eps=keys.number("attention.layer_norm_rms_epsilon", 0.0, 1.0),
        max_positions=keys.integer("context_length", 1, _LARGEST_WIDTH),
        tie_embeddings=OUTPUT not in file.tensors,
        ternary=ternary,
        linear_class="autobitlinear" if ternary else None,
        bos=_token(file, "bos_token_id", vocab),
        eos=_ends(file, vocab),
        activation=_activation(keys, architecture),
        sub_norms=architecture.sub_norms,
    )
    if heads % config.kv_heads:
        allowed = f"allowed: a divisor of head_count {heads}"
        raise keys.error("attention.head_count_kv", "does not divide", config.kv_heads, allowed)
    return config


def _head_dim(keys: _Keys, hidden: int, heads: int) -> int:
    """Return the width of a head; keys, values and rotation must agree on it."""
    width = keys.integer("attention.key_length", 2, _LARGEST_WIDTH, default=hidden // heads)
    if width < 2 or width % 2:
        raise keys.error("attention.key_length", "is odd", width, "allowed: an even number")
    for key in ("attention.value_length", "rope.dimension_count"):
        value = keys.integer(key, 0, _LARGEST_WIDTH, default=width)
        if value != width:
            raise keys.error(key, "differs from the width of a head", value, f"allowed: {width}")
    return width


def _activation(keys: _Keys, architecture: Architecture) -> Activation:
    key = "hidden_activation"
    if keys.name(key) not in keys.file.values:
        return architecture.activation
    name = keys.file.text(keys.name(key))
    if name not in _ACTIVATIONS:
        raise keys.error(key, "is not computed", name, did_you_mean(name, _ACTIVATIONS))
    return _ACTIVATIONS[name]


def _token(file: GgufFile, key: str, vocab: int) -> int | None:
    name = f"tokenizer.ggml.{key}"
    return file.integer(name, 0, vocab - 1) if name in file.values else None


def _ends(file: GgufFile, vocab: int) -> tuple[int, ...]:
    """Return the tokens that end a text; llama.cpp stops at any of these."""
    found = (_token(file, key, vocab) for key in END_KEYS)
    return tuple(dict.fromkeys(token for token in found if token is not None))


class _Keys:
    """The keys under the architecture's own prefix."""

    def __init__(self, file: GgufFile) -> None:
        self.file = file
        self.prefix = file.text("general.architecture")

    def name(self, key: str) -> str:
        return f"{self.prefix}.{key}"

    def error(self, key: str, message: str, value: object, allowed: str) -> UserError:
        return self.file.error(self.name(key), message, value, allowed)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        return self.file.integer(self.name(key), low, high, default)

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Return a number as it was before it became a float32: 1e-5, not 9.99999974e-06."""
        value = self.file.number(self.name(key), low, high, default)
        return float(str(np.float32(value)))

    def check_neutral(self) -> None:
        for key, neutral in _NEUTRAL.items():
            value = self.file.values.get(self.name(key), neutral[0])
            if not isinstance(value, int | float | str) or value not in neutral:
                allowed = "allowed: " + ", ".join(map(str, neutral))
                raise self.error(key, "is not computed", value, allowed)
