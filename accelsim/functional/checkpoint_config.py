"""The shape of a BitNet or llama network, read strictly from an HF ``config.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from accelsim.config import NetworkConfig
from accelsim.errors import UserError
from accelsim.functional.mapped import file_size

LinearClass = Literal["autobitlinear", "bitlinear"]
Activation = Literal["relu2", "silu"]
# Of each architecture: activation of the gate, norms before the output and down projections.
_FAMILIES: dict[str, tuple[Activation, bool]] = {
    "bitnet": ("relu2", True),
    "llama": ("silu", False),
    "mistral": ("silu", False),
}
# Where the list is given it replaces the reference's own, so it must keep the head as floats.
_KEPT = ({"lm_head"}, {"lm_head", "model.embed_tokens"})
MAX_CONFIG_BYTES = 1 << 20
_LARGEST_WIDTH = 1 << 20
_LARGEST_COUNT = 1 << 24


@dataclass(frozen=True)
class RopeScaling:
    """Rotary angles stretched as Llama 3.1 does: low frequencies by ``factor``, high ones not.

    Attributes:
        factor: How much longer the context became.
        low_frequency: Wavelengths above ``positions / low_frequency`` are stretched whole.
        high_frequency: Wavelengths below ``positions / high_frequency`` are kept.
        positions: Longest context before.
    """

    factor: float
    low_frequency: float
    high_frequency: float
    positions: int


@dataclass(frozen=True)
class CheckpointConfig:
    """A decoder-only network: BitNet b1.58 2B4T, or of the llama family, ternary or not.

    Attributes:
        vocab_size: Rows of the embedding.
        hidden_size: Width of the residual stream.
        intermediate_size: Width of the feed-forward layer.
        layers: Decoder layers.
        heads: Query heads per layer.
        kv_heads: Key and value heads per layer; each serves heads / kv_heads query heads.
        head_dim: Width of a head, even.
        rope_theta: Base of the rotary angles.
        rope_scaling: How they are stretched for long contexts; None: they are not.
        rms_eps: Added to the mean square in every RMSNorm.
        max_positions: Longest context.
        tie_embeddings: Whether the lm_head is the embedding.
        ternary: Whether the linears hold ternary weights; otherwise they are plain floats.
        linear_class: With ``autobitlinear`` the weight scale multiplies, with ``bitlinear`` it
            divides; None for a network that is not ternary.
        packed: Whether ternary weights are stored as such; otherwise float master weights are
            made ternary when they are read.
        activation: Of the gate: ``relu2`` or ``silu``.
        sub_norms: Whether norms stand before the output and down projections.
        bos: Token that begins a text, where the network has one.
        eos: Tokens that end a text.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    rope_theta: float
    rms_eps: float
    max_positions: int
    tie_embeddings: bool
    ternary: bool
    linear_class: LinearClass | None
    bos: int | None
    eos: tuple[int, ...]
    packed: bool = True
    activation: Activation = "relu2"
    sub_norms: bool = True
    rope_scaling: RopeScaling | None = None

    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """Return (outputs, inputs) of a layer's seven linears, by name inside the layer."""
        hidden, ffn = self.hidden_size, self.intermediate_size
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "self_attn.q_proj": (q, hidden),
            "self_attn.k_proj": (kv, hidden),
            "self_attn.v_proj": (kv, hidden),
            "self_attn.o_proj": (hidden, q),
            "mlp.gate_proj": (ffn, hidden),
            "mlp.up_proj": (ffn, hidden),
            "mlp.down_proj": (hidden, ffn),
        }

    def norm_sizes(self) -> dict[str, int]:
        """Return the length of a layer's norm weights, by name inside the layer."""
        sizes = {
            "input_layernorm": self.hidden_size,
            "post_attention_layernorm": self.hidden_size,
        }
        if self.sub_norms:
            sizes["self_attn.attn_sub_norm"] = self.heads * self.head_dim
            sizes["mlp.ffn_sub_norm"] = self.intermediate_size
        return sizes


def read_checkpoint_config(path: Path) -> CheckpointConfig:
    """Read and check an HF ``config.json``.

    Keys that do not bear on inference are ignored, as HF writes dozens of them; a key that changes
    the arithmetic to something not computed here is refused.

    Raises:
        UserError: the file is missing, is not JSON, or a value is missing or out of range.
    """
    table = _Table(path, read_json_object(path, MAX_CONFIG_BYTES))
    activation, sub_norms = _family(table)
    hidden = table.integer("hidden_size", 2, _LARGEST_WIDTH)
    heads = table.integer("num_attention_heads", 1, hidden)
    kv_heads = table.integer("num_key_value_heads", 1, heads, default=heads)
    vocab = table.integer("vocab_size", 1, _LARGEST_COUNT)
    linear_class, packed = _linear_class(table)
    theta, scaling = _rope(table)
    config = CheckpointConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=table.integer("intermediate_size", 1, _LARGEST_WIDTH),
        layers=table.integer("num_hidden_layers", 1, 4096),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=table.integer("head_dim", 2, _LARGEST_WIDTH, default=hidden // heads),
        rope_theta=theta,
        rms_eps=table.number("rms_norm_eps", 0.0, 1.0),
        max_positions=table.integer("max_position_embeddings", 1, _LARGEST_WIDTH),
        tie_embeddings=table.boolean("tie_word_embeddings", None if sub_norms else False),
        ternary=linear_class is not None,
        linear_class=linear_class,
        bos=next(iter(table.tokens("bos_token_id", vocab)), None),
        eos=table.tokens("eos_token_id", vocab),
        packed=packed,
        activation=activation,
        sub_norms=sub_norms,
        rope_scaling=scaling,
    )
    _check_divisions(table, config)
    return config


def shape_of(config: CheckpointConfig, name: str) -> NetworkConfig:
    """Return what a trace needs of a network: its shape under the schema of network files."""
    return NetworkConfig(
        name=name,
        source="config.json",
        ternary=config.ternary,
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        layers=config.layers,
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_dim=config.head_dim,
        activation=config.activation,
        sub_norms=config.sub_norms,
        tie_embeddings=config.tie_embeddings,
        max_positions=config.max_positions,
    )


def _check_divisions(table: _Table, config: CheckpointConfig) -> None:
    product = config.heads * config.head_dim
    if config.sub_norms and product != config.hidden_size:
        text = f"num_attention_heads * head_dim = {config.heads} * {config.head_dim}"
        raise table.error("hidden_size", f"differs from {text}", config.hidden_size, "equal")
    if config.head_dim % 2:
        raise table.error("head_dim", "is odd", config.head_dim, "allowed: an even number")
    if product > _LARGEST_WIDTH:
        allowed = f"allowed: heads * head_dim up to {_LARGEST_WIDTH}"
        raise table.error("head_dim", "is out of range", config.head_dim, allowed)
    if config.heads % config.kv_heads:
        allowed = f"allowed: a divisor of num_attention_heads = {config.heads}"
        raise table.error("num_key_value_heads", "does not divide", config.kv_heads, allowed)
    if not config.packed:
        return
    for name, (outputs, _) in config.linear_shapes().items():
        if outputs % 4:
            allowed = "allowed: a multiple of 4, as four rows share a byte"
            raise table.error("quantization_config", f"packs {name}, outputs", outputs, allowed)


def _family(table: _Table) -> tuple[Activation, bool]:
    """Return the gate's activation and whether there are sub-norms; refuse other architectures."""
    family = table.choice("model_type", tuple(_FAMILIES))
    activation, sub_norms = _FAMILIES[family]
    table.expect("hidden_act", activation, default=activation)
    table.expect("attention_bias", False, default=False)
    table.expect("mlp_bias", False, default=False)
    window = table.values.get("sliding_window", "4096 by default" if family == "mistral" else None)
    if window is not None:
        raise table.error("sliding_window", "is not computed", window, "allowed: null")
    return activation, sub_norms


def _linear_class(table: _Table) -> tuple[LinearClass | None, bool]:
    """Return the linear class of a ternary network and whether its weights are stored packed.

    The reference looks at ``quantization_mode`` in ``autobitlinear`` alone.
    """
    section = table.section("quantization_config")
    if section is None:
        return None, False
    section.expect("quant_method", "bitnet")
    section.expect("use_rms_norm", False, default=False)
    kept = section.values.get("modules_to_not_convert")
    if kept is not None and (not isinstance(kept, list) or set(map(str, kept)) not in _KEPT):
        allowed = 'allowed: null, or ["lm_head"]'
        raise section.error("modules_to_not_convert", "is not supported", kept, allowed)
    linear_class = section.choice("linear_class", ("autobitlinear", "bitlinear"), "bitlinear")
    mode = section.choice("quantization_mode", ("offline", "online"), "offline")
    if linear_class == "bitlinear":
        return "bitlinear", True
    return "autobitlinear", mode == "offline"


def _rope(table: _Table) -> tuple[float, RopeScaling | None]:
    """Return the base of the rotary angles and how they are stretched.

    Newer files hold both in ``rope_parameters``, older ones the base beside ``rope_scaling``.
    """
    section = table.section("rope_parameters")
    if section is None:
        scaling = table.section("rope_scaling")
        return table.number("rope_theta", 1.0, 1e12), _rope_scaling(scaling)
    if table.values.get("rope_scaling") is not None:
        given = table.values["rope_scaling"]
        raise table.error("rope_scaling", "stands beside rope_parameters", given, "give one")
    return section.number("rope_theta", 1.0, 1e12), _rope_scaling(section)


def _rope_scaling(section: _Table | None) -> RopeScaling | None:
    if section is None:
        return None
    key = "rope_type" if "rope_type" in section.values else "type"
    if section.choice(key, ("default", "llama3"), "default") == "default":
        return None
    return RopeScaling(
        factor=section.number("factor", 0.0, 1e6),
        low_frequency=section.number("low_freq_factor", 0.0, 1e6),
        high_frequency=section.number("high_freq_factor", 0.0, 1e6),
        positions=section.integer("original_max_position_embeddings", 1, _LARGEST_WIDTH),
    )


def read_json_object(path: Path, limit: int) -> dict[str, Any]:
    """Read a JSON object of at most ``limit`` bytes.

    Raises:
        UserError: the file cannot be read, is longer, or holds anything but one JSON object.
    """
    size = file_size(path)
    if size > limit:
        raise UserError("too long", file=path, value=size, allowed=f"at most {limit} bytes")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", file=path) from None
    return parse_json_object(text, path)


def parse_json_object(text: bytes, path: Path) -> dict[str, Any]:
    """Parse one JSON object; duplicate keys, NaN and infinities are refused as UserError."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UserError(f"is not valid JSON: {error}", file=path) from None
    if not isinstance(value, dict):
        raise UserError("holds another type", file=path, value=value, allowed="a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return table


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


_REQUIRED: Any = object()


@dataclass(frozen=True)
class _Table:
    """JSON values with the file and key they came from."""

    path: Path
    values: Mapping[str, Any]
    prefix: str = ""

    def error(self, key: str, message: str, value: object, allowed: str) -> UserError:
        return UserError(
            message, file=self.path, key=self.prefix + key, value=value, allowed=allowed
        )

    def section(self, key: str) -> _Table | None:
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(key, "has the wrong type", value, "allowed: an object")
        return _Table(self.path, value, f"{self.prefix}{key}.")

    def expect(self, key: str, wanted: object, default: object = _REQUIRED) -> None:
        value = self._value(key, f"{wanted!r}", default)
        if value != wanted or type(value) is not type(wanted):
            raise self.error(key, "is not supported", value, f"allowed: {json.dumps(wanted)}")

    def integer(self, key: str, low: int, high: int, default: int = _REQUIRED) -> int:
        allowed = f"an integer from {low} to {high}"
        value = self._value(key, allowed, default)
        if type(value) is not int or not low <= value <= high:
            raise self.error(key, "is out of range", value, f"allowed: {allowed}")
        return value

    def number(self, key: str, low: float, high: float) -> float:
        allowed = f"a number above {low:g}, at most {high:g}"
        value = self._value(key, allowed, _REQUIRED)
        if type(value) not in (int, float) or not low < value <= high or not math.isfinite(value):
            raise self.error(key, "is out of range", value, f"allowed: {allowed}")
        return float(value)

    def choice(self, key: str, allowed: tuple[str, ...], default: str = _REQUIRED) -> str:
        value = self._value(key, ", ".join(allowed), default)
        if not isinstance(value, str) or value not in allowed:
            raise self.error(key, "is unknown", value, "allowed: " + ", ".join(allowed))
        return value

    def boolean(self, key: str, default: bool | None) -> bool:
        value = self._value(key, "true or false", _REQUIRED if default is None else default)
        if type(value) is not bool:
            raise self.error(key, "has the wrong type", value, "allowed: true or false")
        return value

    def tokens(self, key: str, vocab: int) -> tuple[int, ...]:
        value = self.values.get(key)
        listed = [] if value is None else value if isinstance(value, list) else [value]
        if any(type(token) is not int or not 0 <= token < vocab for token in listed):
            raise self.error(key, "is no token", value, f"allowed: 0 to {vocab - 1}")
        return tuple(listed)

    def _value(self, key: str, allowed: str, default: object) -> Any:
        value = self.values.get(key)
        if value is not None:
            return value
        if default is _REQUIRED:
            raise self.error(key, "is missing", None, f"allowed: {allowed}")
        return default
