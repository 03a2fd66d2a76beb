"""Which part of a PE each cell of a netlist belongs to: multiplier, adder, registers, control.

Names come from a netlist whose modules were mapped one by one. What modules share when they are
optimised together is lost there, so parts are scaled to the total of the flat netlist.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from accelsim.rtl.characterise import Mapped

MULTIPLIER, ADDER, ACCUMULATOR = "multiplier or selector", "adder", "accumulator"
OPERANDS, PIPELINE, DRAIN, CONTROL = (
    "operand registers",
    "pipeline registers",
    "drain word",
    "control",
)
PARTS = (MULTIPLIER, ADDER, ACCUMULATOR, OPERANDS, PIPELINE, DRAIN, CONTROL)

# The first pattern that is found in a name decides.
_FLOPS = (
    (r"u_accumulators\.sums|^sum\b", ACCUMULATOR),
    (r"u_accumulators\.word", DRAIN),
    (r"^(a|w|x)\b|held|shadow|u_chain", OPERANDS),
    (r"^u_(mac|dot|sum)\b", PIPELINE),
)
_GATES = (
    (r"multipl|select|decode|shorten|product", MULTIPLIER),
    (r"^u_(mac|dot|sum)\b", ADDER),
    (r"^u_accumulators\b", ACCUMULATOR),
)


def part_of(name: str, is_flop: bool) -> str:
    """Return the part that an instance belongs to, by its name in the source's hierarchy."""
    path = name.replace("$flatten", "").replace("\\", "")
    found = (part for pattern, part in (_FLOPS if is_flop else _GATES) if re.search(pattern, path))
    return next(found, CONTROL)


def parts_of(mapped: Mapped) -> list[str]:
    """Return the part of each unit of a circuit."""
    return [part_of(unit.name, unit.cell.flop is not None) for unit in mapped.circuit.units]


def shares(parts: Sequence[str], amounts: Sequence[float]) -> dict[str, float]:
    """Return each part's share of the sum of ``amounts``; they add up to 1."""
    totals = dict.fromkeys(PARTS, 0.0)
    for part, amount in zip(parts, amounts, strict=True):
        totals[part] += float(amount)
    whole = sum(totals.values())
    return {part: total / whole for part, total in totals.items()}
