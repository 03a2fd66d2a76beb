"""Packings of ternary weights: the bytes of a tensor in a file, to and from the canonical form.

Canonical is what `TernaryWeight` holds and Hugging Face's layout stores: uint8 [q, inputs] with
q = outputs / 4 rounded up, bits 2i..2i+1 of byte [r, k] are weight [i * q + r, k] plus one, rows
past the outputs hold the weight 0.

Layouts, element e of a row counted along its inputs, code = weight + 1:

- ``hf``: the canonical form itself (transformers, ``integrations/bitnet.py``).
- ``i2_s``: 128 weights in 32 bytes, byte j holds elements j, 32 + j, 64 + j, 96 + j from its high
  bits down; after the codes a float32 scale and 28 unused bytes (microsoft/BitNet,
  ``src/ggml-bitnet-mad.cpp``, built for x86). ``i2_s_arm``: the same in runs of 64 weights and 16
  bytes. A file does not say which of the two it is.
- ``tq2_0``: blocks of 256 weights, 64 bytes and a float16 scale; byte m of a half holds elements
  m, 32 + m, 64 + m, 96 + m from its low bits up (ggml).
- ``tq1_0``: blocks of 256 weights, 52 bytes and a float16 scale; a byte is ceil(q * 256 / 243) of
  five base-3 digits, the last four bytes hold four (ggml).
- ``base3``: five weights in a byte below 243, row after row without padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import UserError
from accelsim.functional import packing_kernels as kernels

Bytes = NDArray[np.uint8]
_BLOCK_WEIGHTS = 1 << 18
_LARGEST_SIDE = 1 << 40
_I2_S_TAIL = 32


@dataclass(frozen=True)
class Tensor:
    """The tensor that is read or written: its shape, and its place for errors."""

    outputs: int
    inputs: int
    file: object = None
    key: object = None

    def refuse(self, message: str, value: object = None, allowed: str | None = None) -> UserError:
        """Return the error to raise."""
        return UserError(message, file=self.file, key=self.key, value=value, allowed=allowed)


Read = Callable[[Bytes, Tensor, int, Bytes], None]
ReadScale = Callable[[Bytes, Tensor], np.float32 | None]
WriteScale = Callable[[Bytes, Tensor, np.float32], None]


@dataclass(frozen=True)
class Codec:
    """One packing.

    Attributes:
        name: Its name in `CODECS`.
        inputs_multiple: What the inputs must be a multiple of.
        size: (outputs, inputs) -> bytes.
        read: (stored, tensor, begin, codes): fill codes [rows, inputs] with rows ``begin``..
        write: (stored, tensor, begin, codes): the reverse.
        read_scale: (stored, tensor) -> the scale; None in the table where it lies elsewhere.
        write_scale: (stored, tensor, scale); called after every row is written.
        rows: Row blocks begin at multiples of it.
    """

    name: str
    inputs_multiple: int
    size: Callable[[int, int], int]
    read: Read
    write: Read
    read_scale: ReadScale | None = None
    write_scale: WriteScale | None = None
    rows: int = 1

    def nbytes(self, outputs: int, inputs: int) -> int:
        """Return the bytes of a tensor in a file, with its scale where that lies inside.

        Raises:
            UserError: the packing cannot hold this shape.
        """
        self.check(outputs, inputs)
        return self.size(outputs, inputs)

    def check(self, outputs: int, inputs: int, *, file: object = None, key: object = None) -> None:
        """Refuse a shape that the packing cannot hold.

        Raises:
            UserError: a side is not positive, or the inputs are no multiple of the block.
        """
        tensor = Tensor(outputs, inputs, file, key)
        if not (1 <= outputs <= _LARGEST_SIDE and 1 <= inputs <= _LARGEST_SIDE):
            raise tensor.refuse("is no shape of a matrix", [outputs, inputs])
        if inputs % self.inputs_multiple:
            allowed = f"{self.name} holds multiples of {self.inputs_multiple} inputs"
            raise tensor.refuse("inputs do not fit the packing", inputs, allowed)

    def decode(
        self,
        stored: Bytes,
        outputs: int,
        inputs: int,
        *,
        file: object = None,
        key: object = None,
    ) -> tuple[Bytes, np.float32 | None]:
        """Return the canonical form and the scale; memory beside them is one block of rows.

        Args:
            stored: uint8 [nbytes], contiguous, as it lies in the file.
            outputs: Rows of the matrix.
            inputs: Its columns.
            file: Names the file in errors.
            key: Names the tensor in errors.

        Returns:
            packed: uint8 [ceil(outputs / 4), inputs], read-only; of ``hf`` with whole quarters a
                view of ``stored``.
            scale: The float32 stored in the tensor, None where the packing stores none. A TQ
                tensor of zeros has none left and answers 1.

        Raises:
            UserError: the shape does not fit the packing or the bytes, a code is invalid, the
                scale is not finite and positive, or a TQ tensor has several.
        """
        self.check(outputs, inputs, file=file, key=key)
        tensor = Tensor(outputs, inputs, file, key)
        size = self.size(outputs, inputs)
        if stored.shape != (size,):
            allowed = f"{self.name} [{outputs}, {inputs}] takes {size} bytes"
            raise tensor.refuse("wrong number of bytes", stored.size, allowed)
        scale = self.read_scale(stored, tensor) if self.read_scale else None
        if self.name == "hf" and outputs % 4 == 0:
            packed = stored.reshape(-1, inputs)
            invalid = kernels.has_invalid(stored)
        else:
            packed, invalid = self._transcode(stored, tensor)
        if invalid:
            raise tensor.refuse(f"holds a code that is no weight of {self.name}")
        packed.flags.writeable = False
        return packed, scale

    def _transcode(self, stored: Bytes, tensor: Tensor) -> tuple[Bytes, bool]:
        quarter = -(-tensor.outputs // 4)
        packed = np.zeros((quarter, tensor.inputs), np.uint8)
        for row in range(tensor.outputs, 4 * quarter):
            packed[row % quarter] |= np.uint8(1 << (2 * (row // quarter)))
        invalid = False
        for begin, codes in self._row_blocks(tensor):
            self.read(stored, tensor, begin, codes)
            invalid |= kernels.pack_rows(codes, begin, packed)
        return packed, invalid

    def encode(self, packed: Bytes, outputs: int, scale: float | None = None) -> Bytes:
        """Return the bytes [nbytes] of a tensor: the reverse of `decode`.

        Args:
            packed: uint8 [ceil(outputs / 4), inputs], canonical.
            outputs: Rows of the matrix.
            scale: What the tensor stores beside its codes; TQ rounds it to float16. Ignored where
                the packing stores none.

        Raises:
            UserError: the shape does not fit the packing, or the scale is missing, not finite and
                positive, or is not so once rounded.
            ValueError: ``packed`` is not of these outputs.
        """
        inputs = packed.shape[1]
        self.check(outputs, inputs)
        if packed.shape[0] != -(-outputs // 4):
            raise ValueError(f"packed {packed.shape} does not hold {outputs} outputs")
        tensor = Tensor(outputs, inputs)
        stored = np.zeros(self.size(outputs, inputs), np.uint8)
        for begin, codes in self._row_blocks(tensor):
            kernels.unpack_rows(packed, begin, codes)
            self.write(stored, tensor, begin, codes)
        if self.write_scale:
            if scale is None:
                raise tensor.refuse(f"{self.name} stores a scale, none is given")
            self.write_scale(stored, tensor, _check_scale(np.float32(scale), tensor))
        return stored

    def _row_blocks(self, tensor: Tensor) -> Iterator[tuple[int, Bytes]]:
        """Yield first rows and buffers [rows, inputs], which share their memory."""
        rows = -(-max(_BLOCK_WEIGHTS // tensor.inputs, 1) // self.rows) * self.rows
        codes = np.empty((min(rows, tensor.outputs), tensor.inputs), np.uint8)
        for begin in range(0, tensor.outputs, rows):
            yield begin, codes[: tensor.outputs - begin]


def _check_scale(scale: np.float32, tensor: Tensor) -> np.float32:
    if not (np.isfinite(scale) and scale > 0):
        raise tensor.refuse("scale is not finite and positive", float(scale))
    return scale


def _read_hf(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes) -> None:
    kernels.unpack_rows(stored.reshape(-1, tensor.inputs), begin, codes)


def _write_hf(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes) -> None:
    # Rows past the outputs stay zero bits, as transformers' pack_weights leaves them.
    kernels.pack_rows(codes, begin, stored.reshape(-1, tensor.inputs))


def _i2_s(name: str, group: int) -> Codec:
    """Return I2_S in runs of ``group`` bytes."""

    def read(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes) -> None:
        kernels.read_crumbs(stored, begin, group, 3 * group, -group, 0, codes)

    def write(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes) -> None:
        kernels.write_crumbs(codes, begin, group, 3 * group, -group, 0, stored)

    return Codec(name, 4 * group, _i2_s_bytes, read, write, _read_i2_s_scale, _write_i2_s_scale)


def _i2_s_bytes(outputs: int, inputs: int) -> int:
    return outputs * inputs // 4 + _I2_S_TAIL


def _read_i2_s_scale(stored: Bytes, tensor: Tensor) -> np.float32:
    return _check_scale(np.frombuffer(stored[-_I2_S_TAIL:], "<f4", 1)[0], tensor)


def _write_i2_s_scale(stored: Bytes, tensor: Tensor, scale: np.float32) -> None:
    stored[-_I2_S_TAIL:][:4] = np.array([scale], "<f4").view(np.uint8)


def _tq(name: str, block_bytes: int, read_codes: Any, write_codes: Any) -> Codec:
    """Return a packing of ggml: blocks of 256 weights that end in a float16 scale."""

    def blocks(stored: Bytes) -> Bytes:
        return stored.reshape(-1, block_bytes)

    def scales(stored: Bytes) -> NDArray[np.float16]:
        return np.ascontiguousarray(blocks(stored)[:, -2:]).view("<f2")[:, 0]

    def size(outputs: int, inputs: int) -> int:
        return outputs * (inputs // kernels.BLOCK) * block_bytes

    def read(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes) -> None:
        read_codes(stored, begin, codes)
        per_row = tensor.inputs // kernels.BLOCK
        part = blocks(stored)[begin * per_row : (begin + len(codes)) * per_row]
        empty = scales(part.reshape(-1)) == 0
        if empty.any() and (codes.reshape(-1, kernels.BLOCK)[empty] != 1).any():
            raise tensor.refuse("scale of a block with weights is 0")

    def read_scale(stored: Bytes, tensor: Tensor) -> np.float32:
        found = np.unique(scales(stored))
        found = found[found != 0]
        if found.size > 1:
            allowed = "BitNet has one scale a tensor"
            raise tensor.refuse("blocks differ in scale", found[:4].tolist(), allowed)
        return _check_scale(np.float32(found[0]) if found.size else np.float32(1), tensor)

    def write(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes) -> None:
        write_codes(codes, begin, stored)
        per_row = tensor.inputs // kernels.BLOCK
        # Marks blocks with weights, for their scale; ggml gives a block of zeros the scale 0.
        used = (codes.reshape(-1, kernels.BLOCK) != 1).any(axis=1)
        blocks(stored)[begin * per_row :][: used.size, -2] = used

    def write_scale(stored: Bytes, tensor: Tensor, scale: np.float32) -> None:
        half = scale.astype("<f2")
        _check_scale(half.astype(np.float32), tensor)
        used = blocks(stored)[:, -2] != 0
        blocks(stored)[used, -2:] = np.array([half]).view(np.uint8)

    return Codec(name, kernels.BLOCK, size, read, write, read_scale, write_scale)


def _read_tq2(stored: Bytes, begin: int, codes: Bytes) -> None:
    kernels.read_crumbs(stored, begin, 32, 0, 32, 2, codes)


def _write_tq2(codes: Bytes, begin: int, stored: Bytes) -> None:
    kernels.write_crumbs(codes, begin, 32, 0, 32, 2, stored)


def _read_base3(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes) -> None:
    kernels.read_base3(stored, begin * tensor.inputs, codes.reshape(-1))


def _write_base3(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes) -> None:
    kernels.write_base3(codes.reshape(-1), begin * tensor.inputs, stored)


CODECS = MappingProxyType(
    {
        codec.name: codec
        for codec in (
            Codec("hf", 1, lambda n, k: -(-n // 4) * k, _read_hf, _write_hf),
            _i2_s("i2_s", 32),
            _i2_s("i2_s_arm", 16),
            _tq("tq1_0", kernels.TQ1_BYTES, kernels.read_tq1, kernels.write_tq1),
            _tq("tq2_0", kernels.TQ2_BYTES, _read_tq2, _write_tq2),
            Codec("base3", 1, lambda n, k: -(-n * k // 5), _read_base3, _write_base3, rows=5),
        )
    }
)
