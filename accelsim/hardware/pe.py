"""PE types: which operands a PE takes, and which actions a step of it performs.

A row says what happens in a step; what it costs stands in the technology under ``pe.NAME.ACTION``.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.errors import UserError, did_you_mean


@dataclass(frozen=True)
class PE:
    """One PE type.

    Attributes:
        activation: Port format of the moving operand.
        weight: Port format of the second operand.
        skips_zero: A zero weight starts no addition (the registers are clocked all the same).
        multiplies: The step forms a product; an adder-only PE selects and adds.
        fused: Products of a dot-product unit are aligned and added as one wide integer.
        float_sum: The running sum is float32; else an integer of the design's width.
        product_bits: Bits of one product as it enters the adder. Half of them are taken to toggle
            in the accumulator at each addition.
        latency: Cycles of an accumulate unless the design says otherwise.
        interval: Cycles between two accumulates of one PE.
    """

    name: str
    activation: str
    weight: str
    skips_zero: bool
    multiplies: bool
    fused: bool
    float_sum: bool
    product_bits: int
    latency: int
    interval: int
    description: str

    @property
    def dense(self) -> bool:
        """Whether the PE can multiply activations by activations in floating point."""
        return self.float_sum


PES = {
    row.name: row
    for row in (
        PE(
            "ternary_add",
            "int8",
            "ternary",
            True,
            False,
            False,
            False,
            8,
            1,
            1,
            "adds, subtracts or skips an int8 activation",
        ),
        PE(
            "int8_mac",
            "int8",
            "int8",
            False,
            True,
            False,
            False,
            16,
            1,
            1,
            "int8 multiplier, integer accumulate",
        ),
        PE(
            "fp16_fmac",
            "fp16",
            "fp16",
            False,
            True,
            False,
            True,
            32,
            3,
            1,
            "discrete fp16 multiply, fp32 accumulate, each rounded",
        ),
        PE(
            "bf16_fmac",
            "bf16",
            "bf16",
            False,
            True,
            False,
            True,
            32,
            3,
            1,
            "discrete bf16 multiply, fp32 accumulate, each rounded",
        ),
        PE(
            "fp16_fused",
            "fp16",
            "fp16",
            False,
            True,
            True,
            True,
            32,
            3,
            1,
            "fp16 products aligned and added as one integer, normalised once a cycle",
        ),
        PE(
            "bf16_fused",
            "bf16",
            "bf16",
            False,
            True,
            True,
            True,
            32,
            3,
            1,
            "bf16 products aligned and added as one integer, normalised once a cycle",
        ),
    )
}

# Bits that change at a PE's weight port for 0<->+1, 0<->-1, +1<->-1, from the codes themselves:
# ternary 00 01 11, int4 0x0 0x1 0xF, int8 0x00 0x01 0xFF, fp16 0x0000 0x3C00 0xBC00,
# bf16 0x0000 0x3F80 0xBF80.
TERNARY_TOGGLES = {
    "ternary": (1, 2, 1),
    "int4": (1, 4, 3),
    "int8": (1, 8, 7),
    "fp16": (4, 5, 1),
    "bf16": (7, 8, 1),
}


def lookup_pe(name: str, *, file: object = None, key: str | None = None) -> PE:
    """Return the row of ``PES``; raise UserError for an unknown name."""
    if name not in PES:
        raise UserError(
            "unknown PE type", file=file, key=key, value=name, allowed=did_you_mean(name, PES)
        )
    return PES[name]
