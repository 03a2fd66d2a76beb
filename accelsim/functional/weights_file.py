"""The safetensors container: every size is checked against the file before anything is mapped.

Layout: 8 bytes little-endian header length, a JSON header ``{name: {dtype, shape, data_offsets}}``
and the bytes of all tensors, back to back and in little-endian order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import UserError, did_you_mean
from accelsim.functional.checkpoint_config import file_size, parse_json_object

# numpy has no bfloat16: its bit patterns are held as uint16.
DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "U8": np.dtype("<u1"),
        "BF16": np.dtype("<u2"),
        "F16": np.dtype("<f2"),
        "F32": np.dtype("<f4"),
    }
)
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000
_LARGEST_SIDE = 1 << 40


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: ``dtype`` as the file names it, ``shape``, first byte in the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class WeightsFile:
    """A checked safetensors file. ``tensors`` maps names to places; nothing is read yet."""

    path: Path
    tensors: Mapping[str, StoredTensor]

    def find(self, name: str, shape: tuple[int, ...], dtypes: tuple[str, ...]) -> StoredTensor:
        """Return a tensor's place, checked to have this shape and one of these dtypes.

        Raises:
            UserError: the tensor is missing, or is not of this shape and dtype.
        """
        stored = self.tensors.get(name)
        if stored is None:
            known = did_you_mean(name, self.tensors) if len(self.tensors) < 8 else None
            raise UserError("tensor is missing", file=self.path, key=name, allowed=known)
        if stored.dtype not in dtypes:
            allowed = "allowed: " + ", ".join(dtypes)
            raise UserError(
                "wrong dtype", file=self.path, key=name, value=stored.dtype, allowed=allowed
            )
        if stored.shape != shape:
            allowed = f"config.json says {list(shape)}"
            given = list(stored.shape)
            raise UserError("wrong shape", file=self.path, key=name, value=given, allowed=allowed)
        return stored

    def read(self, stored: StoredTensor) -> NDArray[Any]:
        """Map a tensor read-only; bfloat16 comes as uint16 bit patterns."""
        dtype = DTYPES[stored.dtype]
        return np.memmap(self.path, dtype, "r", offset=stored.offset, shape=stored.shape)

    def sha256(self) -> str:
        """Return the SHA-256 of the file's bytes, in hexadecimal."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def open_weights_file(path: Path) -> WeightsFile:
    """Check the header of a safetensors file against its size and return where tensors lie.

    Raises:
        UserError: the file is missing or truncated, or its header is garbage, claims bytes that are
            not there, overlaps or leaves holes.
    """
    size = file_size(path)
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            if size < _LENGTH_BYTES or length > min(_MAX_HEADER_BYTES, size - _LENGTH_BYTES):
                allowed = f"at most the {max(size - _LENGTH_BYTES, 0)} bytes that follow it"
                raise UserError(
                    "header is longer than the file", file=path, value=length, allowed=allowed
                )
            header = parse_json_object(stream.read(length), path)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", file=path) from None
    header.pop("__metadata__", None)
    begin = _LENGTH_BYTES + length
    tensors = {name: _parse_tensor(path, name, row, begin) for name, row in header.items()}
    _check_tiling(path, tensors, begin, size)
    return WeightsFile(path, MappingProxyType(tensors))


def _parse_tensor(path: Path, name: str, row: Any, begin: int) -> StoredTensor:
    if not isinstance(row, dict) or set(row) != {"dtype", "shape", "data_offsets"}:
        allowed = "allowed: dtype, shape, data_offsets"
        raise UserError("malformed header entry", file=path, key=name, value=row, allowed=allowed)
    dtype, shape, offsets = row["dtype"], row["shape"], row["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        allowed = "allowed: " + ", ".join(DTYPES)
        raise UserError("unknown dtype", file=path, key=name, value=dtype, allowed=allowed)
    if not _are_sizes(shape) or len(shape) > 8:
        raise UserError("malformed shape", file=path, key=name, value=shape)
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise UserError("malformed data_offsets", file=path, key=name, value=offsets)
    if offsets[1] - offsets[0] != math.prod(shape) * DTYPES[dtype].itemsize:
        allowed = f"{dtype} {shape} takes {math.prod(shape) * DTYPES[dtype].itemsize} bytes"
        raise UserError(
            "data_offsets do not fit", file=path, key=name, value=offsets, allowed=allowed
        )
    return StoredTensor(dtype, tuple(shape), begin + offsets[0])


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value <= _LARGEST_SIDE for value in values
    )


def _check_tiling(path: Path, tensors: Mapping[str, StoredTensor], begin: int, size: int) -> None:
    """Check that tensors cover the file from ``begin`` to its end, without overlap or hole."""
    position = begin
    for name, stored in sorted(tensors.items(), key=lambda item: (item[1].offset, item[0])):
        if stored.offset != position:
            allowed = f"tensors lie back to back: {position - begin}"
            given = stored.offset - begin
            raise UserError("wrong offset", file=path, key=name, value=given, allowed=allowed)
        position += math.prod(stored.shape) * DTYPES[stored.dtype].itemsize
    if position != size:
        raise UserError("wrong file size", file=path, value=size, allowed=f"expected {position}")
