"""Ternary products with the x86 instruction that adds four byte products to an int32 lane.

`vpdpbusd` (AVX512-VNNI) multiplies 64 unsigned bytes by 64 signed ones. The unsigned bytes are
weights plus one, for 16 outputs and 4 inputs at a time; the signed ones are 4 codes, the same for
every output. So sums of outputs need no reduction, and the weights stay at two bits until they are
in a register. Sums are exact integers: the bytes are those of `kernels.ternary_rows`.

A *tile* covers 64 outputs. Byte [g, 4 * o + c] of it holds, in bits 2j, the weight of output
16 * j + o and input 4 * g + c, plus one.
"""

# numba and llvmlite carry no types.
# mypy: disable-error-code="no-untyped-call, import-untyped"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from accelsim.functional.kernels import I8, I32, U8
from accelsim.kernels import kernel

TILE = 64
INPUTS = 4
_LANES = 16
_i32 = np.int32


def lay_out(packed: U8) -> U8:
    """Return tiles uint8 [outputs / 64, inputs / 4, 64], both rounded up, of packed weights.

    Args:
        packed: uint8 [outputs / 4, inputs] as in `TernaryWeight`. Room that is left over holds the
            code 0; it meets codes of zero or outputs that nobody reads.
    """
    quarter, k = packed.shape
    n = 4 * quarter
    groups = -(-k // INPUTS)
    tiles = np.zeros((-(-n // TILE), groups, TILE), np.uint8)
    outputs = np.arange(n)
    for tile in range(tiles.shape[0]):
        block = np.zeros((TILE, groups * INPUTS), np.uint8)
        rows = outputs[tile * TILE : (tile + 1) * TILE]
        shifts = (2 * (rows // quarter)).astype(np.uint8)[:, None]
        block[: rows.size, :k] = (packed[rows % quarter] >> shifts) & np.uint8(3)
        fields = block.reshape(4, _LANES, groups, INPUTS).transpose(0, 2, 1, 3)
        for j in range(4):
            tiles[tile] |= fields[j].reshape(groups, TILE) << np.uint8(2 * j)
    return tiles


def _data_pointer(context: Any, builder: ir.IRBuilder, kind: Any, value: Any) -> ir.Value:
    """Return the address of an array's first byte."""
    array = context.make_array(kind)(context, builder, value)
    return builder.bitcast(array.data, ir.IntType(8).as_pointer())


def _emit_tile(
    builder: ir.IRBuilder,
    rows: int,
    codes: ir.Value,
    stride: ir.Value,
    tile: ir.Value,
    groups: ir.Value,
) -> list[ir.Value]:
    """Emit the loop over groups of 4 inputs; return the sums as 4 vectors per row."""
    word, lanes = ir.IntType(32), ir.VectorType(ir.IntType(32), _LANES)
    dot_type = ir.FunctionType(lanes, [lanes, lanes, lanes])
    dot = cgutils.get_or_insert_function(builder.module, dot_type, "llvm.x86.avx512.vpdpbusd.512")
    zero = ir.Constant(lanes, [0] * _LANES)
    mask = ir.Constant(lanes, [0x03030303] * _LANES)
    sums = [cgutils.alloca_once_value(builder, zero) for _ in range(4 * rows)]
    with cgutils.for_range(builder, groups) as loop:
        place = builder.gep(tile, [builder.mul(loop.index, loop.index.type(TILE))])
        packed = builder.load(builder.bitcast(place, lanes.as_pointer()), align=1)
        weights = [
            builder.and_(builder.lshr(packed, ir.Constant(lanes, [2 * j] * _LANES)), mask)
            for j in range(4)
        ]
        offset = builder.mul(loop.index, loop.index.type(INPUTS))
        for r in range(rows):
            start = builder.add(builder.mul(stride, stride.type(r)), offset)
            source = builder.bitcast(builder.gep(codes, [start]), word.as_pointer())
            four = builder.load(source, align=1)
            first = builder.insert_element(ir.Constant(lanes, ir.Undefined), four, word(0))
            pattern = ir.Constant(lanes, [0] * _LANES)
            spread = builder.shuffle_vector(first, ir.Constant(lanes, ir.Undefined), pattern)
            for j in range(4):
                total = sums[4 * r + j]
                builder.store(builder.call(dot, [builder.load(total), weights[j], spread]), total)
    return [builder.load(total) for total in sums]


def _tile_intrinsic(rows: int) -> Any:
    """Return a function (codes, row, tile, sums) for so many rows of codes at once."""

    @intrinsic
    def multiply(typing: Any, codes: Any, row: Any, tile: Any, sums: Any) -> Any:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
            kinds = signature.args
            codes_array = context.make_array(kinds[0])(context, builder, values[0])
            stride = cgutils.unpack_tuple(builder, codes_array.shape)[1]
            tile_array = context.make_array(kinds[2])(context, builder, values[2])
            groups = cgutils.unpack_tuple(builder, tile_array.shape)[0]
            base = _data_pointer(context, builder, kinds[0], values[0])
            first = builder.gep(base, [builder.mul(values[1], stride)])
            weights = _data_pointer(context, builder, kinds[2], values[2])
            out = _data_pointer(context, builder, kinds[3], values[3])
            lanes = ir.VectorType(ir.IntType(32), _LANES)
            for number, vector in enumerate(
                _emit_tile(builder, rows, first, stride, weights, groups)
            ):
                place = builder.gep(out, [ir.IntType(64)(4 * _LANES * number)])
                builder.store(vector, builder.bitcast(place, lanes.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(codes, types.int64, tile, sums), emit

    return multiply


_multiply_four = _tile_intrinsic(4)
_multiply_one = _tile_intrinsic(1)


@kernel
def ternary_tiles(codes: I8, tiles: U8, first: int, accumulators: I32) -> None:
    """Add up codes int8 [m, 4 * g] against tiles uint8 [t, g, 64], exactly.

    Writes columns from 64 * first of accumulators int32 [m, n].
    """
    m, k = codes.shape
    n = accumulators.shape[1]
    totals = np.empty(m, np.int32)
    for i in range(m):
        total = _i32(0)
        for t in range(k):
            total = _i32(total + _i32(codes[i, t]))
        totals[i] = total
    sums = np.empty(4 * TILE, np.int32)
    for tile in range(tiles.shape[0]):
        begin = (first + tile) * TILE
        width = min(TILE, n - begin)
        i = 0
        while i < m:
            rows = 4 if i + 4 <= m else 1
            if rows == 4:
                _multiply_four(codes, i, tiles[tile], sums)
            else:
                _multiply_one(codes, i, tiles[tile], sums)
            for r in range(rows):
                for j in range(width):
                    accumulators[i + r, begin + j] = sums[r * TILE + j] - totals[i + r]
            i += rows


def pad_inputs(codes: NDArray[np.int8], groups: int) -> NDArray[np.int8]:
    """Return codes [m, 4 * groups], with zeros behind the given ones."""
    if codes.shape[1] == INPUTS * groups:
        return codes
    padded = np.zeros((codes.shape[0], INPUTS * groups), np.int8)
    padded[:, : codes.shape[1]] = codes
    return padded
