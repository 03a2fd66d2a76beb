"""Reads the HF layout: ``config.json``, safetensors in one file or in shards, ``tokenizer.json``.

A ternary linear comes packed (uint8 and a ``weight_scale``) or, with ``quantization_mode: online``,
as float master weights that are made ternary here, as the reference does in every pass.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import UserError, did_you_mean
from accelsim.functional.checkpoint import (
    EMBEDDING,
    Checkpoint,
    DenseWeight,
    TernaryWeight,
    dense_shapes,
    linear_names,
)
from accelsim.functional.checkpoint_config import CheckpointConfig, read_checkpoint_config
from accelsim.functional.mapped import file_size
from accelsim.functional.ternarise import ternarise
from accelsim.functional.weights_file import StoredTensor, WeightsFile, open_weights

SUMS = "SHA256SUMS"
FLOATS = ("BF16", "F16", "F32")
_BLOCK_ELEMENTS = 1 << 22
# All ones in the exponent of a 16-bit float: infinity or NaN.
_EXPONENTS = {"BF16": np.uint16(0x7F80), "F16": np.uint16(0x7C00)}


def read_hf_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder in the HF layout. Tensors stay mapped to their files.

    Args:
        folder: With ``config.json`` and ``model.safetensors``, or ``model.safetensors.index.json``
            and the shards that it lists.

    Raises:
        UserError: a file is missing, truncated or malformed; a tensor is missing or has another
            shape or dtype than the config asks for; a ternary code is 3; a float is not finite; a
            file differs from the ``SHA256SUMS`` beside it.
    """
    config = read_checkpoint_config(folder / "config.json")
    weights = open_weights(folder)
    digests = weights.digests()
    check_sums(folder, digests)
    places = _check_tensors(weights, config)
    tokenizer = folder / "tokenizer.json"
    return Checkpoint(
        path=folder,
        config=config,
        linears=MappingProxyType(_read_linears(weights, places, config)),
        dense=MappingProxyType(
            {name: _read_dense(weights, name, places[name]) for name in dense_shapes(config)}
        ),
        sha256=weights.sha256(digests),
        tokenizer=tokenizer if tokenizer.is_file() else None,
        maps=tuple(weights.maps.values()),
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


def _check_tensors(weights: WeightsFile, config: CheckpointConfig) -> dict[str, StoredTensor]:
    """Check every tensor of the files against the config before any of them is mapped."""
    places = {
        name: weights.find(name, shape, FLOATS) for name, shape in dense_shapes(config).items()
    }
    for name, (outputs, inputs) in linear_names(config).items():
        matrix = f"{name}.weight"
        if config.packed:
            places[matrix] = weights.find(matrix, (outputs // 4, inputs), ("U8",))
            places[f"{name}.weight_scale"] = weights.find(f"{name}.weight_scale", (1,), FLOATS)
        else:
            places[matrix] = weights.find(matrix, (outputs, inputs), FLOATS)
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
        if config.packed:
            linears[name] = _read_packed(weights, name, places)
            continue
        dense = _read_dense(weights, f"{name}.weight", places[f"{name}.weight"])
        linears[name] = ternarise(dense.stored) if config.ternary else dense
        if config.ternary:
            weights.forget()
    return linears


def _read_packed(
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
    weights.forget()
    scale = _read_dense(weights, scale_name, places[scale_name]).widen()[0]
    if not scale > 0:
        raise UserError(
            "is no scale", file=weights.path, key=scale_name, value=float(scale), allowed="above 0"
        )
    return TernaryWeight(packed, scale, 4 * packed.shape[0])


def _read_dense(weights: WeightsFile, name: str, place: StoredTensor) -> DenseWeight:
    stored = weights.read(place)
    if not is_finite(stored, place.dtype):
        raise UserError("holds NaN or infinity", file=weights.path, key=name)
    weights.forget()
    return DenseWeight(stored, place.dtype)


def is_finite(stored: NDArray[Any], storage: str) -> bool:
    """Say whether floats hold neither NaN nor infinity.

    Args:
        stored: Of any shape, as `DenseWeight` holds them.
        storage: ``F32``, ``F16`` or ``BF16``.
    """
    return all(_block_is_finite(block, storage) for block in _blocks(stored))


def _block_is_finite(block: NDArray[Any], storage: str) -> bool:
    exponent = _EXPONENTS.get(storage)
    if exponent is None:
        return bool(np.isfinite(block).all())
    return not np.any(block.view(np.uint16) & exponent == exponent)


def _blocks(stored: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Cut an array into flat pieces, so that a check never takes memory for a whole tensor."""
    flat = stored.reshape(-1)
    for begin in range(0, flat.size, _BLOCK_ELEMENTS):
        yield flat[begin : begin + _BLOCK_ELEMENTS]
