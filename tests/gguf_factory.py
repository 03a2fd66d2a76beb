"""GGUF files built byte by byte, independent of reader and writer; they may lie."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FORMATS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
U32, F32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9


@dataclass
class Info:
    """One tensor info; ``sides`` in the file's order, fastest first."""

    name: str
    sides: Sequence[int]
    kind: int = 0
    offset: int = 0


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def scalar(kind: int, value: Any) -> bytes:
    return text(value) if kind == STRING else struct.pack(f"<{FORMATS[kind]}", value)


def array(kind: int, values: Sequence[Any], count: int | None = None) -> bytes:
    count = len(values) if count is None else count
    return struct.pack("<IQ", kind, count) + b"".join(scalar(kind, value) for value in values)


def entry(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def info(row: Info) -> bytes:
    sides = struct.pack(f"<I{len(row.sides)}Q", len(row.sides), *row.sides)
    return text(row.name) + sides + struct.pack("<IQ", row.kind, row.offset)


def container(
    entries: Sequence[bytes] = (),
    infos: Sequence[Info] = (),
    content: bytes = b"",
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    keys: int | None = None,
    tensors: int | None = None,
    alignment: int = 32,
) -> bytes:
    head = magic + struct.pack(
        "<IQQ",
        version,
        len(infos) if tensors is None else tensors,
        len(entries) if keys is None else keys,
    )
    head += b"".join(entries) + b"".join(map(info, infos))
    return head + bytes(-len(head) % alignment) + content
