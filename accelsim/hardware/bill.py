"""What every action costs on a design, and to which component and waterfall step it belongs.

A bill is a list of lines. A line says: one count of this counter uses ``quantity`` units of that
price, booked to one component and one step. Summed over lines and counts it is the energy of the
design; nothing else in the project adds energy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from accelsim.formats import lookup_packing
from accelsim.hardware.actions import SHARED, Role, SharedAction, UnitAction, counter
from accelsim.hardware.design import ARRAY, MAC, UNIT_CODES, VECTOR, Family, unit_pe
from accelsim.hardware.floorplan import LOGIC, Floorplan
from accelsim.hardware.memory import dram_prices
from accelsim.hardware.pe import PE
from accelsim.hardware.prices import Price
from accelsim.hardware.technology import Technology

MATMUL, ACCUMULATORS, CASTS, ATTENTION, ELEMENTWISE = (
    "matmul",
    "accumulators",
    "casts, scales and reductions",
    "attention",
    "norms, softmax, elementwise",
)
LM_HEAD, STORAGE, DRAM, MOVING, IDLE = (
    "lm_head",
    "SRAM and registers",
    "DRAM",
    "clock, wires and control",
    "leakage and idle",
)

# Register-file operands of a lane primitive: two reads and a write.
OPERANDS_OF_PRIMITIVE = 3
# Whose area decides how far apart the PEs of array and mac stand.
ARRAY_COMPONENTS = ("array", "accumulator", "operand_registers", "reduction")
MAC_COMPONENTS = ("attention", "lm_head")
# Random bits change in half of all transfers.
WIRE_ACTIVITY = 0.5


@dataclass(frozen=True)
class Line:
    """``energy_pj = count[counter] * quantity * price``."""

    counter: int
    component: str
    step: str
    price: Price
    quantity: Any = 1.0  # a number, or an array over the family


def energy_lines(family: Family, plan: Floorplan, technology: Technology) -> tuple[Line, ...]:
    """Return every line of a family's bill.

    Raises:
        UserError: The technology lacks a price.
    """
    return (
        *_unit_lines(family, plan, technology),
        *_vector_lines(technology),
        *_memory_lines(family, plan, technology),
        *_standing_lines(family, plan, technology),
    )


def _unit_lines(family: Family, plan: Floorplan, technology: Technology) -> Iterator[Line]:
    """Lines of the matrix units, role by role."""
    config = family.config
    places = (ARRAY, UNIT_CODES[config.placement.attention], UNIT_CODES[config.placement.lm_head])
    for role, place in zip(Role, places, strict=True):
        # Registers of an idle unit clock under a role of their own even if the role is elsewhere.
        unit = (ARRAY, MAC, ARRAY)[role] if place == VECTOR else place
        pe = unit_pe(config, unit)
        if place == VECTOR:
            yield from _vector_mac_lines(role, technology)
        if pe is not None:
            width = family.units[:, unit]["accumulator_bits"]
            yield from _pe_lines(role, unit, pe, width, technology)
            yield from _register_lines(role, unit, technology)
            yield from _wire_lines(role, unit, family, plan, technology)
            yield from _multiplexer_lines(role, unit, family, technology)
    yield from _format_lines(family, technology)


def _component(role: Role, unit: int, name: str) -> str:
    """Attention and lm_head are components of their own where a unit of their own runs them."""
    if unit == MAC and role != Role.LINEAR:
        return role.name.lower()
    return name


def _step(role: Role, name: str) -> str:
    return (name, ATTENTION, LM_HEAD)[role]


def _pe_lines(
    role: Role, unit: int, pe: PE, accumulator_bits: Any, technology: Technology
) -> Iterator[Line]:
    """Lines of one PE type's own actions."""
    family = f"pe.{pe.name}"
    partial = "fp32_add.energy" if pe.float_sum else "int_add.energy"
    rows = [
        (UnitAction.PRODUCT, "array", MATMUL, f"{family}.product.energy", None),
        (UnitAction.ADD, "array", MATMUL, f"{family}.add.energy", None),
        (
            UnitAction.ACCUMULATE,
            "accumulator",
            ACCUMULATORS,
            f"{family}.accumulate.energy",
            accumulator_bits,
        ),
        (UnitAction.TREE_ADD, "reduction", CASTS, f"{family}.tree.energy", None),
        (
            UnitAction.PARTIAL_ADD,
            "reduction",
            CASTS,
            partial,
            None if pe.float_sum else accumulator_bits,
        ),
    ]
    rows.append(
        (UnitAction.PRODUCT_TERNARY, "array", MATMUL, f"{family}.product_ternary.energy", None)
    )
    if pe.fused:
        rows.append(
            (UnitAction.NORMALISE, "accumulator", ACCUMULATORS, f"{family}.normalise.energy", None)
        )
    for action, name, step, price, bits in rows:
        yield Line(
            counter(role, action),
            _component(role, unit, name),
            _step(role, step),
            technology.price(price, bits),
        )


def _register_lines(role: Role, unit: int, technology: Technology) -> Iterator[Line]:
    """Lines of flops: their own pin, their toggles, and the clock tree above them."""
    clock = technology.price("register.clock.energy")
    toggle = technology.price("register.toggle.energy")
    tree = technology.price("clock.tree.energy")
    rows = (
        (UnitAction.ACCUMULATOR_CLOCK, "accumulator", ACCUMULATORS, clock),
        (UnitAction.ACCUMULATOR_TOGGLE, "accumulator", ACCUMULATORS, toggle),
        (UnitAction.OPERAND_CLOCK, "operand_registers", STORAGE, clock),
        (UnitAction.OPERAND_TOGGLE, "operand_registers", STORAGE, toggle),
        (UnitAction.DRAIN, "operand_registers", STORAGE, clock),
    )
    for action, name, step, price in rows:
        yield Line(counter(role, action), _component(role, unit, name), _step(role, step), price)
    yield Line(counter(role, UnitAction.IDLE_CLOCK), "clock", IDLE, clock)
    for action, step in (
        (UnitAction.ACCUMULATOR_CLOCK, MOVING),
        (UnitAction.OPERAND_CLOCK, MOVING),
        (UnitAction.DRAIN, MOVING),
        (UnitAction.IDLE_CLOCK, IDLE),
    ):
        yield Line(counter(role, action), "clock", step, tree)


def _wire_lines(
    role: Role, unit: int, family: Family, plan: Floorplan, technology: Technology
) -> Iterator[Line]:
    """Operands travel one PE pitch for every register they change."""
    owners = ARRAY_COMPONENTS if unit == ARRAY else MAC_COMPONENTS
    pes = family.units[:, unit]["rows"] * family.units[:, unit]["cols"]
    pitch_mm = np.sqrt(plan.placed_um2(owners) / np.maximum(pes, 1)) * 1e-3
    yield Line(
        counter(role, UnitAction.OPERAND_TOGGLE),
        "interconnect",
        MOVING,
        technology.price("wire.energy"),
        pitch_mm * 1e-3,
    )


def _multiplexer_lines(
    role: Role, unit: int, family: Family, technology: Technology
) -> Iterator[Line]:
    """Where an array takes several dataflows, each bit passes as many inputs more on its way."""
    config = family.config.array if unit == ARRAY else family.config.mac
    assert config is not None
    if len(config.dataflows) > 1:
        for action in (UnitAction.OPERAND_CLOCK, UnitAction.ACCUMULATOR_CLOCK):
            yield Line(
                counter(role, action),
                _component(role, unit, "operand_registers"),
                _step(role, STORAGE),
                technology.price("dataflow.mux.energy"),
                len(config.dataflows) - 1,
            )


def _vector_mac_lines(role: Role, technology: Technology) -> Iterator[Line]:
    step = (MATMUL, ATTENTION, LM_HEAD)[role]
    for price, quantity in (
        ("vector.mul.energy", 1),
        ("vector.add.energy", 1),
        ("vector.register.energy", 2 * OPERANDS_OF_PRIMITIVE),
    ):
        yield Line(
            counter(role, UnitAction.VECTOR_MAC), "vector", step, technology.price(price), quantity
        )


def _format_lines(family: Family, technology: Technology) -> Iterator[Line]:
    """Lines of decoders and of the casts at a floating port."""
    decoder = lookup_packing(family.config.weights.packing).decoder
    if decoder:
        yield Line(
            counter(Role.LINEAR, UnitAction.DECODE),
            "decoder",
            CASTS,
            technology.price(f"{decoder}.energy"),
        )
    yield Line(
        counter(Role.LINEAR, UnitAction.CAST),
        "cast",
        CASTS,
        technology.price("cast.int8_to_float.energy"),
    )
    yield Line(
        SHARED + SharedAction.DRAIN_DEQUANTISE,
        "cast",
        CASTS,
        technology.price("drain.dequantise.energy"),
    )


def _vector_lines(technology: Technology) -> Iterator[Line]:
    """Lines of the vector unit: the primitive, and its operands in the register file."""
    register = technology.price("vector.register.energy")
    casts = {"quantise", "dequantise", "convert"}
    for name in ("add", "mul", "compare", "exp", "rsqrt", "reciprocal", *sorted(casts)):
        action = SHARED + SharedAction[f"VECTOR_{name.upper()}"]
        component, step = ("cast", CASTS) if name in casts else ("vector", ELEMENTWISE)
        yield Line(action, component, step, technology.price(f"vector.{name}.energy"))
        yield Line(action, component, step, register, OPERANDS_OF_PRIMITIVE)
    absmax = SHARED + SharedAction.SCALE_COMPARE
    yield Line(absmax, "cast", CASTS, technology.price("vector.compare.energy"))
    yield Line(absmax, "cast", CASTS, register, OPERANDS_OF_PRIMITIVE)


def _memory_lines(family: Family, plan: Floorplan, technology: Technology) -> Iterator[Line]:
    """Lines of SRAM bits, the wires from there to the units, DRAM bytes, and control."""
    wire = technology.price("wire.energy")
    # Half the side of the placed area lies between a buffer and the unit it feeds.
    buffers_mm = np.sqrt(plan.placed_um2() * 1e-6) / 2
    for name, sram in plan.srams.items():
        for direction, price in (("READ", sram.read), ("WRITE", sram.write)):
            action = SHARED + SharedAction[f"{name.upper()}_{direction}"]
            yield Line(action, "sram", STORAGE, price)
            yield Line(action, "interconnect", MOVING, wire, WIRE_ACTIVITY * buffers_mm * 1e-3)
    dram = dram_prices(technology, family.config.dram.kind)
    for shared in (SharedAction.DRAM_READ, SharedAction.DRAM_WRITE):
        for price in (dram.energy, dram.controller_energy):
            yield Line(SHARED + shared, "dram", DRAM, price, 8)
    for shared, energy in (
        (SharedAction.INSTRUCTION, "control.instruction.energy"),
        (SharedAction.CONTROL_CYCLE, "control.cycle.energy"),
    ):
        yield Line(SHARED + shared, "control", MOVING, technology.price(energy))


def _standing_lines(family: Family, plan: Floorplan, technology: Technology) -> Iterator[Line]:
    """Lines of power over time: 1 mW for a cycle of 1/f MHz is 1000/f pJ."""
    cycle_pj = 1e3 / family.machines["clock_mhz"]
    action = SHARED + SharedAction.CYCLE
    logic_mm2 = plan.placed_um2(kind=LOGIC) * 1e-6
    yield Line(action, "leakage", IDLE, technology.price("leakage.logic"), logic_mm2 * cycle_pj)
    for sram in plan.srams.values():
        yield Line(action, "leakage", IDLE, sram.leakage, cycle_pj)
    background = dram_prices(technology, family.config.dram.kind).background
    yield Line(action, "dram", DRAM, background, family.machines["dram_gib"] * cycle_pj)
