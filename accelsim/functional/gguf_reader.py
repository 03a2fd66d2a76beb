"""Reads a GGUF file into the same `Checkpoint` as a folder in the HF layout.

Ternary tensors of every packing become `TernaryWeight`; floats stay mapped as they lie; block
formats (Q8_0 and its like) widen to float32 as the package ``gguf`` does it. In an architecture
that is ternary, a linear stored in a float or block format holds master weights, or weights that a
converter made ternary already; both end as `TernaryWeight`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import UserError, did_you_mean
from accelsim.functional.checkpoint import (
    EMBEDDING,
    FINAL_NORM,
    LM_HEAD,
    Checkpoint,
    DenseWeight,
    TernaryWeight,
    dense_shapes,
    linear_names,
    widen,
)
from accelsim.functional.checkpoint_config import CheckpointConfig
from accelsim.functional.gguf_config import architecture_of, read_gguf_config
from accelsim.functional.gguf_file import GgufFile, GgufTensor, open_gguf
from accelsim.functional.gguf_layout import (
    BLOCKS,
    FLOAT_DTYPES,
    FLOATS,
    I2_S,
    I2_S_ORDER,
    I2_S_ORDERS,
    LINEARS,
    NO_VOCABULARY,
    NORMS,
    OUTPUT,
    OUTPUT_NORM,
    SCALE_BYTES,
    TERNARY,
    TL1,
    TL2,
    TOKEN_EMBEDDING,
    layer_name,
)
from accelsim.functional.hf_reader import is_finite
from accelsim.functional.mapped import forget_pages
from accelsim.functional.packing_codec import Codec
from accelsim.functional.packings import CODECS
from accelsim.functional.ternarise import ternarise


def read_gguf_checkpoint(path: Path) -> Checkpoint:
    """Read a GGUF file. Floats of 16 and 32 bits stay mapped to it.

    Raises:
        UserError: the file is malformed or truncated; the architecture is not computed; a tensor is
            missing, unexpected, or of another shape, type or length than the rest of the file asks
            for; a ternary code is 3; a float is not finite; a scale is not above 0.
    """
    file = open_gguf(path)
    stored = {file.tensors[name].kind for name in _linear_tensors(file)}
    packed = bool(stored & TERNARY.keys())
    architecture = architecture_of(file)
    config = read_gguf_config(file, ternary=packed or architecture.ternary)
    config = replace(config, packed=packed)
    reader = _Reader(file, config)
    reader.check()
    linears = {name: reader.linear(name) for name in linear_names(config)}
    if architecture.paired_rows:
        linears |= _half_split(linears, config)
    key = "tokenizer.ggml.model"
    return Checkpoint(
        path=path,
        config=config,
        linears=MappingProxyType(linears),
        dense=MappingProxyType({name: reader.dense(name) for name in dense_shapes(config)}),
        sha256=file.sha256(),
        tokenizer=path if file.text(key, NO_VOCABULARY) != NO_VOCABULARY else None,
        maps=(file.mapped,),
    )


def gguf_name(name: str) -> str:
    """Return what GGUF calls a tensor of the HF layout, or a linear without ``.weight``."""
    whole = {EMBEDDING: TOKEN_EMBEDDING, FINAL_NORM: OUTPUT_NORM, LM_HEAD: OUTPUT}
    if name in whole:
        return whole[name]
    layer, inside = name.removeprefix("model.layers.").split(".", 1)
    inside = inside.removesuffix(".weight")
    return layer_name(int(layer), LINEARS.get(inside) or NORMS[inside])


def _linear_tensors(file: GgufFile) -> list[str]:
    wanted = {f".{name}.weight" for name in LINEARS.values()}
    return [name for name in file.tensors if name[name.find(".", 4) :] in wanted]


@dataclass(frozen=True)
class _Reader:
    """A file and the shape that its tensors must have."""

    file: GgufFile
    config: CheckpointConfig

    def check(self) -> None:
        """Check shape, type and length of every tensor before any of them is mapped."""
        expected: set[str] = set()
        for name, shape in dense_shapes(self.config).items():
            expected.add(self._find(gguf_name(name), shape, ternary=False).name)
        for name, (outputs, inputs) in linear_names(self.config).items():
            tensor = self._find(gguf_name(name), (outputs, inputs), ternary=self.config.packed)
            expected |= {tensor.name, *self._scales(tensor)}
        for name in self.file.tensors:
            if name not in expected:
                missing = expected - self.file.tensors.keys() or {TOKEN_EMBEDDING}
                raise self._error(name, "unexpected tensor", None, did_you_mean(name, missing))

    def dense(self, name: str) -> DenseWeight:
        """Read a tensor that is not ternary."""
        return self._floats(self.file.tensors[gguf_name(name)])

    def linear(self, name: str) -> TernaryWeight | DenseWeight:
        """Read a linear."""
        tensor = self.file.tensors[gguf_name(name)]
        if tensor.kind in TERNARY:
            weight = self._packed(tensor)
        else:
            dense = self._floats(tensor)
            if not self.config.ternary:
                return dense
            weight = _ternary_of(dense.stored)
        return self._scaled(weight, tensor)

    def _error(self, name: str, message: str, value: object, allowed: str | None) -> UserError:
        return self.file.error(name, message, value, allowed)

    def _find(self, name: str, shape: tuple[int, ...], *, ternary: bool) -> GgufTensor:
        """Return a tensor, checked to have this shape, one of these types and its length."""
        tensor = self.file.tensors.get(name)
        if tensor is None:
            raise self._error(name, "tensor is missing", None, None)
        if tensor.shape != shape:
            allowed = f"the file's keys say {list(shape)}"
            raise self._error(name, "wrong shape", list(tensor.shape), allowed)
        kinds = _kinds(ternary)
        if tensor.kind not in kinds:
            allowed = "allowed: " + ", ".join(f"{kinds[kind]} ({kind})" for kind in sorted(kinds))
            raise self._error(name, "wrong tensor type", tensor.kind, allowed)
        self._check_length(tensor)
        return tensor

    def _check_length(self, tensor: GgufTensor) -> None:
        """Check that a tensor neither runs into the next one nor leaves a hole."""
        if tensor.kind == TL2 and self._fits(tensor, _mxfp4_bytes(tensor)):
            raise self._error(tensor.name, "is MXFP4", tensor.kind, "allowed: TL2 under that type")
        length = self._length(tensor)
        if not self._fits(tensor, length):
            kind = _kinds(tensor.kind in TERNARY)[tensor.kind]
            allowed = f"{kind} {list(tensor.shape)} takes {length}"
            raise self._error(tensor.name, "wrong length in the file", tensor.room, allowed)

    def _fits(self, tensor: GgufTensor, length: int) -> bool:
        return length <= tensor.room <= length + self.file.alignment

    def _length(self, tensor: GgufTensor) -> int:
        """Return the bytes that a tensor takes in the file."""
        elements = math.prod(tensor.shape)
        if tensor.kind in FLOATS:
            return elements * FLOAT_DTYPES[FLOATS[tensor.kind]].itemsize
        if tensor.kind in TERNARY:
            codec, (outputs, inputs) = self._codec(tensor), tensor.shape
            codec.check(outputs, inputs, file=self.file.path, key=tensor.name)
            whole = codec.nbytes(outputs, inputs)
            return whole - SCALE_BYTES if self._scale_apart(tensor) else whole
        block, block_bytes = _block_size(tensor.kind)
        if tensor.shape[-1] % block:
            allowed = f"allowed: a multiple of {block}, as blocks run along rows"
            raise self._error(tensor.name, "wrong row length", tensor.shape[-1], allowed)
        return elements // block * block_bytes

    def _codec(self, tensor: GgufTensor) -> Codec:
        name = TERNARY[tensor.kind]
        if tensor.kind == I2_S:
            order = self.file.text(I2_S_ORDER, "x86")
            if order not in I2_S_ORDERS:
                raise self._error(I2_S_ORDER, "unknown", order, did_you_mean(order, I2_S_ORDERS))
            name = I2_S_ORDERS[order]
        return CODECS[name]

    def _scales(self, tensor: GgufTensor) -> list[str]:
        """Return the checked names of scales that stand in tensors of their own."""
        names = [f"{tensor.name.removesuffix('weight')}scale"]
        names += [f"{tensor.name}_scale"] if tensor.kind in (TL1, TL2) else []
        found = [name for name in names if name in self.file.tensors]
        for name in found:
            self._find(name, (1,), ternary=False)
        return found

    def _scale_apart(self, tensor: GgufTensor) -> bool:
        """Say whether the scale behind the codes is a tensor of its own.

        bitnet.cpp's converter writes TL1 and TL2 so (utils/convert-hf-to-gguf-bitnet.py); kernels
        find the scale because the next tensor begins where the codes end.
        """
        return tensor.kind in (TL1, TL2) and f"{tensor.name}_scale" in self.file.tensors

    def _packed(self, tensor: GgufTensor) -> TernaryWeight:
        outputs, inputs = tensor.shape
        stored = self.file.map(tensor, np.uint8, (self._length(tensor),))
        if self._scale_apart(tensor):
            tail = np.zeros(SCALE_BYTES // 4, "<f4")
            tail[0] = self._scale(f"{tensor.name}_scale")
            stored = np.concatenate([stored, tail.view(np.uint8)])
        packed, scale = self._codec(tensor).decode(
            stored, outputs, inputs, file=self.file.path, key=tensor.name
        )
        assert scale is not None, "every packing of TERNARY holds a scale"
        forget_pages(self.file.mapped)
        return TernaryWeight(packed, scale, outputs)

    def _scaled(self, weight: TernaryWeight, tensor: GgufTensor) -> TernaryWeight:
        """Apply the scale tensors of older converters, which multiply what a linear makes."""
        for name in self._scales(tensor):
            if name != f"{tensor.name}_scale":
                weight = replace(weight, scale=np.float32(weight.scale * self._scale(name)))
        return weight

    def _scale(self, name: str) -> np.float32:
        value = self._floats(self.file.tensors[name]).widen()[0]
        if not value > 0:
            raise self._error(name, "is no scale", float(value), "allowed: above 0")
        return np.float32(value)

    def _floats(self, tensor: GgufTensor) -> DenseWeight:
        """Map a float tensor; widen one in a block format."""
        storage = FLOATS.get(tensor.kind, "F32")
        if tensor.kind in FLOATS:
            stored = self.file.map(tensor, FLOAT_DTYPES[storage], tensor.shape)
        else:
            stored = self._widened(tensor)
        if not is_finite(stored, storage):
            raise self._error(tensor.name, "holds NaN or infinity", None, None)
        forget_pages(self.file.mapped)
        return DenseWeight(stored, storage)

    def _widened(self, tensor: GgufTensor) -> NDArray[np.float32]:
        from gguf.constants import GGMLQuantizationType
        from gguf.quants import dequantize

        shape = (*tensor.shape[:-1], self._length(tensor) // math.prod(tensor.shape[:-1]))
        stored = self.file.map(tensor, np.uint8, shape)
        widened: NDArray[np.float32]
        with np.errstate(invalid="ignore", over="ignore"):  # `_floats` refuses what comes of it
            widened = dequantize(stored, GGMLQuantizationType(tensor.kind))
        widened.flags.writeable = False
        return widened


def _kinds(ternary: bool) -> Mapping[int, str]:
    """Return the types that a tensor may have, by id."""
    from gguf.constants import GGMLQuantizationType

    if ternary:
        return TERNARY
    return dict(FLOATS) | {int(GGMLQuantizationType[name]): name for name in BLOCKS}


def _block_size(kind: int) -> tuple[int, int]:
    """Return elements and bytes of a block."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    return int(block), int(block_bytes)


def _mxfp4_bytes(tensor: GgufTensor) -> int:
    """Return what a tensor takes in the format that has TL2's type id upstream."""
    return math.prod(tensor.shape) // 32 * 17


def _ternary_of(stored: NDArray[Any]) -> TernaryWeight:
    """Return master weights made ternary, or ternary ones as they are.

    Converters of bitnet.cpp make weights ternary and store the products {-s, 0, s} as floats; the
    mean of their magnitudes is less than the s that they mean.
    """
    scale = np.float32(max(np.abs(widen(row)).max() for row in stored))
    meant = np.array([-scale, 0, scale], np.float32)
    if scale > 0 and all(np.isin(widen(row), meant).all() for row in stored):
        signs = np.empty(stored.shape, np.int8)
        for row, sign in zip(stored, signs, strict=True):
            sign[:] = np.sign(widen(row))
        return TernaryWeight(_pack(signs), scale, len(signs))
    return ternarise(stored)


def _pack(weights: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the canonical form of -1, 0 and 1, which are ternary weights of themselves."""
    return ternarise(weights.astype(np.float16)).packed


def _half_split(
    linears: Mapping[str, TernaryWeight | DenseWeight], config: CheckpointConfig
) -> dict[str, TernaryWeight | DenseWeight]:
    """Return the q and k linears with their rows ordered as in the HF layout."""
    ordered: dict[str, TernaryWeight | DenseWeight] = {}
    for name, heads in (("q_proj", config.heads), ("k_proj", config.kv_heads)):
        order = half_split_order(heads, config.head_dim)
        for layer in range(config.layers):
            full = f"model.layers.{layer}.self_attn.{name}"
            ordered[full] = take_rows(linears[full], order)
    return ordered


def half_split_order(heads: int, head_dim: int) -> NDArray[np.int64]:
    """Return, for each row of the HF layout, where a file with paired rows has it: int64 [rows].

    Row i of the first half of a head and row i of the second are 2i and 2i + 1 in the file.
    """
    rows = np.arange(heads * head_dim, dtype=np.int64).reshape(heads, head_dim // 2, 2)
    return rows.swapaxes(1, 2).reshape(-1)


def take_rows(
    weight: TernaryWeight | DenseWeight, order: NDArray[np.int64]
) -> TernaryWeight | DenseWeight:
    """Return a matrix whose row r is row ``order[r]`` of the given one."""
    if isinstance(weight, TernaryWeight):
        return replace(weight, packed=_pack(weight.unpack()[order]))
    stored = weight.stored[order]
    stored.flags.writeable = False
    return DenseWeight(stored, weight.storage)
