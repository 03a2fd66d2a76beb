"""TL1 and TL2, the packings of bitnet.cpp that are permuted for its table-lookup kernels.

The order of bytes depends on the tiles that the kernels of one matrix shape were generated with,
and a file does not say which those were. Known are the ones that ``setup_env.py`` of
microsoft/BitNet generates for the networks it lists; another shape is refused. Whoever generated
other tiles decodes with ``tl1({(outputs, inputs): Tiles(BM, BK, bm)})``. For the shapes of
BitNet b1.58 2B-4T ``setup_env.py`` generates none, and its converter refuses them.

Verified: random weights of every shape below gave the bytes that ``preprocess_weights_tl1`` and
``_tl2`` of ``utils/convert-hf-to-gguf-bitnet.py`` write. Read, and in agreement: the kernels in
``preset_kernels/`` and the offsets in the fork's ``ggml.c``. Not verified: a file of a published
network, for none was at hand. The ``kernel_config_*.ini`` in ``preset_kernels/`` name other tiles
for some shapes, but ``setup_env.py`` writes its own over them before anything is converted.

Bytes of a tensor [N, K], as ``ggml_nbytes`` of that fork counts them:

- TL1: N * K / 4 codes, 4-bit indices 3 * w0 + w1 + 4 of pairs.
- TL2, with K3 the largest multiple of BK in K: N * K3 / 6 bytes of 4-bit indices
  |9 * w0 + 3 * w1 + w2| of triples, N * K3 / 24 bytes of their signs, N * (K - K3) / 4 bytes of
  pairs as in TL1, then zeros up to (K - 256) * N / 3 * 5 / 8 + 64 * N and to a multiple of 32.
- After either a float32 scale and 28 unused bytes. (The converter writes the scale as a tensor of
  its own; the alignment of tensors puts it there.)
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from accelsim.functional import packing_kernels as kernels
from accelsim.functional.packing_codec import Bytes, Codec, Tensor, check_scale

_TAIL = 32
_TL2_LANES = 32


class Tiles(NamedTuple):
    """How the kernels of a shape cut it: the names of ``kernel_config.ini`` are BM, BK and bmm.

    ``rows`` x ``inputs`` make a tile, ``lanes`` of its rows are computed side by side: 32 or 64 in
    TL1, 32 in TL2.
    """

    rows: int
    inputs: int
    lanes: int


Presets = Mapping[tuple[int, int], Tiles]

# setup_env.py of microsoft/BitNet, gen_code: bitnet_b1_58-large, bitnet_b1_58-3B and
# Llama3-8B-1.58-100B-tokens. Keys are (outputs, inputs).
PRESETS_TL1: Presets = MappingProxyType(
    {
        (1536, 4096): Tiles(256, 128, 32),
        (1536, 1536): Tiles(128, 64, 64),
        (4096, 1536): Tiles(256, 128, 32),
        (3200, 8640): Tiles(160, 64, 32),
        (3200, 3200): Tiles(320, 128, 64),
        (8640, 3200): Tiles(320, 64, 32),
        (14336, 4096): Tiles(256, 128, 32),
        (4096, 14336): Tiles(128, 64, 64),
        (1024, 4096): Tiles(256, 128, 32),
        (4096, 4096): Tiles(128, 64, 64),
    }
)
PRESETS_TL2: Presets = MappingProxyType(
    {
        (1536, 4096): Tiles(256, 96, 32),
        (1536, 1536): Tiles(128, 192, 32),
        (4096, 1536): Tiles(256, 96, 32),
        (3200, 8640): Tiles(160, 96, 32),
        (3200, 3200): Tiles(320, 96, 32),
        (8640, 3200): Tiles(320, 96, 32),
        (14336, 4096): Tiles(256, 96, 32),
        (4096, 14336): Tiles(128, 96, 32),
        (1024, 4096): Tiles(256, 96, 32),
        (4096, 4096): Tiles(128, 96, 32),
    }
)


def tl1(presets: Presets) -> Codec:
    """Return TL1 for the shapes of ``presets``."""

    def move(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes, writing: bool) -> None:
        tiles = _tiles_of("tl1", tensor, presets)
        part = _part(stored, begin * tensor.inputs // 4, codes.size // 4, writing)
        kernels.move_tl1(codes, *tiles, part, writing)

    def fits(tensor: Tensor) -> None:
        tiles = _tiles_of("tl1", tensor, presets)
        whole = (tensor.outputs % tiles.rows, tensor.inputs % tiles.inputs)
        inner = (tiles.rows % tiles.lanes, tiles.inputs % (256 // tiles.lanes))
        if tiles.lanes not in (32, 64) or any(whole + inner):
            raise tensor.refuse("tiles do not fit", list(tiles))

    return Codec(
        "tl1",
        4,
        lambda outputs, inputs: outputs * inputs // 4 + _TAIL,
        lambda stored, tensor, begin, codes: move(stored, tensor, begin, codes, False),
        lambda stored, tensor, begin, codes: move(stored, tensor, begin, codes, True),
        _read_scale,
        _write_scale,
        lambda tensor: _tiles_of("tl1", tensor, presets).rows,
        fits,
    )


def tl2(presets: Presets) -> Codec:
    """Return TL2 for the shapes of ``presets``."""

    def move(stored: Bytes, tensor: Tensor, begin: int, codes: Bytes, writing: bool) -> None:
        rows, columns, _ = _tiles_of("tl2", tensor, presets)
        inputs = tensor.inputs // columns * columns
        parts, at = [], 0
        for width, share in ((inputs, 6), (inputs, 24), (tensor.inputs - inputs, 4)):
            first, size = at + begin * width // share, len(codes) * width // share
            parts.append(_part(stored, first, size, writing))
            at += tensor.outputs * width // share
        indices, signs, pairs = parts
        kernels.move_tl2_triples(codes, rows, columns, inputs, indices, signs, writing)
        kernels.move_tl2_pairs(codes, rows, inputs, pairs, writing)

    def fits(tensor: Tensor) -> None:
        tiles = _tiles_of("tl2", tensor, presets)
        rest = tensor.inputs % tiles.inputs
        # Past 256 the rest would not fit the bytes that ggml_nbytes counts.
        whole = (tensor.outputs % tiles.rows, tiles.inputs % 24, rest % 32, rest // 257)
        if tiles.lanes != _TL2_LANES or tiles.rows % tiles.lanes or any(whole):
            raise tensor.refuse("tiles do not fit", list(tiles))
        if tensor.inputs < 256:
            raise tensor.refuse("inputs do not fit the packing", tensor.inputs, "allowed: 256 up")

    return Codec(
        "tl2",
        32,
        _tl2_bytes,
        lambda stored, tensor, begin, codes: move(stored, tensor, begin, codes, False),
        lambda stored, tensor, begin, codes: move(stored, tensor, begin, codes, True),
        _read_scale,
        _write_scale,
        lambda tensor: _tiles_of("tl2", tensor, presets).rows,
        fits,
    )


def _tiles_of(name: str, tensor: Tensor, presets: Presets) -> Tiles:
    shape = (tensor.outputs, tensor.inputs)
    if shape not in presets:
        known = ", ".join(f"{outputs}x{inputs}" for outputs, inputs in presets)
        allowed = f"known, outputs x inputs: {known}"
        raise tensor.refuse(f"tiles of {name} are not known for this shape", list(shape), allowed)
    return presets[shape]


def _part(stored: Bytes, begin: int, size: int, writing: bool) -> Bytes:
    """Return bytes to write to, or a copy of them to read: one kernel serves both."""
    part = stored[begin : begin + size]
    return part if writing else np.array(part)


def _tl2_bytes(outputs: int, inputs: int) -> int:
    codes = (inputs - 256) * outputs // 3 * 5 // 8 + 64 * outputs
    return -(-codes // 32) * 32 + _TAIL


def _read_scale(stored: Bytes, tensor: Tensor) -> np.float32:
    return check_scale(np.frombuffer(stored[-_TAIL:], "<f4", 1)[0], tensor)


def _write_scale(stored: Bytes, tensor: Tensor, scale: np.float32) -> None:
    stored[-_TAIL:][:4] = np.array([scale], "<f4").view(np.uint8)
