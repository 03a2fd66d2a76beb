"""Number formats and weight packings, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accelsim.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Format:
    """How one operand looks at a port: ``bits`` wide, ``kind`` ternary, int or float."""

    name: str
    bits: int
    kind: str


FORMATS = {
    row.name: row
    for row in (
        Format("ternary", 2, "ternary"),
        Format("int4", 4, "int"),
        Format("int8", 8, "int"),
        Format("int32", 32, "int"),
        Format("fp8", 8, "float"),
        Format("fp16", 16, "float"),
        Format("bf16", 16, "float"),
        Format("fp32", 32, "float"),
    )
}


@dataclass(frozen=True)
class Packing:
    """How a weight matrix lies in memory.

    Attributes:
        bits_numerator: Bits a weight, as a fraction.
        bits_denominator: Its lower part.
        decoder: Price family of the circuit that turns it into a PE port; empty where the port
            reads it as it is.
        ternary_only: Whether it holds nothing but -1, 0, +1.
        source: Where it is described.
        block: Weights of a row that are packed together.
        rest_bits: Bits a weight for what a row has past whole blocks; 0 fills a block up.
        tensor_bits: What a tensor has beside its codes, its scale for instance.
        lossless: Whether ternary weights and their float32 scale come back as they were.
    """

    name: str
    bits_numerator: int
    bits_denominator: int
    decoder: str
    ternary_only: bool
    source: str
    block: int = 1
    rest_bits: int = 0
    tensor_bits: int = 0
    lossless: bool = True

    def bits(self, outputs: int, inputs: int) -> int:
        """Return the bits of a tensor [outputs, inputs], rounded up to a whole bit."""
        row = row_numerator(
            self.bits_numerator, self.bits_denominator, self.block, self.rest_bits, inputs
        )
        return -(-outputs * int(row) // self.bits_denominator) + self.tensor_bits


def row_numerator(numerator: Any, denominator: Any, block: Any, rest_bits: Any, inputs: Any) -> Any:
    """Return the bits of a row of ``inputs`` weights times the packing's denominator.

    Arguments are the fields of a `Packing`, integers or arrays that broadcast.
    """
    rest = inputs % block
    filled = (rest > 0) * (rest_bits == 0)
    return (inputs - rest + filled * block) * numerator + rest * rest_bits * denominator


PACKINGS = {
    row.name: row
    for row in (
        Packing("ternary2", 2, 1, "decoder.ternary2", True, "HF uint8: 4 weights a byte"),
        Packing("base3", 8, 5, "decoder.base3", True, "5 ternary digits a byte, base 3"),
        # TQ rounds the scale to float16.
        Packing(
            "tq1_0", 27, 16, "decoder.base3", True, "ggml TQ1_0: 54 B / 256", 256, lossless=False
        ),
        Packing(
            "tq2_0", 33, 16, "decoder.ternary2", True, "ggml TQ2_0: 66 B / 256", 256, lossless=False
        ),
        # bitnet.cpp keeps 32 bytes for the scale of a tensor.
        Packing("i2_s", 2, 1, "decoder.ternary2", True, "bitnet.cpp I2_S", 1, 0, 256),
        Packing("tl1", 2, 1, "decoder.tl1", True, "bitnet.cpp TL1: 2 in 4 bits", 2, 0, 256),
        # Blocks of 96 inputs are its commonest tile; what is left of a row is packed as in TL1.
        Packing("tl2", 5, 3, "decoder.tl2", True, "bitnet.cpp TL2: 3 in 5 bits", 96, 2, 256),
        Packing("int8", 8, 1, "", False, "one byte a weight"),
        # Floats hold weight times scale, rounded.
        Packing("fp16", 16, 1, "", False, "IEEE 754 binary16", lossless=False),
        Packing("bf16", 16, 1, "", False, "bfloat16", lossless=False),
    )
}


def lookup_format(name: str, *, file: object = None, key: str | None = None) -> Format:
    """Return the row of ``FORMATS``; raise UserError for an unknown name."""
    if name not in FORMATS:
        raise UserError(
            "unknown number format",
            file=file,
            key=key,
            value=name,
            allowed=did_you_mean(name, FORMATS),
        )
    return FORMATS[name]


def lookup_packing(name: str, *, file: object = None, key: str | None = None) -> Packing:
    """Return the row of ``PACKINGS``; raise UserError for an unknown name."""
    if name not in PACKINGS:
        raise UserError(
            "unknown weight packing",
            file=file,
            key=key,
            value=name,
            allowed=did_you_mean(name, PACKINGS),
        )
    return PACKINGS[name]
