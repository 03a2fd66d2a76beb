"""Writes a ternary checkpoint as a GGUF file, in any packing, through the package ``gguf``.

The package knows no type ids 36, 38 and 39; it takes a tensor info with any id where the dtype
beside it is not uint8, and that is how all ternary tensors are announced here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import UserError, did_you_mean
from accelsim.files import whole_file
from accelsim.functional.checkpoint import (
    EMBEDDING,
    LM_HEAD,
    Checkpoint,
    DenseWeight,
    TernaryWeight,
    dense_shapes,
    linear_names,
    widen,
)
from accelsim.functional.gguf_layout import (
    ARCHITECTURES,
    END_KEYS,
    FLOAT_DTYPES,
    FLOATS,
    I2_S,
    I2_S_ORDER,
    I2_S_ORDERS,
    NO_VOCABULARY,
    TERNARY,
)
from accelsim.functional.gguf_reader import (
    gguf_name,
    half_split_order,
    take_rows,
)
from accelsim.functional.gguf_vocabulary import vocabulary_keys
from accelsim.functional.packings import CODECS

if TYPE_CHECKING:
    from gguf import GGUFWriter

Head = Literal["bf16", "f16", "f32", "q8_0"]
# Type id by name: floats as `DenseWeight.storage` spells them.
_FLOAT_IDS = {name: kind for kind, name in FLOATS.items()}
_Q8_0, _Q8_0_BLOCK, _Q8_0_BYTES = 8, 32, 34
_HEADS = {"bf16": "BF16", "f16": "F16", "f32": "F32"}
_HEAD_ROWS = 1 << 12
_PACKINGS = {name: kind for kind, name in TERNARY.items()} | dict.fromkeys(
    I2_S_ORDERS.values(), I2_S
)


@dataclass(frozen=True)
class _Stored:
    """A tensor for the file: ``length`` bytes of type ``kind``, its rows taken in ``order``."""

    name: str
    shape: tuple[int, ...]
    kind: int
    length: int
    weight: TernaryWeight | DenseWeight
    order: NDArray[np.int64] | None = None


def write_gguf(checkpoint: Checkpoint, path: Path, *, packing: str, head: Head = "bf16") -> Path:
    """Write a ternary checkpoint as one GGUF file, which appears whole or not at all.

    Scales are written as multipliers; of a network whose scales divide, the reciprocals. TQ1_0 and
    TQ2_0 round them to float16. The tokenizer goes along where GGUF can express it.

    Args:
        checkpoint: With ternary linears.
        path: Where the file goes.
        packing: ``i2_s``, ``i2_s_arm``, ``tl1``, ``tl2``, ``tq1_0`` or ``tq2_0``; TL1 and TL2
            exist for some shapes only, see `packing_tiles`.
        head: Format of embedding and lm_head. Norms are float32.

    Returns:
        ``path``.

    Raises:
        UserError: the checkpoint is not ternary or of no architecture that GGUF has; the packing or
            head is unknown, or does not divide a matrix; the file cannot be written.
    """
    if packing not in _PACKINGS:
        allowed = did_you_mean(packing, _PACKINGS)
        raise UserError("unknown packing", file=path, value=packing, allowed=allowed)
    if head not in (*_HEADS, "q8_0"):
        allowed = did_you_mean(head, [*_HEADS, "q8_0"])
        raise UserError("unknown format of the head", file=path, value=head, allowed=allowed)
    architecture = _architecture(checkpoint)
    rows = list(_stored(checkpoint, packing, head, ARCHITECTURES[architecture].paired_rows))
    keys = _keys(checkpoint, architecture)
    if _PACKINGS[packing] == I2_S:
        keys[I2_S_ORDER] = {name: order for order, name in I2_S_ORDERS.items()}[packing]
    with whole_file(path) as temporary:
        _write(temporary, architecture, keys, rows, packing)
    return path


def _architecture(checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    if not config.ternary:
        raise UserError("is not ternary", file=checkpoint.path, allowed="a network with packings")
    if config.rope_scaling is not None:
        raise UserError("stretches its rotary angles, which is not written", file=checkpoint.path)
    wanted = (config.activation, config.sub_norms)
    for name in ("bitnet-b1.58", "bitnet", "llama"):
        row = ARCHITECTURES[name]
        if (row.activation, row.sub_norms) == wanted:
            return name
    raise UserError(
        "is of no architecture that GGUF has",
        file=checkpoint.path,
        value=f"{config.activation} without sub-norms",
        allowed="allowed: relu2 with sub-norms, silu with and without",
    )


def _stored(
    checkpoint: Checkpoint, packing: str, head: Head, paired_rows: bool
) -> Iterator[_Stored]:
    """Yield every tensor, q and k with the order in which the architecture wants their rows."""
    config, path = checkpoint.config, checkpoint.path
    for name in dense_shapes(config):
        dense = checkpoint.dense[name]
        kind = _FLOAT_IDS["F32"]
        if name in (EMBEDDING, LM_HEAD):
            kind = _head_kind(path, name, head, dense.shape)
        yield _Stored(gguf_name(name), dense.shape, kind, _dense_length(kind, dense.shape), dense)
    orders: dict[str, NDArray[np.int64]] = {}
    if paired_rows:
        for name, heads in (("q_proj", config.heads), ("k_proj", config.kv_heads)):
            orders[name] = np.argsort(half_split_order(heads, config.head_dim))
    codec = CODECS[packing]
    for name, shape in linear_names(config).items():
        weight = checkpoint.linears[name]
        assert isinstance(weight, TernaryWeight)
        if config.linear_class == "bitlinear":
            weight = replace(weight, scale=np.float32(1) / weight.scale)
        codec.check(*shape, file=path, key=name)
        length = codec.nbytes(*shape)
        order = orders.get(name.rpartition(".")[2])
        kind = _PACKINGS[packing]
        yield _Stored(gguf_name(name), shape, kind, length, weight, order)


def _head_kind(path: Path, name: str, head: Head, shape: tuple[int, ...]) -> int:
    if head != "q8_0":
        return _FLOAT_IDS[_HEADS[head]]
    if shape[-1] % _Q8_0_BLOCK:
        allowed = f"allowed: a multiple of {_Q8_0_BLOCK}, as blocks run along rows"
        raise UserError(
            "q8_0 does not divide the rows", file=path, key=name, value=shape[-1], allowed=allowed
        )
    return _Q8_0


def _dense_length(kind: int, shape: tuple[int, ...]) -> int:
    elements = math.prod(shape)
    if kind == _Q8_0:
        return elements // _Q8_0_BLOCK * _Q8_0_BYTES
    return elements * FLOAT_DTYPES[FLOATS[kind]].itemsize


def _keys(checkpoint: Checkpoint, architecture: str) -> dict[str, Any]:
    """Return the keys that describe a network, in Python's own types."""
    config = checkpoint.config
    keys: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "context_length": config.max_positions,
        "embedding_length": config.hidden_size,
        "block_count": config.layers,
        "feed_forward_length": config.intermediate_size,
        "rope.dimension_count": config.head_dim,
        "rope.freq_base": config.rope_theta,
        "attention.head_count": config.heads,
        "attention.head_count_kv": config.kv_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": config.rms_eps,
        "hidden_activation": config.activation,
    }
    keys = {f"{architecture}.{key}": value for key, value in keys.items()}
    keys |= _vocabulary(checkpoint)
    if config.bos is not None:
        keys["tokenizer.ggml.bos_token_id"] = config.bos
    if len(config.eos) > len(END_KEYS):
        allowed = f"allowed: up to {len(END_KEYS)}"
        raise UserError(
            "has more ends of a text than GGUF",
            file=checkpoint.path,
            value=config.eos,
            allowed=allowed,
        )
    for key, token in zip(END_KEYS, config.eos, strict=False):
        keys[f"tokenizer.ggml.{key}"] = token
    return keys


def _vocabulary(checkpoint: Checkpoint) -> dict[str, Any]:
    path = checkpoint.tokenizer
    found = None if path is None else vocabulary_keys(path, checkpoint.config.vocab_size)
    return {"tokenizer.ggml.model": NO_VOCABULARY} if found is None else found


def _write(
    path: Path, architecture: str, keys: dict[str, Any], rows: list[_Stored], packing: str
) -> None:
    """Write header, keys and places, then one tensor after the other."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, architecture)
    try:
        for key, value in keys.items():
            _add(writer, key, value)
        for row in rows:
            # Any dtype but uint8: with that, the package derives the shape from the type's blocks.
            writer.add_tensor_info(
                row.name, row.shape, np.dtype(np.int8), row.length, raw_dtype=_any_id(row.kind)
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for row in rows:
            writer.write_tensor_data(_content(row, packing))
    finally:
        writer.close()


def _any_id(kind: int) -> Any:
    """Return a type id where the package's signature asks for a member of its enumeration."""
    return kind


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    """Add a key under the type that converters give such a value."""
    adders: dict[type, Callable[[str, Any], None]] = {
        bool: writer.add_bool,
        int: writer.add_uint32,
        float: writer.add_float32,
        str: writer.add_string,
        list: writer.add_array,
    }
    adders[type(value)](key, value)


def _content(row: _Stored, packing: str) -> NDArray[Any]:
    """Return a tensor's bytes."""
    weight = row.weight if row.order is None else take_rows(row.weight, row.order)
    if isinstance(weight, DenseWeight):
        return _dense_content(row, weight)
    return CODECS[packing].encode(weight.packed, weight.outputs, float(weight.scale))


def _dense_content(row: _Stored, weight: DenseWeight) -> NDArray[Any]:
    """Return floats in the row's format: as they are where it is theirs, else rounded to it."""
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import quantize

    if FLOATS.get(row.kind) == weight.storage:
        return weight.stored
    flat = weight.stored.reshape(-1, row.shape[-1])
    content = np.empty(row.length, np.uint8).reshape(flat.shape[0], -1)
    for begin in range(0, flat.shape[0], _HEAD_ROWS):
        block = widen(flat[begin : begin + _HEAD_ROWS])
        with np.errstate(over="ignore"):
            stored = quantize(block, GGMLQuantizationType(row.kind))
        if row.kind == _FLOAT_IDS["F16"] and not np.isfinite(stored).all():
            raise UserError("exceeds float16", key=row.name, allowed="give another format")
        content[begin : begin + _HEAD_ROWS] = stored.view(np.uint8)
    return content
