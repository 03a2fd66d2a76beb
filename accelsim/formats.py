"""Number formats and weight packings, one row each."""

from __future__ import annotations

from dataclasses import dataclass

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

    ``bits_numerator / bits_denominator`` bits a weight, exact; ``decoder`` names the price family
    of the circuit that turns it into a PE port, or is empty where the port reads it as it is.
    """

    name: str
    bits_numerator: int
    bits_denominator: int
    decoder: str
    ternary_only: bool
    source: str

    def bits(self, weights: int) -> int:
        """Return the bits that hold ``weights`` weights, rounded up to a whole bit."""
        return -(-weights * self.bits_numerator // self.bits_denominator)


PACKINGS = {
    row.name: row
    for row in (
        Packing("ternary2", 2, 1, "decoder.ternary2", True, "HF uint8 and I2_S: 4 weights a byte"),
        Packing("base3", 8, 5, "decoder.base3", True, "5 ternary digits a byte, base 3"),
        Packing("tq1_0", 27, 16, "decoder.base3", True, "ggml TQ1_0: 54 B / 256"),
        Packing("tq2_0", 33, 16, "decoder.ternary2", True, "ggml TQ2_0: 66 B / 256"),
        Packing("int8", 8, 1, "", False, "one byte a weight"),
        Packing("fp16", 16, 1, "", False, "IEEE 754 binary16"),
        Packing("bf16", 16, 1, "", False, "bfloat16"),
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
