"""Exact products of int8 codes and ternary weights, read from the packed form as it lies in a file.

A byte of packed weights [r, k] holds input k of four outputs, each in two bits as weight plus one.
A *step* loads one register full of consecutive bytes and masks out its four fields, so one load
serves four dot products with the codes of the same inputs. Fields are not shifted down: the sum of
field i comes out 4**i times too large and is shifted back, which is exact. From it goes the sum of
the codes, which takes off the one in every weight.

The dtype of the arranged codes names the instructions (`PATHS`):

* int32: `vpdpbusd` (AVX512-VNNI) adds four products of bytes to an int32 lane;
* int8: `vpmaddubsw` (AVX2) adds two products of bytes to an int16, which 16 steps cannot overflow;
* int16: products of 16-bit numbers in vectors that any CPU has. Even and odd inputs of a step are
  apart, as the bytes of a 16-bit lane are.

The last step ends where the row ends, so nothing outside a row is ever read. Inputs it shares with
the step before meet a code of zero, as `arrange` writes them.
"""

# numba and llvmlite carry no types.
# mypy: disable-error-code="no-untyped-call, import-untyped"

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from accelsim.functional.kernels import I8, I32, U8
from accelsim.kernels import cpu_has, kernel

# |sum| <= 128 * k, and less the codes' sum again 128 * k at most: int32 holds it. On the way there
# additions may wrap, which their like undo.
MOST_INPUTS = 1 << 24
FIELDS = 4
_PREFETCH_BYTES = 4096
# Codes of so many bytes stay in the second-level cache while weights pass by.
_CODE_BYTES = 1 << 18
_BYTE, _WORD, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_QUAD = ir.VectorType(_INT, FIELDS)

Builder = ir.IRBuilder
Vector = ir.Value


class Path(NamedTuple):
    """A way to multiply.

    Attributes:
        feature: What the CPU must have, by LLVM's name; empty where any will do.
        codes: Dtype of arranged codes.
        step: Bytes of a packed row that one step takes.
        tokens: Rows of codes that share one unpacking of the weights.
        steps: Steps after which a narrow sum is added to an int32, before it could overflow.
    """

    feature: str
    codes: np.dtype[Any]
    step: int
    tokens: int
    steps: int


# Steps for int32 lanes: each adds 4 products of at most 128 * 2 * 4**3. For int16: each adds 2 of
# at most 128 * 2 * 4, and 16 * 2048 = 2**15 is reached on the negative side alone.
PATHS = {
    "avx512vnni": Path("avx512vnni", np.dtype(np.int32), 64, 4, 1 << 15),
    "avx2": Path("avx2", np.dtype(np.int8), 32, 2, 16),
    "portable": Path("", np.dtype(np.int16), 16, 2, 1 << 15),
}


def usable_paths() -> list[str]:
    """Return the names of `PATHS` that kernels compiled here may take, fastest first."""
    return [name for name, path in PATHS.items() if not path.feature or cpu_has(path.feature)]


def arrange(codes: I8, path: Path) -> NDArray[Any]:
    """Return codes int8 [m, k] as the steps of a path read them, one row each, C-contiguous."""
    m, k = codes.shape
    steps = -(-k // path.step)
    spread = np.zeros((m, steps, path.step), np.int8)
    whole = (steps - 1) * path.step
    spread[:, :-1] = codes[:, :whole].reshape(m, steps - 1, path.step)
    spread[:, -1, path.step - (k - whole) :] = codes[:, whole:]
    if path.codes != np.int16:
        return spread.reshape(m, -1).view(path.codes)
    pairs = spread.reshape(m, steps, path.step // 2, 2).transpose(0, 1, 3, 2)
    return pairs.astype(np.int16, order="C").reshape(m, -1)


def tokens_at_once(arranged: NDArray[Any]) -> int:
    """Return how many rows of arranged codes should meet the weights in one pass over them."""
    path = _path_of(arranged.dtype)
    width = max(arranged.shape[1] * arranged.itemsize, 1)
    return max(_CODE_BYTES // width // path.tokens, 1) * path.tokens


def _path_of(dtype: Any) -> Path:
    return next(path for path in PATHS.values() if path.codes == dtype)


def _constant(kind: ir.Type, number: int, lanes: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(kind, lanes), [number] * lanes)


def _as(builder: Builder, value: Vector, kind: ir.Type, lanes: int) -> Vector:
    return builder.bitcast(value, ir.VectorType(kind, lanes))


def _shuffle(builder: Builder, a: Vector, b: Vector, pattern: list[int]) -> Vector:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT, len(pattern)), pattern))


def _call(builder: Builder, name: str, result: ir.Type, *arguments: Vector) -> Vector:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _load(builder: Builder, base: ir.Value, offset: ir.Value, lanes: int) -> Vector:
    """Load int32 lanes from any address."""
    place = builder.bitcast(builder.gep(base, [offset]), ir.VectorType(_INT, lanes).as_pointer())
    return builder.load(place, align=1)


class _Vnni:
    """Sums are int32 [16], 4**i times too large."""

    narrow = ir.VectorType(_INT, 16)
    registers = 1

    @staticmethod
    def field(builder: Builder, packed: Vector, i: int) -> list[Vector]:
        return [builder.and_(packed, _constant(_INT, 0x03030303 << 2 * i, 16))]

    @classmethod
    def add(cls, builder: Builder, total: Vector, weights: list[Vector], codes: Any) -> Vector:
        name = "llvm.x86.avx512.vpdpbusd.512"
        return _call(builder, name, cls.narrow, total, weights[0], codes[0])

    @staticmethod
    def widen(builder: Builder, total: Vector, i: int) -> Vector:
        return builder.ashr(total, _constant(_INT, 2 * i, 16))


class _Avx2:
    """Sums are int16 [16], 4 times too large for odd fields."""

    narrow = ir.VectorType(_WORD, 16)
    registers = 1

    @staticmethod
    def field(builder: Builder, packed: Vector, i: int) -> list[Vector]:
        if i >= 2:
            packed = builder.lshr(packed, _constant(_INT, 4, 8))
        return [builder.and_(packed, _constant(_INT, 0x03030303 << 2 * (i % 2), 8))]

    @classmethod
    def add(cls, builder: Builder, total: Vector, weights: list[Vector], codes: Any) -> Vector:
        operands = [_as(builder, each, _BYTE, 32) for each in (weights[0], codes[0])]
        pairs = _call(builder, "llvm.x86.avx2.pmadd.ub.sw", cls.narrow, *operands)
        return builder.add(total, pairs)

    @staticmethod
    def widen(builder: Builder, total: Vector, i: int) -> Vector:
        ones = _constant(_WORD, 1, 16)
        wide = _call(builder, "llvm.x86.avx2.pmadd.wd", ir.VectorType(_INT, 8), total, ones)
        return builder.ashr(wide, _constant(_INT, 2 * (i % 2), 8))


class _Portable:
    """Sums are int32 [4], 4**i times too large."""

    narrow = ir.VectorType(_INT, 4)
    registers = 2
    # Which products meet in a lane is free. These are the halves that one instruction adds:
    # neighbours for x86 (pmaddwd), else the two that a multiply-add of long vectors takes.
    _x86 = platform.machine().lower() in {"x86_64", "amd64", "i686"}
    halves = ([0, 2, 4, 6], [1, 3, 5, 7]) if _x86 else ([0, 1, 2, 3], [4, 5, 6, 7])

    @staticmethod
    def field(builder: Builder, packed: Vector, i: int) -> list[Vector]:
        even = _as(builder, packed, _WORD, 8)
        odd = builder.lshr(even, _constant(_WORD, 8, 8))
        return [builder.and_(each, _constant(_WORD, 3 << 2 * i, 8)) for each in (even, odd)]

    @classmethod
    def add(cls, builder: Builder, total: Vector, weights: list[Vector], codes: Any) -> Vector:
        wide = ir.VectorType(_INT, 8)
        for weight, code in zip(weights, codes, strict=True):
            code = builder.sext(_as(builder, code, _WORD, 8), wide)
            products = builder.mul(builder.sext(weight, wide), code)
            first, second = (_shuffle(builder, products, products, each) for each in cls.halves)
            total = builder.add(total, builder.add(first, second))
        return total

    @staticmethod
    def widen(builder: Builder, total: Vector, i: int) -> Vector:
        return builder.ashr(total, _constant(_INT, 2 * i, 4))


_EMITTERS: dict[Any, Any] = {np.int32: _Vnni, np.int8: _Avx2, np.int16: _Portable}


def _add_across(builder: Builder, sums: list[Vector]) -> Vector:
    """Return int32 [4], the sum over the lanes of each of four vectors."""
    lanes = sums[0].type.count
    groups = range(0, lanes, FIELDS)

    def weave(a: Vector, b: Vector, low: list[int], high: list[int]) -> Vector:
        parts = []
        for pattern in (low, high):
            places = [g + p % FIELDS + lanes * (p // FIELDS) for g in groups for p in pattern]
            parts.append(_shuffle(builder, a, b, places))
        return builder.add(*parts)

    # Within each group of four lanes: [a a b b] from two, then [a b c d] from the four.
    pairs = [weave(a, b, [0, 2, 4, 6], [1, 3, 5, 7]) for a, b in (sums[:2], sums[2:])]
    total = weave(*pairs, [0, 2, 4, 6], [1, 3, 5, 7])
    while lanes > FIELDS:
        lanes //= 2
        halves = (list(range(lanes)), list(range(lanes, 2 * lanes)))
        total = builder.add(*(_shuffle(builder, total, total, half) for half in halves))
    return total


def _emit_row(
    builder: Builder, path: Path, codes: list[ir.Value], row: ir.Value, k: ir.Value
) -> list[Vector]:
    """Emit one packed row times some rows of codes; return int32 [4] for each."""
    emitter = _EMITTERS[path.codes.type]
    words, long = path.step // 4, _LONG
    last = builder.sub(k, long(path.step))
    steps = builder.udiv(builder.add(k, long(path.step - 1)), long(path.step))
    cells = [(t, i) for t in range(len(codes)) for i in range(FIELDS)]
    lanes = ir.VectorType(_INT, min(words, path.step // 4))
    wide = {c: cgutils.alloca_once_value(builder, ir.Constant(lanes, None)) for c in cells}
    narrow = {c: cgutils.alloca_once(builder, emitter.narrow) for c in cells}
    with cgutils.for_range_slice(builder, long(0), steps, long(path.steps), long) as (begin, _):
        for cell in cells:
            builder.store(ir.Constant(emitter.narrow, None), narrow[cell])
        left = builder.sub(steps, begin)
        whole = builder.icmp_unsigned("<", left, long(path.steps))
        end = builder.add(begin, builder.select(whole, left, long(path.steps)))
        with cgutils.for_range_slice(builder, begin, end, long(1), long) as (step, _):
            start = builder.mul(step, long(path.step))
            inside = builder.icmp_unsigned("<", start, last)
            offset = builder.select(inside, start, last)
            ahead = builder.gep(row, [builder.add(offset, long(_PREFETCH_BYTES))])
            _call(builder, "llvm.prefetch.p0", ir.VoidType(), ahead, _INT(0), _INT(3), _INT(1))
            packed = _load(builder, row, offset, words)
            spot = builder.mul(start, long(emitter.registers))
            spots = [builder.add(spot, long(path.step * h)) for h in range(emitter.registers)]
            read = [[_load(builder, base, s, words) for s in spots] for base in codes]
            for i in range(FIELDS):
                weights = emitter.field(builder, packed, i)
                for t in range(len(codes)):
                    total = builder.load(narrow[t, i])
                    builder.store(emitter.add(builder, total, weights, read[t]), narrow[t, i])
        for (t, i), total in narrow.items():
            more = emitter.widen(builder, builder.load(total), i)
            builder.store(builder.add(builder.load(wide[t, i]), more), wide[t, i])
    return [
        _add_across(builder, [builder.load(wide[t, i]) for i in range(FIELDS)])
        for t in range(len(codes))
    ]


def _row_intrinsic(many: bool) -> Callable[..., None]:
    """Return a function (codes, token, packed, row, sums) for one or `Path.tokens` tokens."""

    @intrinsic
    def multiply(typing: Any, codes: Any, token: Any, packed: Any, row: Any, sums: Any) -> Any:
        path = _path_of(np.dtype(str(codes.dtype)))

        def emit(context: Any, builder: Builder, signature: Any, values: Any) -> Any:
            arrays = [
                context.make_array(signature.args[n])(context, builder, values[n])
                for n in (0, 2, 4)
            ]
            code_array, packed_array, sum_array = arrays
            base, rows, out = (
                builder.bitcast(array.data, _BYTE.as_pointer()) for array in arrays
            )
            k = cgutils.unpack_tuple(builder, packed_array.shape)[1]
            stride = cgutils.unpack_tuple(builder, code_array.strides)[0]
            tokens = [
                builder.gep(base, [builder.mul(builder.add(values[1], _LONG(t)), stride)])
                for t in range(path.tokens if many else 1)
            ]
            first = builder.gep(rows, [builder.mul(values[3], k)])
            for t, quad in enumerate(_emit_row(builder, path, tokens, first, k)):
                place = builder.gep(out, [_LONG(4 * FIELDS * t)])
                builder.store(quad, builder.bitcast(place, _QUAD.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(codes, types.int64, packed, types.int64, sums), emit

    return multiply


_multiply_many = _row_intrinsic(True)
_multiply_one = _row_intrinsic(False)


@kernel
def ternary_rows(
    codes: NDArray[Any],
    code_sums: I32,
    packed: U8,
    first: int,
    quarter: int,
    tokens: int,
    block: int,
    accumulators: I32,
) -> None:
    """Add up codes [m, *] as `arrange` returns them against packed rows uint8 [r, k], exactly.

    code_sums int32 [m] are sums of the codes; packed row r yields columns first + r, and quarter,
    2 * quarter, 3 * quarter further, of accumulators int32 [m, n] where it has them. tokens and
    block: rows of codes that share an unpacking, and a pass over the weights. k is one step at
    least.
    """
    m, n = accumulators.shape
    sums = np.empty(4 * tokens, np.int32)
    for begin in range(0, m, block):
        end = min(begin + block, m)
        for r in range(packed.shape[0]):
            i = begin
            while i < end:
                count = tokens if i + tokens <= end else 1
                if count > 1:
                    _multiply_many(codes, i, packed, r, sums)
                else:
                    _multiply_one(codes, i, packed, r, sums)
                for t in range(count):
                    for field in range(4):
                        column = first + r + field * quarter
                        if column < n:
                            accumulators[i + t, column] = sums[4 * t + field] - code_sums[i + t]
                i += count
