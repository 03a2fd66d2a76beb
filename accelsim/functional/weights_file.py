"""The safetensors container: every size is checked against the file before memory is taken.

Read here and not by the ``safetensors`` package because tensors stay mapped to the file, bfloat16
included, which that package copies, or refuses where it answers in numpy arrays.

Layout: 8 bytes little-endian header length, a JSON header ``{name: {dtype, shape, data_offsets}}``
and the bytes of all tensors, back to back and in little-endian order.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import UserError, did_you_mean
from accelsim.functional.checkpoint_config import parse_json_object, read_json_object
from accelsim.functional.mapped import forget_pages, map_file

# numpy has no bfloat16: its bit patterns are held as uint16.
DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "U8": np.dtype("<u1"),
        "BF16": np.dtype("<u2"),
        "F16": np.dtype("<f2"),
        "F32": np.dtype("<f4"),
    }
)
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_SHARD_NAME = re.compile(r"[\w-][\w.-]*\.safetensors")
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000
_LARGEST_SIDE = 1 << 40


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: ``dtype`` as the file names it, ``shape``, first byte, file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    path: Path


@dataclass(frozen=True)
class WeightsFile:
    """Checked safetensors, of one file or of all shards. Nothing is read but the headers.

    Attributes:
        path: The file, or the index of the shards.
        tensors: Places by name.
        maps: Each file, mapped read-only.
    """

    path: Path
    tensors: Mapping[str, StoredTensor]
    maps: Mapping[Path, mmap.mmap]

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
                "wrong dtype", file=stored.path, key=name, value=stored.dtype, allowed=allowed
            )
        if stored.shape != shape:
            allowed = f"config.json says {list(shape)}"
            given = list(stored.shape)
            raise UserError("wrong shape", file=stored.path, key=name, value=given, allowed=allowed)
        return stored

    def read(self, stored: StoredTensor) -> NDArray[Any]:
        """Return a tensor as it lies in its file, read-only; bfloat16 as uint16 bit patterns."""
        dtype, count = DTYPES[stored.dtype], math.prod(stored.shape)
        array = np.frombuffer(self.maps[stored.path], dtype, count, stored.offset)
        return array.reshape(stored.shape)

    def forget(self) -> None:
        """Give back the memory of what was read so far; reading it again maps it again."""
        for mapped in self.maps.values():
            forget_pages(mapped)

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of every file's bytes, in hexadecimal, by its name."""
        digests = {}
        for path in self.maps:
            with path.open("rb") as stream:
                digests[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
        return digests

    def sha256(self, digests: Mapping[str, str]) -> str:
        """Return one digest: of the only file, or of the lines ``sha256sum`` prints of shards."""
        if len(digests) == 1:
            return next(iter(digests.values()))
        lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
        return hashlib.sha256(lines.encode()).hexdigest()


def open_weights(folder: Path) -> WeightsFile:
    """Open ``model.safetensors`` of a folder, or the shards of ``model.safetensors.index.json``.

    Raises:
        UserError: neither is there, a header is malformed or does not fit its file, the index is
            malformed, names a file outside the folder, or a shard holds other tensors than it says.
    """
    index = folder / INDEX
    if (folder / SINGLE).exists() or not index.exists():
        return open_weights_file(folder / SINGLE)
    shards: dict[str, set[str]] = {}
    for tensor, name in _weight_map(index).items():
        shards.setdefault(name, set()).add(tensor)
    files = {name: open_weights_file(folder / name) for name in sorted(shards)}
    for name, file in files.items():
        for tensor in sorted(shards[name] ^ set(file.tensors)):
            allowed = "the index and the shard must name the same tensors"
            raise UserError("differs from its index", file=file.path, key=tensor, allowed=allowed)
    tensors = {name: place for file in files.values() for name, place in file.tensors.items()}
    maps = {path: mapped for file in files.values() for path, mapped in file.maps.items()}
    return WeightsFile(index, MappingProxyType(tensors), MappingProxyType(maps))


def _weight_map(index: Path) -> dict[str, str]:
    """Return the shard of every tensor; a shard lies in the index's own folder."""
    weight_map = read_json_object(index, _MAX_HEADER_BYTES).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserError("is no map of tensors to files", file=index, key="weight_map")
    for tensor, name in weight_map.items():
        if not isinstance(name, str) or not _SHARD_NAME.fullmatch(name):
            allowed = "allowed: the name of a .safetensors file in this folder"
            raise UserError("is no shard", file=index, key=tensor, value=name, allowed=allowed)
    return weight_map


def open_weights_file(path: Path) -> WeightsFile:
    """Check the header of a safetensors file against its size and return where tensors lie.

    Raises:
        UserError: the file is missing or truncated, or its header is garbage, claims bytes that are
            not there, overlaps or leaves holes.
    """
    mapped = map_file(path)
    size = len(mapped)
    length = int.from_bytes(mapped[:_LENGTH_BYTES], "little")
    if size < _LENGTH_BYTES or length > min(_MAX_HEADER_BYTES, size - _LENGTH_BYTES):
        allowed = f"at most the {max(size - _LENGTH_BYTES, 0)} bytes that follow it"
        raise UserError("header is longer than the file", file=path, value=length, allowed=allowed)
    begin = _LENGTH_BYTES + length
    header = parse_json_object(mapped[_LENGTH_BYTES:begin], path)
    header.pop("__metadata__", None)
    tensors = {name: _parse_tensor(path, name, row, begin) for name, row in header.items()}
    _check_tiling(path, tensors, begin, size)
    return WeightsFile(path, MappingProxyType(tensors), MappingProxyType({path: mapped}))


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
    return StoredTensor(dtype, tuple(shape), begin + offsets[0], path)


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
