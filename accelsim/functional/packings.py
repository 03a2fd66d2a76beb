"""Packings of ternary weights: the bytes of a tensor in a file, to and from the canonical form.

Canonical is what `TernaryWeight` holds and Hugging Face's layout stores: uint8 [q, inputs] with
q = outputs / 4 rounded up, bits 2i..2i+1 of byte [r, k] are weight [i * q + r, k] plus one, rows
past the outputs hold the weight 0.

Layouts, element e of a row counted along its inputs, code = weight + 1:

- ``hf``: the canonical form itself (transformers, ``integrations/bitnet.py``).
- ``i2_s``: 128 weights in 32 bytes, byte j holds elements j, 32 + j, 64 + j, 96 + j from its high
  bits down; runs go on over the ends of rows. After the codes a float32 scale and 28 unused bytes
  (microsoft/BitNet, ``src/ggml-bitnet-mad.cpp``, built for x86). ``i2_s_arm``: the same in runs of
  64 weights and 16 bytes. A file does not say which of the two it is.
- ``tl1``, ``tl2``: see `packing_tiles`.
- ``tq2_0``: blocks of 256 weights, 64 bytes and a float16 scale; byte m of a half holds elements
  m, 32 + m, 64 + m, 96 + m from its low bits up (ggml).
- ``tq1_0``: blocks of 256 weights, 52 bytes and a float16 scale; a byte is ceil(q * 256 / 243) of
  five base-3 digits, the last four bytes hold four (ggml).
- ``base3``: five weights in a byte below 243, row after row without padding.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.functional import packing_kernels as kernels
from accelsim.functional.packing_codec import Bytes, Codec, Tensor, check_scale
from accelsim.functional.packing_tiles import PRESETS_TL1, PRESETS_TL2, tl1, tl2

_I2_S_TAIL = 32


def _read_hf(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes) -> None:
    kernels.unpack_rows(stored.reshape(-1, tensor.inputs), begin, codes)


def _write_hf(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes) -> None:
    # Rows past the outputs stay zero bits, as transformers' pack_weights leaves them.
    kernels.pack_rows(codes, begin, stored.reshape(-1, tensor.inputs))


def _i2_s(name: str, group: int) -> Codec:
    """Return I2_S in runs of ``group`` bytes."""
    run = 4 * group

    def read(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes) -> None:
        first = begin * tensor.inputs // run
        kernels.read_crumbs(stored, first, group, 3 * group, -group, 0, codes.reshape(-1, run))

    def write(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes) -> None:
        first = begin * tensor.inputs // run
        kernels.write_crumbs(codes.reshape(-1, run), first, group, 3 * group, -group, 0, stored)

    def fits(tensor: Tensor) -> None:
        weights = tensor.outputs * tensor.inputs
        if weights % run:
            allowed = f"{name} holds multiples of {run} weights"
            raise tensor.refuse("weights do not fit the packing", weights, allowed)

    return Codec(
        name,
        1,
        _i2_s_bytes,
        read,
        write,
        _read_i2_s_scale,
        _write_i2_s_scale,
        lambda tensor: run // math.gcd(tensor.inputs, run),
        fits,
    )


def _i2_s_bytes(outputs: int, inputs: int) -> int:
    return outputs * inputs // 4 + _I2_S_TAIL


def _read_i2_s_scale(stored: Bytes, tensor: Tensor) -> np.float32:
    return check_scale(np.frombuffer(stored[-_I2_S_TAIL:], "<f4", 1)[0], tensor)


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
        return check_scale(np.float32(found[0]) if found.size else np.float32(1), tensor)

    def write(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes) -> None:
        write_codes(codes, begin, stored)
        per_row = tensor.inputs // kernels.BLOCK
        # Marks blocks with weights, for their scale; ggml gives a block of zeros the scale 0.
        used = (codes.reshape(-1, kernels.BLOCK) != 1).any(axis=1)
        blocks(stored)[begin * per_row :][: used.size, -2] = used

    def write_scale(stored: Bytes, tensor: Tensor, scale: np.float32) -> None:
        with np.errstate(over="ignore"):
            half = scale.astype("<f2")
        check_scale(half.astype(np.float32), tensor)
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
            tl1(PRESETS_TL1),
            tl2(PRESETS_TL2),
            _tq("tq1_0", kernels.TQ1_BYTES, kernels.read_tq1, kernels.write_tq1),
            _tq("tq2_0", kernels.TQ2_BYTES, _read_tq2, _write_tq2),
            Codec(
                "base3",
                1,
                lambda n, k: -(-n * k // 5),
                _read_base3,
                _write_base3,
                rows=lambda tensor: 5,
            ),
        )
    }
)
