"""A checkpoint: the shape of a network and its named tensors, whatever file they came from.

`read_checkpoint` chooses the reader: `hf_reader` for a folder in the HF layout, `gguf_reader` for a
GGUF file. Nothing past it knows which one it was.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import UserError
from accelsim.functional.checkpoint_config import CheckpointConfig
from accelsim.functional.mapped import forget_pages

if TYPE_CHECKING:
    from accelsim.functional.weight_counts import WeightCounts

EMBEDDING = "model.embed_tokens.weight"
LM_HEAD = "lm_head.weight"
FINAL_NORM = "model.norm.weight"


@dataclass(frozen=True)
class TernaryWeight:
    """A ternary matrix [outputs, inputs] and its scale, four rows to a byte.

    Attributes:
        packed: uint8 [q, inputs], q = outputs / 4 rounded up, read-only and often mapped to its
            file; bits 2i..2i+1 of byte [r, k] hold weight [i * q + r, k] plus one. Rows past the
            outputs hold the weight 0.
        scale: The stored weight scale; `CheckpointConfig.linear_class` says how it applies.
        outputs: Rows of the matrix.
    """

    packed: NDArray[np.uint8]
    scale: np.float32
    outputs: int

    @property
    def shape(self) -> tuple[int, int]:
        """Return (outputs, inputs)."""
        return self.outputs, self.packed.shape[1]

    def unpack(self) -> NDArray[np.int8]:
        """Return the weights -1, 0, +1 as int8 [outputs, inputs]."""
        shifts = np.arange(0, 8, 2, dtype=np.uint8)[:, None, None]
        codes = (self.packed[None] >> shifts) & np.uint8(3)
        rows = codes.reshape(-1, self.packed.shape[1])[: self.outputs]
        return rows.astype(np.int8) - np.int8(1)

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
        sha256: Of the file that holds the weights; of several, see `WeightsFile.sha256`.
        tokenizer: The file that holds the tokenizer, ``tokenizer.json`` or a GGUF file, or None.
        maps: The files whose tensors are mapped.
    """

    path: Path
    config: CheckpointConfig
    linears: Mapping[str, TernaryWeight | DenseWeight]
    dense: Mapping[str, DenseWeight]
    sha256: str
    tokenizer: Path | None
    maps: tuple[mmap.mmap, ...] = ()

    @cached_property
    def weight_counts(self) -> WeightCounts:
        """What was counted of the weights so far; a trace counts those that it needs."""
        from accelsim.functional.weight_counts import WeightCounts

        return WeightCounts(self.forget)

    def forget(self) -> None:
        """Give back the memory of what was read of the files so far; it is read again on demand."""
        for mapped in self.maps:
            forget_pages(mapped)


def widen(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Return float32 of stored values; uint16 is taken as bfloat16 bit patterns. Exact."""
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return stored.astype(np.float32)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Tensors stay mapped to their files where those hold them ready for use.

    Args:
        path: A folder in the HF layout or a GGUF file.

    Raises:
        UserError: there is neither, or what is there is malformed, truncated or does not fit
            together; see the readers.
    """
    if path.is_dir():
        from accelsim.functional.hf_reader import read_hf_checkpoint

        return read_hf_checkpoint(path)
    allowed = "a checkpoint folder in the HF layout, or a .gguf file"
    if not path.is_file():
        raise UserError("is no checkpoint", file=path, allowed=allowed)
    if path.suffix != ".gguf":
        raise UserError("is no checkpoint", file=path, value=path.name, allowed=allowed)
    from accelsim.functional.gguf_reader import read_gguf_checkpoint

    return read_gguf_checkpoint(path)


def linear_names(config: CheckpointConfig) -> dict[str, tuple[int, int]]:
    """Return (outputs, inputs) of every linear by its name, in the order they run."""
    return {
        f"model.layers.{layer}.{name}": shape
        for layer in range(config.layers)
        for name, shape in config.linear_shapes().items()
    }


def dense_shapes(config: CheckpointConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of embedding, norms and an untied lm_head by tensor name."""
    embedding = (config.vocab_size, config.hidden_size)
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: embedding, FINAL_NORM: (config.hidden_size,)}
    if not config.tie_embeddings:
        shapes[LM_HEAD] = embedding
    for layer in range(config.layers):
        for name, size in config.norm_sizes().items():
            shapes[f"model.layers.{layer}.{name}.weight"] = (size,)
    return shapes
