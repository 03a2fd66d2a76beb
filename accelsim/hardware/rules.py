"""Rules that span fields of a design, as predicates over columns.

A run demands every rule of its one design and tells the first it breaks; a sweep leaves out the
designs that break one and counts them by reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.errors import UserError
from accelsim.formats import lookup_packing
from accelsim.hardware.design import BUFFERS, UNIT_CODES, unit_pe
from accelsim.hardware.fields import Fields
from accelsim.hardware.pe import lookup_pe

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rule:
    """One rule over G designs.

    Attributes:
        key: Path of the field that breaks it.
        message: What is wrong where it does not hold.
        holds: bool [G], or one bool for all.
        value: The field: one value for all, or an array [G].
        allowed: What would hold, one text for all or a text for each number of the design.
    """

    key: str
    message: str
    holds: Any
    value: Any
    allowed: str | Callable[[int], str]

    @property
    def reason(self) -> str:
        """What designs that break it are counted under."""
        return f"{self.key}: {self.message}"

    def demand(self, member: int, file: object) -> None:
        """Raise UserError where design number ``member`` breaks the rule."""
        if bool(_of(self.holds, member)):
            return
        text = self.allowed if isinstance(self.allowed, str) else self.allowed(member)
        value = _of(self.value, member)
        raise UserError(self.message, file=file, key=self.key, value=value, allowed=text)


def _of(values: Any, member: int) -> Any:
    """Return what design number ``member`` has: an element of an array, or what all share."""
    if not isinstance(values, np.ndarray) or values.ndim == 0:
        return values
    return values[member].item()


def design_rules(fields: Fields) -> Iterator[Rule]:
    """Yield the rules that a design obeys whatever it runs; names must resolve."""
    yield from _unit_rules(fields, "array")
    if fields.config.mac is not None:
        yield from _unit_rules(fields, "mac")
    yield from _role_rules(fields)
    yield _packing_rule(fields)
    for name in BUFFERS:
        yield _stream_rule(fields, name)
    order = fields.config.sram.resident
    yield Rule(
        "sram.resident",
        "a class is named twice",
        len(set(order)) == len(order),
        order,
        "each of norm, cache, weights, head at most once",
    )


def _unit_rules(fields: Fields, key: str) -> Iterator[Rule]:
    """Yield what organisation, dataflow, lanes and PE of a matrix unit ask of each other."""
    unit = getattr(fields.config, key)
    pe = lookup_pe(unit.pe)
    dot = unit.organisation == "dot_product"
    lanes, bits = fields.number(f"{key}.lanes"), fields.number(f"{key}.accumulator.bits")
    yield Rule(
        f"{key}.lanes",
        "a systolic PE has one lane",
        True if dot else np.equal(lanes, 1),
        lanes,
        "allowed: 1",
    )
    yield Rule(
        f"{key}.dataflow",
        "dot-product units are output stationary",
        not dot or unit.dataflow == "os",
        unit.dataflow,
        "allowed: os",
    )
    yield Rule(
        f"{key}.dataflows",
        "only a systolic array takes several dataflows, each named once, its fixed one among them",
        not unit.dataflows
        or (
            not dot
            and unit.dataflow in unit.dataflows
            and len(set(unit.dataflows)) == len(unit.dataflows)
        ),
        unit.dataflows,
        "allowed: [] or, of a systolic array, its dataflow and others",
    )
    yield Rule(
        f"{key}.organisation",
        "a fused PE has no systolic form",
        dot or not pe.fused,
        unit.organisation,
        "allowed: dot_product",
    )
    yield Rule(
        f"{key}.accumulator.bits",
        "a floating sum is float32",
        np.equal(bits, 32) if pe.float_sum else True,
        bits,
        "allowed: 32",
    )


def _role_rules(fields: Fields) -> Iterator[Rule]:
    """Attention and lm_head multiply values that are not ternary: their unit must be floating."""
    config = fields.config
    for role in ("attention", "lm_head"):
        place = getattr(config.placement, role)
        missing = place == "mac" and config.mac is None
        yield Rule(
            f"placement.{role}",
            "the design has no mac",
            not missing,
            place,
            "allowed: array, vector",
        )
        pe = unit_pe(config, UNIT_CODES[place])
        if pe is not None:
            yield Rule(
                f"placement.{role}",
                f"{role} needs a floating multiplier, PE {pe.name} has none",
                pe.dense,
                place,
                "allowed: a unit with a floating PE, or vector",
            )


def _packing_rule(fields: Fields) -> Rule:
    pe = lookup_pe(fields.config.array.pe)
    packing = lookup_packing(fields.config.weights.packing)
    return Rule(
        "weights.packing",
        f"packing has no decoder to the {pe.weight} port of PE {pe.name}",
        bool(packing.decoder) or packing.name == pe.weight,
        packing.name,
        f"allowed: {pe.weight} or a ternary packing",
    )


def _stream_rule(fields: Fields, name: str) -> Rule:
    capacity = np.asarray(fields.number(f"sram.{name}.capacity_kib"))
    stream = np.asarray(fields.number(f"sram.{name}.stream_kib"))
    return Rule(
        f"sram.{name}.stream_kib",
        "larger than capacity_kib",
        stream <= capacity,
        stream,
        lambda member: f"allowed: at most {_of(capacity, member)}",
    )
