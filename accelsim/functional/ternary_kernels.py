"""Exact products of int8 codes and ternary weights, read from the packed form as it lies in a file.

A byte of packed weights [r, k] holds input k of four outputs, each in two bits as weight plus one.
A *step* loads consecutive bytes into one or two registers and masks out their four fields, so one
load serves four dot products with the codes of the same inputs. Fields are not shifted down: a sum
comes out too large by a power of two and is shifted back, which is exact. From it goes the sum of
the codes, which takes off the one in every weight.

The dtype of the arranged codes names the instructions (`PATHS`):

* int32: `vpdpbusd` (AVX512-VNNI) adds four products of bytes to an int32 lane;
* int8: `vpmaddubsw` (AVX2) adds two products of bytes to an int16, which 16 steps cannot overflow;
* int16: products of 16-bit numbers, of which any CPU has vectors. One word holds two fields of an
  input, 14 bits apart, and one product serves both. The upper field has the word's sign: with its
  own top bit turned over it reads as weight minus one, and the codes' sum is added.

The last step ends where the row ends, so nothing outside a row is ever read. Inputs it shares with
the step before meet a code of zero, as `arrange` writes them.
"""

# numba and llvmlite carry no types.
# mypy: disable-error-code="no-untyped-call, import-untyped"

from __future__ import annotations

import functools
import platform
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from accelsim.functional.kernels import I8, I32, U8, prefetch
from accelsim.kernels import cpu_has, kernel

# |sum| <= 128 * k, and less the codes' sum again 128 * k at most: int32 holds it. On the way there
# additions may wrap, which their like undo.
MOST_INPUTS = 1 << 24
FIELDS = 4
_PREFETCH_BYTES = 4096
# Codes of so many bytes stay near while weights pass by, which they then do a few times only.
_CODE_BYTES = 1 << 16
_BYTE, _WORD, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_QUAD = ir.VectorType(_INT, FIELDS)

Builder: TypeAlias = ir.IRBuilder
Vector: TypeAlias = ir.Value


class Path(NamedTuple):
    """A way to multiply.

    Attributes:
        feature: What the CPU must have, by LLVM's name; empty where any will do.
        codes: Dtype of arranged codes.
        step: Bytes of a packed row that one step takes.
        width: Bytes of a register, of which a step takes one or two.
        tokens: Rows of codes that share one unpacking of the weights, as registers allow.
        steps: Steps after which a narrow sum is added to an int32, before it could overflow.
        odd: What odd fields are multiplied as, less their weights; even ones are one more.
    """

    feature: str
    codes: np.dtype[Any]
    step: int
    width: int
    tokens: int
    steps: int
    odd: int


_WIDTH = 32 if cpu_has("avx2") else 16
# Steps for int32 lanes: each adds 4 products of at most 128 * 2 * 4**3. For int16: each adds 2 of
# at most 128 * 2 * 4, and 16 * 2048 = 2**15 is reached on the negative side alone. For the lower 14
# bits of an int32: each register adds 4 products of at most 128 * 2, and 8 * 1024 = 2**13 likewise.
PATHS = {
    "avx512vnni": Path("avx512vnni", np.dtype(np.int32), 64, 64, 4, 1 << 15, 1),
    "avx2": Path("avx2", np.dtype(np.int8), 32, 32, 2, 16, 1),
    "portable": Path("", np.dtype(np.int16), 32, _WIDTH, 4, _WIDTH // 4, -1),
}


@functools.cache
def usable_paths() -> tuple[str, ...]:
    """Return the names of `PATHS` that kernels compiled here may take, fastest first."""
    return tuple(name for name, path in PATHS.items() if not path.feature or cpu_has(path.feature))


def arrange(codes: I8, path: Path) -> NDArray[Any]:
    """Return codes int8 [m, k] as the steps of a path read them, one row each, C-contiguous."""
    m, k = codes.shape
    steps = -(-k // path.step)
    spread = codes
    if k % path.step:
        spread = np.zeros((m, steps, path.step), np.int8)
        whole = (steps - 1) * path.step
        spread[:, :-1] = codes[:, :whole].reshape(m, steps - 1, path.step)
        spread[:, -1, path.step - (k - whole) :] = codes[:, whole:]
    if path.codes != np.int16:
        return spread.reshape(m, -1).view(path.codes)
    halves = spread.reshape(m, -1, path.width // 16, 2, 8).transpose(0, 1, 3, 2, 4)
    return halves.astype(np.int16, order="C").reshape(m, -1)


def tokens_at_once(arranged: NDArray[Any], path: Path) -> int:
    """Return how many rows of arranged codes should meet the weights in one pass over them."""
    width: int = arranged.shape[1] * arranged.itemsize
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
    start = 0
    registers = 1
    groups = ((0,), (1,), (2,), (3,))

    @staticmethod
    def weights(builder: Builder, packed: Vector, fields: tuple[int, ...]) -> list[Vector]:
        return [builder.and_(packed, _constant(_INT, 0x03030303 << 2 * fields[0], 16))]

    @classmethod
    def add(cls, builder: Builder, total: Vector, weights: list[Vector], codes: Any) -> Vector:
        name = "llvm.x86.avx512.vpdpbusd.512"
        return _call(builder, name, cls.narrow, total, weights[0], codes[0])

    @staticmethod
    def widen(builder: Builder, total: Vector, fields: tuple[int, ...]) -> list[Vector]:
        return [builder.ashr(total, _constant(_INT, 2 * fields[0], 16))]


class _Avx2:
    """Sums are int16 [16], 4 times too large for odd fields."""

    narrow = ir.VectorType(_WORD, 16)
    start = 0
    registers = 1
    groups = ((0,), (1,), (2,), (3,))

    @staticmethod
    def weights(builder: Builder, packed: Vector, fields: tuple[int, ...]) -> list[Vector]:
        if fields[0] >= 2:
            packed = builder.lshr(packed, _constant(_INT, 4, 8))
        return [builder.and_(packed, _constant(_INT, 0x03030303 << 2 * (fields[0] % 2), 8))]

    @classmethod
    def add(cls, builder: Builder, total: Vector, weights: list[Vector], codes: Any) -> Vector:
        operands = [_as(builder, each, _BYTE, 32) for each in (weights[0], codes[0])]
        pairs = _call(builder, "llvm.x86.avx2.pmadd.ub.sw", cls.narrow, *operands)
        return builder.add(total, pairs)

    @staticmethod
    def widen(builder: Builder, total: Vector, fields: tuple[int, ...]) -> list[Vector]:
        ones = _constant(_WORD, 1, 16)
        wide = _call(builder, "llvm.x86.avx2.pmadd.wd", ir.VectorType(_INT, 8), total, ones)
        return [builder.ashr(wide, _constant(_INT, 2 * (fields[0] % 2), 8))]


class _Portable:
    """Sums are int32 [width / 4] of two fields, the second from bit 14 on."""

    width = PATHS["portable"].width
    words = width // 2
    narrow = ir.VectorType(_INT, words // 2)
    # With it the lower sum is not negative and takes nothing from the upper one.
    start = 1 << 13
    registers = 2
    groups = ((0, 3), (2, 1))
    # Which products meet in a lane is free. These are the two that one instruction adds:
    # neighbours for x86 (pmaddwd), else the halves that a multiply-add of long vectors takes.
    _x86 = platform.machine().lower() in {"x86_64", "amd64", "i686"}
    _order = [*range(0, words, 2), *range(1, words, 2)] if _x86 else list(range(words))
    met = (_order[: words // 2], _order[words // 2 :])

    @classmethod
    def weights(cls, builder: Builder, packed: Vector, fields: tuple[int, ...]) -> list[Vector]:
        signed = builder.xor(packed, _constant(_INT, 0x88888888, cls.width // 4))
        low = high = _as(builder, signed, _WORD, cls.words)
        if fields[0] == 2:
            nibble = _constant(_WORD, 4, cls.words)
            low, high = builder.lshr(low, nibble), builder.shl(high, nibble)
        low, high = (_as(builder, each, _BYTE, cls.width) for each in (low, high))
        mask = _constant(_WORD, 0xC003, cls.words)
        return [
            builder.and_(_as(builder, _shuffle(builder, low, high, woven), _WORD, cls.words), mask)
            for woven in _woven(cls.width)
        ]

    @classmethod
    def add(cls, builder: Builder, total: Vector, weights: list[Vector], codes: Any) -> Vector:
        wide = ir.VectorType(_INT, cls.words)
        for weight, code in zip(weights, codes, strict=True):
            factor = builder.sext(_as(builder, code, _WORD, cls.words), wide)
            products = builder.mul(builder.sext(weight, wide), factor)
            first, second = (_shuffle(builder, products, products, each) for each in cls.met)
            total = builder.add(total, builder.add(first, second))
        return total

    @classmethod
    def widen(cls, builder: Builder, total: Vector, fields: tuple[int, ...]) -> list[Vector]:
        lanes = cls.words // 2
        low = builder.and_(total, _constant(_INT, (1 << 14) - 1, lanes))
        low = builder.sub(low, _constant(_INT, cls.start, lanes))
        return [low, builder.ashr(total, _constant(_INT, 14, lanes))]


def _woven(width: int) -> list[list[int]]:
    """Return which bytes of two registers take turns in the first result, and in the second.

    Of each 16 bytes the first 8, or the last: no instruction of x86 weaves across 128 bits.
    """
    return [
        [byte + of for g in range(half, width, 16) for byte in range(g, g + 8) for of in (0, width)]
        for half in (0, 8)
    ]


_EMITTERS: dict[Any, Any] = {np.int32: _Vnni, np.int8: _Avx2, np.int16: _Portable}


def _add_across(builder: Builder, sums: list[Vector]) -> Vector:
    """Return int32 [4], the sum over the lanes of each of four vectors."""
    lanes = sums[0].type.count
    groups = range(0, lanes, FIELDS)

    # Within each group of four lanes: [a a b b] from two, then [a b c d] from the four.
    def weave(a: Vector, b: Vector) -> Vector:
        parts = []
        for odd in (0, 1):
            places = [
                g + lane for g in groups for lane in (odd, odd + 2, lanes + odd, lanes + odd + 2)
            ]
            parts.append(_shuffle(builder, a, b, places))
        return builder.add(*parts)

    a, b, c, d = sums
    total = weave(weave(a, b), weave(c, d))
    while lanes > FIELDS:
        lanes //= 2
        halves = (list(range(lanes)), list(range(lanes, 2 * lanes)))
        total = builder.add(*(_shuffle(builder, total, total, half) for half in halves))
    return total


def _emit_steps(
    builder: Builder, path: Path, rows: list[ir.Value], codes: list[ir.Value], k: ir.Value
) -> list[Vector]:
    """Emit packed rows times rows of codes; return int32 [4] for each pair, codes inside."""
    emitter, lanes = _EMITTERS[path.codes.type], path.width // 4
    cells = [(r, t, group) for r in rows for t in codes for group in emitter.groups]
    zero = ir.Constant(ir.VectorType(_INT, lanes), None)
    wide = {
        (r, t, i): cgutils.alloca_once_value(builder, zero) for r, t, group in cells for i in group
    }
    narrow = {cell: cgutils.alloca_once(builder, emitter.narrow) for cell in cells}
    none_yet = ir.Constant(emitter.narrow, [emitter.start] * emitter.narrow.count)
    size, most = _LONG(path.step), _LONG(path.steps)
    last = builder.sub(k, size)
    steps = builder.udiv(builder.add(last, _LONG(2 * path.step - 1)), size)
    with cgutils.for_range_slice(builder, _LONG(0), steps, most, _LONG) as (begin, _):
        for cell in cells:
            builder.store(none_yet, narrow[cell])
        end = _least(builder, builder.add(begin, most), steps)
        with cgutils.for_range_slice(builder, begin, end, _LONG(1), _LONG) as (step, _):
            start = builder.mul(step, size)
            place = _least(builder, start, last)
            for row in rows:
                prefetch(builder, builder.gep(row, [builder.add(place, _LONG(_PREFETCH_BYTES))]))
            for part in range(0, path.step, path.width):
                at = builder.add(place, _LONG(part)), builder.add(start, _LONG(part))
                _emit_register(builder, path, at, narrow)
        for (row, base, group), total in narrow.items():
            sums = emitter.widen(builder, builder.load(total), group)
            for i, more in zip(group, sums, strict=True):
                cell = wide[row, base, i]
                builder.store(builder.add(builder.load(cell), more), cell)
    return [
        _add_across(builder, [builder.load(wide[row, base, i]) for i in range(FIELDS)])
        for row in rows
        for base in codes
    ]


def _emit_register(
    builder: Builder,
    path: Path,
    at: tuple[ir.Value, ir.Value],
    narrow: dict[tuple[ir.Value, ir.Value, tuple[int, ...]], ir.Value],
) -> None:
    """Emit the products of one register of each packed row.

    Args:
        builder: Where.
        path: Which instructions.
        at: Where the inputs begin, in packed rows and in rows of codes.
        narrow: The sums, by packed row, row of codes and fields.
    """
    emitter, lanes = _EMITTERS[path.codes.type], path.width // 4
    first = builder.mul(at[1], _LONG(emitter.registers))
    spots = [builder.add(first, _LONG(path.width * h)) for h in range(emitter.registers)]
    rows, bases, _ = (list(dict.fromkeys(part)) for part in zip(*narrow, strict=True))
    read = {base: [_load(builder, base, spot, lanes) for spot in spots] for base in bases}
    for row in rows:
        packed = _load(builder, row, at[0], lanes)
        for group in emitter.groups:
            weights = emitter.weights(builder, packed, group)
            for base in bases:
                total = narrow[row, base, group]
                more = emitter.add(builder, builder.load(total), weights, read[base])
                builder.store(more, total)


def _least(builder: Builder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.icmp_unsigned("<", a, b), a, b)


def _intrinsic(many: bool) -> Any:
    """Return a function (codes, token, packed, row, other, sums int32 [products, 4]).

    It multiplies `Path.tokens` rows of codes from ``token`` by the packed ``row``, or one of codes
    by the two packed rows.
    """

    @intrinsic
    def multiply(
        typing: Any, codes: Any, token: Any, packed: Any, row: Any, other: Any, sums: Any
    ) -> Any:
        path = _path_of(np.dtype(str(codes.dtype)))

        def emit(context: Any, builder: Builder, signature: Any, values: Any) -> Any:
            def address(argument: int, index: ir.Value) -> ir.Value:
                kind = signature.args[argument]
                array = context.make_array(kind)(context, builder, values[argument])
                stride = cgutils.unpack_tuple(builder, array.strides)[0]
                base = builder.bitcast(array.data, _BYTE.as_pointer())
                return builder.gep(base, [builder.mul(index, stride)])

            packed_array = context.make_array(signature.args[2])(context, builder, values[2])
            k = cgutils.unpack_tuple(builder, packed_array.shape)[1]
            rows = [address(2, values[n]) for n in ((3,) if many else (3, 4))]
            operands = [
                address(0, builder.add(values[1], _LONG(t)))
                for t in range(path.tokens if many else 1)
            ]
            for number, quad in enumerate(_emit_steps(builder, path, rows, operands, k)):
                place = builder.bitcast(address(5, _LONG(number)), _QUAD.as_pointer())
                builder.store(quad, place, align=4)
            return context.get_dummy_value()

        long = types.int64
        return types.void(codes, long, packed, long, long, sums), emit

    return multiply


_multiply_many = _intrinsic(True)
_multiply_pair = _intrinsic(False)


@kernel
def ternary_rows(
    codes: I8,
    arranged: NDArray[Any],
    packed: U8,
    first: int,
    quarter: int,
    tokens: int,
    block: int,
    odd: int,
    accumulators: I32,
) -> None:
    """Add up codes int8 [m, k] against packed rows uint8 [r, k], exactly.

    arranged [m, *] are the same codes as `arrange` returns them. Packed row r yields columns
    first + r, and quarter, 2 * quarter, 3 * quarter further, of accumulators int32 [m, n] where it
    has them. tokens, odd: of the `Path`; block: rows of codes in one pass over the weights. k is
    one step at least.
    """
    m, n = accumulators.shape
    rows = packed.shape[0]
    sums = np.empty((max(tokens, 2), 4), np.int32)
    code_sums = np.empty(m, np.int32)
    for i in range(m):
        total = np.int32(0)
        for t in range(codes.shape[1]):
            total = np.int32(total + np.int32(codes[i, t]))
        code_sums[i] = total
    for begin in range(0, m, block):
        end = min(begin + block, m)
        grouped = begin + (end - begin) // tokens * tokens if tokens > 1 else begin
        for r in range(rows):
            for i in range(begin, grouped, tokens):
                _multiply_many(arranged, i, packed, r, r, sums)
                for t in range(tokens):
                    for field in range(4):
                        column = first + r + field * quarter
                        if column < n:
                            more = np.int32(code_sums[i + t] * (odd if field % 2 else 1))
                            accumulators[i + t, column] = sums[t, field] - more
        # Memory that is read in two places comes faster.
        half = (rows + 1) // 2
        for r in range(half):
            other = min(r + half, rows - 1)
            for i in range(grouped, end):
                _multiply_pair(arranged, i, packed, r, other, sums)
                for t, row in enumerate((r, other)):
                    for field in range(4):
                        column = first + row + field * quarter
                        if column < n:
                            more = np.int32(code_sums[i] * (odd if field % 2 else 1))
                            accumulators[i, column] = sums[t, field] - more
