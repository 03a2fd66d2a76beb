"""A checkpoint: the shape of a network and its named tensors, checked before memory is taken.

`read_checkpoint` reads the HF layout, a folder with ``config.json``, ``model.safetensors`` and,
where there is one, ``tokenizer.json``. Another container needs another reader that ends in the same
`Checkpoint`; nothing past it knows where tensors came from.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import UserError, did_you_mean
from accelsim.functional.checkpoint_config import (
    CheckpointConfig,
    file_size,
    read_checkpoint_config,
)
from accelsim.functional.weights_file import StoredTensor, WeightsFile, open_weights_file

_FLOATS = ("BF16", "F16", "F32")
_BLOCK_ELEMENTS = 1 << 22
EMBEDDING = "model.embed_tokens.weight"
LM_HEAD = "lm_head.weight"
FINAL_NORM = "model.norm.weight"
SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class TernaryWeight:
    """A ternary matrix [outputs, inputs] and its scale, four rows to a byte.

    Attributes:
        packed: uint8 [outputs / 4, inputs], read-only; bits 2i..2i+1 of byte [r, k] hold weight
            [i * outputs / 4 + r, k] plus one.
        scale: The stored weight scale; `CheckpointConfig.linear_class` says how it applies.
    """

    packed: NDArray[np.uint8]
    scale: np.float32

    @property
    def shape(self) -> tuple[int, int]:
        """Return (outputs, inputs)."""
        return 4 * self.packed.shape[0], self.packed.shape[1]

    def unpack(self) -> NDArray[np.int8]:
        """Return the weights -1, 0, +1 as int8 [outputs, inputs]."""
        shifts = np.arange(0, 8, 2, dtype=np.uint8)[:, None, None]
        codes = (self.packed[None] >> shifts) & np.uint8(3)
        return codes.reshape(self.shape).astype(np.int8) - np.int8(1)

    def bit_planes(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return planes (non-zero, negative), one bit per weight: uint8 [outputs, inputs / 8].

        Inputs are padded to whole bytes with zeros; the first input is a byte's lowest bit.
        """
        weights = self.unpack()
        return (
            np.packbits(weights != 0, axis=1, bitorder="little"),
            np.packbits(weights < 0, axis=1, bitorder="little"),
        )


@dataclass(frozen=True)
class DenseWeight:
    """A float matrix or vector in its stored format.

    Attributes:
        stored: float32, float16, or uint16 bit patterns of bfloat16; read-only.
        storage: ``F32``, ``F16`` or ``BF16``.
    """

    stored: NDArray[Any]
    storage: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the tensor's shape."""
        return self.stored.shape

    def widen(self) -> NDArray[np.float32]:
        """Return the values as float32; exact."""
        return widen(self.stored)


@dataclass(frozen=True)
class Checkpoint:
    """A network's shape and tensors.

    Attributes:
        path: What was read.
        config: The network's shape.
        linears: Ternary or dense weights [outputs, inputs] by name, without ``.weight``.
        dense: Embedding, norms and an untied lm_head, by tensor name.
        sha256: Of the file that holds the weights.
        tokenizer: The ``tokenizer.json`` beside them, or None.
    """

    path: Path
    config: CheckpointConfig
    linears: Mapping[str, TernaryWeight | DenseWeight]
    dense: Mapping[str, DenseWeight]
    sha256: str
    tokenizer: Path | None


def widen(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Return float32 of stored values; uint16 is taken as bfloat16 bit patterns. Exact."""
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return stored.astype(np.float32)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint folder in the HF layout. Tensors stay mapped to their file.

    Args:
        path: Folder with ``config.json`` and ``model.safetensors``.

    Raises:
        UserError: a file is missing, truncated or malformed; a tensor is missing or has another
            shape or dtype than the config asks for; a ternary code is 3; a float is not finite; a
            file differs from the ``SHA256SUMS`` beside it.
    """
    if not path.is_dir():
        raise UserError("is no folder", file=path, allowed="a checkpoint folder in the HF layout")
    config = read_checkpoint_config(path / "config.json")
    weights = open_weights_file(path / "model.safetensors")
    sha256 = weights.sha256()
    check_sums(path, {"model.safetensors": sha256})
    places = _check_tensors(weights, config)
    tokenizer = path / "tokenizer.json"
    return Checkpoint(
        path=path,
        config=config,
        linears=MappingProxyType(_read_linears(weights, places, config)),
        dense=MappingProxyType(
            {name: _read_dense(weights, name, places[name]) for name in _dense_shapes(config)}
        ),
        sha256=sha256,
        tokenizer=tokenizer if tokenizer.is_file() else None,
    )


def check_sums(folder: Path, known: Mapping[str, str]) -> None:
    """Compare every file that the folder's ``SHA256SUMS`` lists; without that file, nothing is.

    Args:
        folder: A checkpoint.
        known: Digests of files that were read already, by name.

    Raises:
        UserError: a line is malformed or leaves the folder, a file is missing or has other bytes.
    """
    sums = folder / SUMS
    if not sums.is_file():
        return
    for number, line in enumerate(sums.read_text(encoding="utf-8", errors="replace").splitlines()):
        row = re.fullmatch(r"([0-9a-f]{64}) [ *]([\w.-]+)", line)
        if row is None:
            raise UserError(
                "is no line of sha256sum",
                file=sums,
                key=f"line {number + 1}",
                value=line,
                allowed="expected a digest and the name of a file in this folder",
            )
        wanted, name = row.groups()
        found = known.get(name) or _digest(folder / name)
        if found != wanted:
            raise UserError(
                "does not match its hash",
                file=folder / name,
                value=found,
                allowed=f"{SUMS} says {wanted}",
            )


def _digest(path: Path) -> str:
    file_size(path)
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", file=path) from None


def linear_names(config: CheckpointConfig) -> dict[str, tuple[int, int]]:
    """Return (outputs, inputs) of every linear by its name, in the order they run."""
    return {
        f"model.layers.{layer}.{name}": shape
        for layer in range(config.layers)
        for name, shape in config.linear_shapes().items()
    }


def _dense_shapes(config: CheckpointConfig) -> dict[str, tuple[int, ...]]:
    embedding = (config.vocab_size, config.hidden_size)
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: embedding, FINAL_NORM: (config.hidden_size,)}
    if not config.tie_embeddings:
        shapes[LM_HEAD] = embedding
    for layer in range(config.layers):
        for name, size in config.norm_sizes().items():
            shapes[f"model.layers.{layer}.{name}.weight"] = (size,)
    return shapes


def _check_tensors(weights: WeightsFile, config: CheckpointConfig) -> dict[str, StoredTensor]:
    """Check every tensor of the file against the config before any of them is mapped."""
    places = {
        name: weights.find(name, shape, _FLOATS) for name, shape in _dense_shapes(config).items()
    }
    for name, (outputs, inputs) in linear_names(config).items():
        matrix = f"{name}.weight"
        if config.ternary:
            places[matrix] = weights.find(matrix, (outputs // 4, inputs), ("U8",))
            places[f"{name}.weight_scale"] = weights.find(f"{name}.weight_scale", (1,), _FLOATS)
        else:
            places[matrix] = weights.find(matrix, (outputs, inputs), _FLOATS)
    for name in weights.tensors:
        if name not in places:
            allowed = did_you_mean(name, set(places) - set(weights.tensors) or {EMBEDDING})
            raise UserError("unexpected tensor", file=weights.path, key=name, allowed=allowed)
    return places


def _read_linears(
    weights: WeightsFile, places: Mapping[str, StoredTensor], config: CheckpointConfig
) -> dict[str, TernaryWeight | DenseWeight]:
    linears: dict[str, TernaryWeight | DenseWeight] = {}
    for name in linear_names(config):
        matrix = f"{name}.weight"
        if config.ternary:
            linears[name] = _read_ternary(weights, name, places)
        else:
            linears[name] = _read_dense(weights, matrix, places[matrix])
    return linears


def _read_ternary(
    weights: WeightsFile, name: str, places: Mapping[str, StoredTensor]
) -> TernaryWeight:
    matrix, scale_name = f"{name}.weight", f"{name}.weight_scale"
    packed = weights.read(places[matrix])
    for block in _blocks(packed):
        if np.any(block & (block >> np.uint8(1)) & np.uint8(0x55)):
            allowed = "allowed: 0, 1, 2 for the weights -1, 0, +1"
            raise UserError(
                "holds a ternary code", file=weights.path, key=matrix, value=3, allowed=allowed
            )
    scale = _read_dense(weights, scale_name, places[scale_name]).widen()[0]
    if not scale > 0:
        raise UserError(
            "is no scale", file=weights.path, key=scale_name, value=float(scale), allowed="above 0"
        )
    return TernaryWeight(packed, scale)


def _read_dense(weights: WeightsFile, name: str, place: StoredTensor) -> DenseWeight:
    stored = weights.read(place)
    for block in _blocks(stored):
        if not np.isfinite(widen(block)).all():
            raise UserError("holds NaN or infinity", file=weights.path, key=name)
    return DenseWeight(stored, place.dtype)


def _blocks(stored: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Cut an array into flat pieces, so that a check never widens a whole tensor."""
    flat = stored.reshape(-1)
    for begin in range(0, flat.size, _BLOCK_ELEMENTS):
        yield flat[begin : begin + _BLOCK_ELEMENTS]
