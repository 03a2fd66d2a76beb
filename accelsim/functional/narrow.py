"""What narrow hardware would compute in place of exact ternary products.

An `Arithmetic` is parsed from its name:

* ``exact``: sums of any size, as everywhere else;
* ``wrap:BITS``: an accumulator of BITS signed bits adds code * weight for k = 0, 1, 2, ... and
  keeps the low bits of every sum. The order is free: cutting the exact sum down once is the same;
* ``saturate:BITS``: the same accumulator stays at the least or greatest number it can hold. The
  order is not free: k ascends, and a weight of zero changes nothing;
* ``i2_s``: bitnet.cpp's kernel for I2_S weights on x86 (AVX2, one row at a time;
  ``ggml_vec_dot_i2_i8_s_1x1`` in src/ggml-bitnet-mad.cpp, github.com/microsoft/BitNet). 16-bit lane
  l of 16 adds code * (weight + 1) of elements 32 * i + 2 * l and 32 * i + 2 * l + 1 for 128
  consecutive i, wrapping; then lanes are widened to 32 bits and added, less the sum of the codes.
  A pair of products is at most 2 * 2 * 128, so that its own 16 bits never saturate;
* ``q8_k``: ggml's TQ1_0 and TQ2_0 times Q8_K: a step of its own for each 256 activations, the
  weight scale rounded to float16, exact sums within a block, then float32, blocks ascending
  (``quantize_row_q8_K_ref`` and ``ggml_vec_dot_tq2_0_q8_K_generic``, github.com/ggml-org/ggml;
  its SIMD kernels add the same numbers in other orders).

Embedding, norms, attention and lm_head stay exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import UserError
from accelsim.functional import narrow_kernels
from accelsim.functional.checkpoint import DenseWeight, TernaryWeight
from accelsim.functional.linear import (
    Linear,
    LinearBuilder,
    Product,
    Report,
    TernaryLinear,
    build_linear,
    exact_product,
)
from accelsim.functional.operators import Floats, Norm, rms_norm
from accelsim.functional.threads import Threads

MIN_BITS, MAX_BITS = 2, 32
# Of these many inputs a row must be a multiple.
_ROW_MULTIPLE = {"i2_s": 128, "q8_k": narrow_kernels.BLOCK}
# What quantising one element costs next to a multiply-add.
_ELEMENT_COST = 8
_SIZED, _PLAIN = ("wrap", "saturate"), ("exact", "i2_s", "q8_k")
ALLOWED = f"allowed: exact, wrap:BITS, saturate:BITS ({MIN_BITS} to {MAX_BITS}), i2_s, q8_k"

Sums = NDArray[np.int32]


@dataclass(frozen=True)
class Arithmetic:
    """How the products of ternary linears are computed.

    Attributes:
        kind: ``exact``, ``wrap``, ``saturate``, ``i2_s`` or ``q8_k``.
        bits: Width of the accumulator where it wraps or saturates, 2 to 32.
    """

    kind: str
    bits: int | None = None

    @property
    def name(self) -> str:
        """Return what `parse_arithmetic` reads."""
        return self.kind if self.bits is None else f"{self.kind}:{self.bits}"


EXACT = Arithmetic("exact")


def parse_arithmetic(name: str, *, file: object = None) -> Arithmetic:
    """Return the arithmetic of a name, ``saturate:16`` for instance.

    Raises:
        UserError: there is none of this name; ``file`` is the option that holds it.
    """
    kind, _, width = name.partition(":")
    if name in _PLAIN:
        return Arithmetic(kind)
    if kind in _SIZED and width.isascii() and width.isdecimal() and len(width) <= 2:
        bits = int(width)
        if MIN_BITS <= bits <= MAX_BITS:
            return Arithmetic(kind, bits)
    raise UserError("no arithmetic of this name", file=file, value=name, allowed=ALLOWED)


class Blocks(NamedTuple):
    """Rows of int8 codes [m, k] and the float32 step [m, k / 256] of a block: x = code * step."""

    codes: NDArray[np.int8]
    steps: Floats


@dataclass(frozen=True)
class BlockLinear:
    """y = sum over blocks of (codes @ weights.T) * (step * scale), as ggml's TQ2_0 times Q8_K.

    Attributes:
        name: The checkpoint's name without ``.weight``.
        packed: As in `TernaryWeight`.
        outputs: Rows of the weight matrix.
        scale: What a weight of 1 stands for, rounded to float16.
        threads: For the kernels.
    """

    name: str
    packed: NDArray[np.uint8]
    outputs: int
    scale: np.float32
    threads: Threads

    def enter(self, x: Floats, norm: Norm | None = None) -> Blocks:
        """Return x [m, k] as int8 codes and the step of each block."""
        if norm is not None:
            x = rms_norm(x, norm, self.threads)
        m, k = x.shape
        codes = np.empty((m, k), np.int8)
        steps = np.empty((m, k // narrow_kernels.BLOCK), np.float32)

        def rows(begin: int, end: int) -> None:
            narrow_kernels.quantise_blocks(x[begin:end], codes[begin:end], steps[begin:end])

        self.threads.split(rows, m, _ELEMENT_COST * x.size)
        return Blocks(codes, steps)

    def __call__(self, x: Blocks, report: Report | None = None) -> Floats:
        """Return float32 [m, outputs]; what is reported are sums without their steps."""
        m, k = x.codes.shape
        sums = np.empty((m, self.outputs), np.int32)
        y = np.empty((m, self.outputs), np.float32)

        def part(first: int, last: int) -> None:
            narrow_kernels.block_outputs(
                x.codes, x.steps, self.packed, self.scale, first, last, sums, y
            )

        self.threads.split(part, self.outputs, m * k * self.outputs)
        if report is not None:
            report(self.name, x.codes, sums)
        return y


def emulating(arithmetic: Arithmetic) -> LinearBuilder:
    """Return what builds linears of this arithmetic; those that are not ternary stay as they are.

    Raises:
        UserError: (the builder) the arithmetic does not take rows of this length.
    """

    def build(
        name: str, weight: TernaryWeight | DenseWeight, multiplies: bool, threads: Threads
    ) -> Linear:
        if arithmetic == EXACT or not isinstance(weight, TernaryWeight):
            return build_linear(name, weight, multiplies, threads)
        _check_rows(name, weight, arithmetic)
        if arithmetic.kind == "q8_k":
            scale = weight.scale if multiplies else np.float32(1) / weight.scale
            rounded = np.float32(np.float16(scale))
            return BlockLinear(name, weight.packed, weight.shape[0], rounded, threads)
        product = _product(name, weight, arithmetic, threads)
        return TernaryLinear(name, product, weight.scale, multiplies, threads)

    return build


def _check_rows(name: str, weight: TernaryWeight, arithmetic: Arithmetic) -> None:
    multiple = _ROW_MULTIPLE.get(arithmetic.kind, 1)
    inputs = weight.shape[1]
    if inputs % multiple:
        raise UserError(
            f"rows do not fit {arithmetic.name}",
            key=name,
            value=f"{inputs} weights",
            allowed=f"allowed: a multiple of {multiple}",
        )


def _product(name: str, weight: TernaryWeight, arithmetic: Arithmetic, threads: Threads) -> Product:
    """Return the sums of one weight under an arithmetic with int8 codes per token."""
    if arithmetic.kind == "i2_s":
        return lambda codes: lane_sums(codes, weight, threads)
    bits = arithmetic.bits
    assert bits is not None
    if arithmetic.kind == "saturate":
        return lambda codes: saturating_sums(codes, weight, bits, threads)
    exact = exact_product(weight, threads)
    return lambda codes: wrapped(exact(codes), bits)


def wrapped(sums: Sums, bits: int) -> Sums:
    """Return int32 sums cut down to their low ``bits`` (2 to 32), read as a signed number."""
    shift = np.int32(32 - bits)
    return (sums << shift) >> shift


def saturating_sums(
    codes: NDArray[np.int8], weight: TernaryWeight, bits: int, threads: Threads
) -> Sums:
    """Return int32 sums [m, outputs] of an accumulator that clamps at every addition, k ascending.

    Args:
        codes: int8 [m, k], contiguous.
        weight: Of [outputs, k].
        bits: Width of the accumulator, 2 to 32.
        threads: They share packed rows.
    """
    m, k = _checked(codes, weight).shape
    sums = np.empty((m, weight.shape[0]), np.int32)
    # No sum of fewer than 2**23 int8 codes passes 31 bits, and int32 holds one addition more.
    high = np.int32((1 << (min(bits, 31) - 1)) - 1)

    def part(first: int, last: int) -> None:
        narrow_kernels.saturate_rows(codes, weight.packed, first, last, ~high, high, sums)

    threads.split(part, len(weight.packed), m * k * weight.shape[0])
    return sums


def lane_sums(codes: NDArray[np.int8], weight: TernaryWeight, threads: Threads) -> Sums:
    """Return int32 sums [m, outputs] of int8 codes [m, k] as ``i2_s`` adds them; 128 divides k."""
    m, k = _checked(codes, weight).shape
    if k % _ROW_MULTIPLE["i2_s"]:
        raise ValueError(f"rows of {k} weights are no blocks of {_ROW_MULTIPLE['i2_s']}")
    sums = np.empty((m, weight.shape[0]), np.int32)

    def part(first: int, last: int) -> None:
        narrow_kernels.i2_s_outputs(codes, weight.packed, first, last, sums)

    threads.split(part, weight.shape[0], m * k * weight.shape[0])
    return sums


def prefix_range(
    codes: NDArray[np.int8], weight: TernaryWeight, threads: Threads
) -> tuple[int, int]:
    """Return the least and greatest running sum, k ascending, over all tokens and outputs."""
    m, k = _checked(codes, weight).shape
    extremes = np.zeros((len(weight.packed), 2), np.int32)

    def part(first: int, last: int) -> None:
        narrow_kernels.prefix_extremes(codes, weight.packed, first, last, extremes)

    threads.split(part, len(weight.packed), m * k * weight.shape[0])
    return int(extremes[:, 0].min()), int(extremes[:, 1].max())


def signed_bits(least: int, most: int) -> int:
    """Return the bits of the narrowest signed number that holds both, at least 1."""
    return max(n.bit_length() for n in (most, ~least if least < 0 else least)) + 1


def _checked(codes: NDArray[np.int8], weight: TernaryWeight) -> NDArray[np.int8]:
    fits = codes.ndim == 2 and codes.dtype == np.int8 and codes.flags.c_contiguous
    if not fits or codes.shape[1] != weight.shape[1]:
        raise ValueError(f"codes {codes.dtype} {codes.shape} do not fit weights {weight.shape}")
    return codes
