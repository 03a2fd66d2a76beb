"""What a packing of ternary weights has to do: transcode row blocks, check shapes and scales."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import UserError
from accelsim.functional import packing_kernels as kernels

Bytes = NDArray[np.uint8]
_BLOCK_WEIGHTS = 1 << 18
_LARGEST_SIDE = 1 << 40


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
        rows: tensor -> row blocks begin at multiples of it.
        fits: Refuses a tensor by more than its inputs.
    """

    name: str
    inputs_multiple: int
    size: Callable[[int, int], int]
    read: Read
    write: Read
    read_scale: ReadScale | None = None
    write_scale: WriteScale | None = None
    rows: Callable[[Tensor], int] = lambda tensor: 1
    fits: Callable[[Tensor], None] = lambda tensor: None

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
        self.fits(tensor)

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
        stored = _read_only(stored)
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
            kernels.unpack_rows(_read_only(packed), begin, codes)
            self.write(stored, tensor, begin, codes)
        if self.write_scale:
            if scale is None:
                raise tensor.refuse(f"{self.name} stores a scale, none is given")
            self.write_scale(stored, tensor, check_scale(np.float32(scale), tensor))
        return stored

    def _row_blocks(self, tensor: Tensor) -> Iterator[tuple[int, Bytes]]:
        """Yield first rows and buffers [rows, inputs], which share their memory."""
        step = self.rows(tensor)
        rows = -(-max(_BLOCK_WEIGHTS // tensor.inputs, 1) // step) * step
        codes = np.empty((min(rows, tensor.outputs), tensor.inputs), np.uint8)
        for begin in range(0, tensor.outputs, rows):
            yield begin, codes[: tensor.outputs - begin]


def _read_only(array: Bytes) -> Bytes:
    """Return a view that cannot be written to: kernels are compiled for one kind of array."""
    view = array.view()
    view.flags.writeable = False
    return view


def check_scale(scale: np.float32, tensor: Tensor) -> np.float32:
    """Return a scale that is finite and positive; refuse another."""
    if not (np.isfinite(scale) and scale > 0):
        raise tensor.refuse("scale is not finite and positive", float(scale))
    return scale
