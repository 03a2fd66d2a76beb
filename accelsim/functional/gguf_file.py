"""The GGUF container: every length is checked against the file before it is believed.

Layout (ggml's docs/gguf.md, version 3; version 2 differs in nothing that is read here): magic,
version, number of tensors, number of keys; keys with typed values; tensor infos (name, dimensions,
type, offset); the tensors' bytes, each at a multiple of ``general.alignment``. All little-endian.

The walk is our own because the package ``gguf`` cannot serve as a gate. Its reader (0.19) raises on
the type ids that only bitnet.cpp writes (36, 38; 39 it takes for MXFP4), and past the end of a file
its slices come back short: an array of numbers whose length lies sends it through a loop of up to
2^64 rounds. What the package does well, block formats and writing, is left to it.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import UserError
from accelsim.functional.mapped import map_file

MAGIC = b"GGUF"
_HEADER = struct.Struct("<4sIQQ")
_LENGTH = struct.Struct("<Q")
_VERSIONS = (2, 3)
_ALIGNMENT = 32
_LARGEST_ALIGNMENT = 1 << 16
_MOST_ENTRIES = 1 << 16  # keys, or tensors
_MOST_ELEMENTS = 1 << 24  # of an array
_LONGEST_NAME = 1 << 10
_LONGEST_TEXT = 1 << 24
_SHORTEST_ENTRY = 14  # length, a letter, type, a byte of value
_MOST_DIMENSIONS = 4
_LARGEST_TENSOR = 1 << 40  # elements
_STRING, _ARRAY = 8, 9
# By type id; 8 and 9 are strings and arrays.
_SCALARS: Mapping[int, np.dtype[Any]] = MappingProxyType(
    {
        0: np.dtype("u1"),
        1: np.dtype("i1"),
        2: np.dtype("<u2"),
        3: np.dtype("<i2"),
        4: np.dtype("<u4"),
        5: np.dtype("<i4"),
        6: np.dtype("<f4"),
        7: np.dtype("?"),
        10: np.dtype("<u8"),
        11: np.dtype("<i8"),
        12: np.dtype("<f8"),
    }
)


@dataclass(frozen=True)
class GgufTensor:
    """Where a tensor lies.

    Attributes:
        name: As the file spells it.
        kind: Type id.
        shape: Slowest dimension first, which is the reverse of the file's order; (1,) for a tensor
            without dimensions.
        offset: First byte in the file.
        room: Bytes from there to the next tensor, or to the end of the file.
    """

    name: str
    kind: int
    shape: tuple[int, ...]
    offset: int
    room: int


@dataclass(frozen=True)
class StringArray:
    """An array of strings inside a mapped file, decoded on demand. Its lengths are checked."""

    path: Path
    key: str
    content: memoryview
    count: int

    def decode(self) -> list[str]:
        """Return the strings.

        Raises:
            UserError: one is no UTF-8.
        """
        strings, position = [], 0
        try:
            for _ in range(self.count):
                begin = position + _LENGTH.size
                position = begin + _LENGTH.unpack_from(self.content, position)[0]
                strings.append(str(self.content[begin:position], "utf-8"))
        except UnicodeDecodeError:
            raise UserError(
                "is no UTF-8", file=self.path, key=f"{self.key}[{len(strings)}]"
            ) from None
        return strings


@dataclass(frozen=True)
class GgufFile:
    """A checked GGUF file.

    Attributes:
        path: The file.
        values: Numbers, booleans, strings, arrays and `StringArray` by key.
        tensors: Places by name, in the order of their offsets.
        alignment: Tensors begin at multiples of it.
        mapped: The whole file.
    """

    path: Path
    values: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]
    alignment: int
    mapped: mmap.mmap

    def map(self, tensor: GgufTensor, dtype: Any, shape: Sequence[int]) -> NDArray[Any]:
        """Map the head of a tensor's room read-only as an array of this dtype and shape."""
        array = np.frombuffer(self.mapped, dtype, math.prod(shape), tensor.offset)
        return array.reshape(tuple(shape))

    def sha256(self) -> str:
        """Return the SHA-256 of the file's bytes, in hexadecimal."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def error(self, key: str, message: str, value: object, allowed: str | None) -> UserError:
        """Return the error that a key's value is refused with."""
        return UserError(message, file=self.path, key=key, value=value, allowed=allowed)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string, the default where the key is absent.

        Raises:
            UserError: the key is absent without a default, or holds something else.
        """
        value = self._value(key, default, "a string")
        if not isinstance(value, str):
            raise self.error(key, "has the wrong type", value, "allowed: a string")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return a boolean, the default where the key is absent.

        Raises:
            UserError: the key holds something else.
        """
        value = self._value(key, default, "true or false")
        if not isinstance(value, bool):
            raise self.error(key, "has the wrong type", value, "allowed: true or false")
        return value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Return an integer from ``low`` to ``high``, the default where the key is absent.

        Raises:
            UserError: the key is absent without a default, or its value is another.
        """
        allowed = f"an integer from {low} to {high}"
        value = self._value(key, default, allowed)
        if type(value) is not int or not low <= value <= high:
            raise self.error(key, "is out of range", value, f"allowed: {allowed}")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Return a number above ``low``, at most ``high``, the default where the key is absent.

        Raises:
            UserError: the key is absent without a default, or its value is another.
        """
        allowed = f"a number above {low:g}, at most {high:g}"
        value = self._value(key, default, allowed)
        if type(value) not in (int, float) or not low < value <= high:
            raise self.error(key, "is out of range", value, f"allowed: {allowed}")
        return float(value)

    def _value(self, key: str, default: object, allowed: str) -> Any:
        value = self.values.get(key, default)
        if value is None:
            raise self.error(key, "is missing", None, f"allowed: {allowed}")
        return value


def open_gguf(path: Path) -> GgufFile:
    """Walk the header of a GGUF file. Nothing of its tensors is read.

    Raises:
        UserError: the file cannot be read or is no GGUF of version 2 or 3; a count, length, type,
            dimension or offset does not fit in it; a name appears twice.
    """
    mapped = map_file(path)
    size = len(mapped)
    if size < _HEADER.size:
        raise UserError("is too short for a GGUF file", file=path, value=f"{size} bytes")
    view = memoryview(mapped)
    magic, version, tensors, keys = _HEADER.unpack_from(view)
    if magic != MAGIC:
        raise UserError("is no GGUF file", file=path, value=magic, allowed=f"begins with {MAGIC!r}")
    if version not in _VERSIONS:
        allowed = "allowed: 2, 3 (little-endian)"
        raise UserError("unknown version", file=path, key="version", value=version, allowed=allowed)
    walk = _Walk(path, view)
    values = walk.keys(keys)
    alignment = _alignment(path, values)
    infos = [walk.tensor() for _ in range(walk.count("number of tensors", tensors))]
    begin = -(-walk.position // alignment) * alignment
    places = _places(path, infos, begin, size, alignment)
    return GgufFile(path, MappingProxyType(values), MappingProxyType(places), alignment, mapped)


def _alignment(path: Path, values: Mapping[str, Any]) -> int:
    key = "general.alignment"
    value = values.get(key, _ALIGNMENT)
    if type(value) is not int or value % 8 or not 8 <= value <= _LARGEST_ALIGNMENT:
        allowed = f"allowed: a multiple of 8 up to {_LARGEST_ALIGNMENT}"
        raise UserError("is no alignment", file=path, key=key, value=value, allowed=allowed)
    return value


def _places(
    path: Path, infos: list[GgufTensor], begin: int, size: int, alignment: int
) -> dict[str, GgufTensor]:
    """Turn offsets inside the data section into places in the file, in their order."""
    places: dict[str, GgufTensor] = {}
    infos = sorted(infos, key=lambda info: info.offset)
    ends = [*(begin + info.offset for info in infos[1:]), size]
    for info, end in zip(infos, ends, strict=False):
        if info.name in places:
            raise UserError("tensor appears twice", file=path, key=info.name)
        if info.offset % alignment:
            allowed = f"allowed: a multiple of the alignment {alignment}"
            raise UserError(
                "wrong offset", file=path, key=info.name, value=info.offset, allowed=allowed
            )
        offset = begin + info.offset
        if offset >= size:
            allowed = f"the file holds {max(size - begin, 0)} bytes of tensors"
            raise UserError(
                "lies outside the file",
                file=path,
                key=info.name,
                value=info.offset,
                allowed=allowed,
            )
        places[info.name] = GgufTensor(info.name, info.kind, info.shape, offset, end - offset)
    return places


class _Walk:
    """A cursor that never passes the end of the file."""

    def __init__(self, path: Path, view: memoryview) -> None:
        self.path, self.view, self.position = path, view, _HEADER.size

    def error(self, message: str, key: str, value: object, allowed: str | None) -> UserError:
        return UserError(message, file=self.path, key=key, value=value, allowed=allowed)

    def count(self, name: str, count: int) -> int:
        most = min(_MOST_ENTRIES, (len(self.view) - self.position) // _SHORTEST_ENTRY)
        if count > most:
            raise self.error("does not fit in the file", name, count, f"allowed: up to {most}")
        return count

    def keys(self, count: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for number in range(self.count("number of keys", count)):
            key = self._name(f"key {number}")
            if key in values:
                raise self.error("appears twice", key, None, None)
            values[key] = self._value(key, self._number(key, "<u4"))
        return values

    def tensor(self) -> GgufTensor:
        name = self._name("tensor")
        dimensions = self._number(name, "<u4")
        if dimensions > _MOST_DIMENSIONS:
            allowed = f"allowed: up to {_MOST_DIMENSIONS}"
            raise self.error("wrong number of dimensions", name, dimensions, allowed)
        sides = [self._number(name, "<u8") for _ in range(dimensions)]
        if 0 in sides or math.prod(sides) > _LARGEST_TENSOR:
            allowed = f"allowed: 1 to {_LARGEST_TENSOR} elements"
            raise self.error("has a wrong size", name, sides, allowed)
        kind, offset = self._number(name, "<u4"), self._number(name, "<u8")
        return GgufTensor(name, kind, tuple(reversed(sides)) or (1,), offset, 0)

    def _take(self, key: str, count: int) -> memoryview:
        left = len(self.view) - self.position
        if count > left:
            raise self.error("runs past the end of the file", key, count, f"{left} bytes are left")
        self.position += count
        return self.view[self.position - count : self.position]

    def _number(self, key: str, dtype: str) -> int:
        return int(np.frombuffer(self._take(key, np.dtype(dtype).itemsize), dtype)[0])

    def _text(self, key: str, longest: int) -> str:
        length = self._number(key, "<u8")
        if length > longest:
            raise self.error("is too long a string", key, length, f"allowed: up to {longest}")
        try:
            return str(self._take(key, length), "utf-8")
        except UnicodeDecodeError:
            raise self.error("is no UTF-8", key, None, None) from None

    def _name(self, place: str) -> str:
        name = self._text(place, _LONGEST_NAME)
        if not name.isprintable() or not name:
            raise self.error("is no name", place, name, "allowed: printable text")
        return name

    def _value(self, key: str, kind: int) -> Any:
        if kind == _STRING:
            return self._text(key, _LONGEST_TEXT)
        if kind == _ARRAY:
            return self._array(key)
        return self._scalars(key, kind, 1)[0].item()

    def _array(self, key: str) -> NDArray[Any] | StringArray:
        kind, count = self._number(key, "<u4"), self._number(key, "<u8")
        if count > _MOST_ELEMENTS:
            raise self.error("is too long an array", key, count, f"allowed: to {_MOST_ELEMENTS}")
        return self._strings(key, count) if kind == _STRING else self._scalars(key, kind, count)

    def _scalars(self, key: str, kind: int, count: int) -> NDArray[Any]:
        dtype = _SCALARS.get(kind)
        if dtype is None:
            allowed = "allowed: 0 to 12, and no array in an array"
            raise self.error("unknown value type", key, kind, allowed)
        return np.frombuffer(self._take(key, count * dtype.itemsize), dtype)

    def _strings(self, key: str, count: int) -> StringArray:
        """Check that the strings lie in the file; each takes eight bytes or more of it."""
        begin, end, size = self.position, self.position, len(self.view)
        for _ in range(count):
            if end + _LENGTH.size > size:
                break
            end += _LENGTH.size + _LENGTH.unpack_from(self.view, end)[0]
        else:
            return StringArray(self.path, key, self._take(key, end - begin), count)
        raise self.error("runs past the end of the file", key, count, "allowed: what lies in it")
