"""What every action costs on a design, and to which component and waterfall step it belongs.

A bill is a list of lines. A line says: one count of this counter uses ``quantity`` units of that
price, booked to one component and one step. Summed over lines and counts it is the energy of the
design; nothing else in the project adds energy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.config import ArrayConfig
from accelsim.formats import lookup_packing
from accelsim.hardware.actions import (
    EVENT_KINDS,
    SHARED,
    Role,
    SharedAction,
    UnitAction,
    counter,
    event_action,
)
from accelsim.hardware.characterised import Characterised
from accelsim.hardware.design import ARRAY, MAC, UNIT_CODES, VECTOR, Family, unit_pe
from accelsim.hardware.floorplan import LOGIC, Floorplan
from accelsim.hardware.memory import dram_prices
from accelsim.hardware.pe import PE
from accelsim.hardware.prices import Price, weakest
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
    trees: dict[int, Price] = {}
    for role, place in zip(Role, places, strict=True):
        # Registers of an idle unit clock under a role of their own even if the role is elsewhere.
        unit = (ARRAY, MAC, ARRAY)[role] if place == VECTOR else place
        pe = unit_pe(config, unit)
        if place == VECTOR:
            yield from _vector_mac_lines(role, technology)
        if pe is not None:
            columns, wiring = family.units[:, unit], (config.array, config.mac)[unit]
            assert wiring is not None
            bits = columns["accumulator_bits"]
            measured = plan.measured[unit]
            if unit not in trees:
                trees[unit] = _tree_price(unit, columns, measured, plan, technology)
            tree = trees[unit]
            if measured is None:
                yield from _part_lines(role, unit, pe, wiring, bits, technology)
            else:
                yield from _event_lines(role, unit, measured)
                yield from _further_register_lines(role, unit, columns, measured, tree, technology)
            sums = [UnitAction.PARTIAL_ADD, *([UnitAction.REDUCTION] if measured else [])]
            yield from _sum_lines(role, unit, pe, bits, sums, technology)
            yield from _clock_lines(role, unit, tree, technology)
            yield from _wire_lines(role, unit, family, plan, technology)
            yield from _multiplexer_lines(role, unit, family, technology)
    yield from _format_lines(family, technology)


def _component(role: Role, unit: int, name: str) -> str:
    """Attention and lm_head are components of their own where a unit of their own runs them."""
    if unit == MAC and role != Role.LINEAR:
        return role.name.lower()
    return name


def _step(role: Role, name: str) -> str:
    return name if name == MOVING else (name, ATTENTION, LM_HEAD)[role]


def _event_lines(role: Role, unit: int, measured: Characterised) -> Iterator[Line]:
    """Lines of a PE that was measured: what its operands do, booked by the shares of its parts."""
    for kind in _kinds(role):
        for event, price in measured.events.get(kind, {}).items():
            for name, share in measured.energy_shares[kind].items():
                if np.any(share) and np.any(price.high):
                    action = counter(role, event_action(kind, event))
                    step = _step(role, _STEPS[name])
                    yield Line(action, _component(role, unit, name), step, price, share)


def _kinds(role: Role) -> tuple[str, ...]:
    """Return the kinds of second operand of a role: weights of linear layers may be ternary."""
    return EVENT_KINDS if role == Role.LINEAR else ("dense",)


# The waterfall step of each part of a PE.
_STEPS = {
    "array": MATMUL,
    "reduction": CASTS,
    "accumulator": ACCUMULATORS,
    "operand_registers": STORAGE,
    "control": MOVING,
}


def _part_lines(
    role: Role,
    unit: int,
    pe: PE,
    wiring: ArrayConfig,
    accumulator_bits: Any,
    technology: Technology,
) -> Iterator[Line]:
    """Lines of a PE that is priced by its parts: products, additions, register bits that change."""
    stem, toggle = f"pe.{pe.name}", technology.price("register.toggle.energy")
    # An adder that skips selects nothing for a zero weight; a lane of a tree always does.
    skips = pe.skips_zero and wiring.organisation != "dot_product"
    selected = UnitAction.TERNARY_WEIGHT_NONZERO if skips else UnitAction.TERNARY_STEP
    rows = [(UnitAction.DENSE_STEP, "array", technology.price(f"{stem}.product.energy"), 1.0)]
    if role == Role.LINEAR:
        price = technology.price(f"{stem}.product_ternary.energy")
        rows.append((selected, "array", price, 1.0))
    wide = technology.price(f"{stem}.accumulate.energy", accumulator_bits)
    for action in (UnitAction.ADD, UnitAction.REDUCTION):
        rows.append((action, "array", technology.price(f"{stem}.add.energy"), 1.0))
        rows.append((action, "accumulator", wide, 1.0))
        # Half of the bits of a product change in the accumulator.
        rows.append((action, "accumulator", toggle, pe.product_bits / 2))
    rows.append((UnitAction.TREE_ADD, "reduction", technology.price(f"{stem}.tree.energy"), 1.0))
    if pe.fused:
        price = technology.price(f"{stem}.normalise.energy")
        rows.append((UnitAction.NORMALISE, "accumulator", price, 1.0))
    rows.append((UnitAction.OPERAND_TOGGLE, "operand_registers", toggle, 1.0))
    for action, name, price, quantity in rows:
        component, step = _component(role, unit, name), _step(role, _STEPS[name])
        yield Line(counter(role, action), component, step, price, quantity)


def _sum_lines(
    role: Role, unit: int, pe: PE, bits: Any, actions: Iterable[UnitAction], technology: Technology
) -> Iterator[Line]:
    """Lines of adders of whole sums, at accumulator width."""
    sums = technology.price("fp32_add.energy" if pe.float_sum else "int_add.energy", bits)
    for action in actions:
        component, step = _component(role, unit, "reduction"), _step(role, CASTS)
        yield Line(counter(role, action), component, step, sums)


def _tree_price(
    unit: int,
    columns: npt.NDArray[np.void],
    measured: Characterised | None,
    plan: Floorplan,
    technology: Technology,
) -> Price:
    """Return what the clock tree takes for a flop of a unit and a cycle: buffers, and wires.

    Wires are as long as flops stand apart, on average over the unit's placed area.
    """
    flops = columns["operand_register_bits"] + columns["sum_register_bits"]
    if measured is not None:
        flops = flops + measured.control_bits + measured.pipeline_bits
    owners = ARRAY_COMPONENTS if unit == ARRAY else MAC_COMPONENTS
    pitch_um = np.sqrt(plan.placed_um2(owners) / np.maximum(flops, 1))
    buffers, wire = (technology.price(f"clock.{name}.energy") for name in ("tree", "wire"))
    # 1 fJ/mm is 1e-6 pJ/um.
    value, low, high = (
        getattr(buffers, bound) + getattr(wire, bound) * pitch_um * 1e-6
        for bound in ("value", "low", "high")
    )
    return replace(
        buffers, value=value, low=low, high=high, how=weakest((buffers.how, wire.how)),
        source=f"{buffers.source}; {wire.source}",
    )  # fmt: skip


def _clock_lines(role: Role, unit: int, tree: Price, technology: Technology) -> Iterator[Line]:
    """Lines of clocked flops: their own pin, and the clock tree above them."""
    clock = technology.price("register.clock.energy")
    for action, name in _CLOCKS:
        step = _step(role, _STEPS[name])
        yield Line(counter(role, action), _component(role, unit, name), step, clock)
    yield Line(counter(role, UnitAction.IDLE_CLOCK), "clock", IDLE, clock)
    for action, _ in _CLOCKS:
        yield Line(counter(role, action), "clock", MOVING, tree)
    yield Line(counter(role, UnitAction.IDLE_CLOCK), "clock", IDLE, tree)


# Bits that clock with a word, and the part that they are of.
_CLOCKS = (
    (UnitAction.ACCUMULATOR_CLOCK, "accumulator"),
    (UnitAction.OPERAND_CLOCK, "operand_registers"),
    (UnitAction.DRAIN, "operand_registers"),
)


def _further_register_lines(
    role: Role,
    unit: int,
    columns: npt.NDArray[np.void],
    measured: Characterised,
    tree: Price,
    technology: Technology,
) -> Iterator[Line]:
    """Lines of flops that a measured PE has besides the counted ones, which clock like these.

    Operand registers that stand between PEs toggle at the price of a register.
    """
    toggle, name = technology.price("register.toggle.energy"), "operand_registers"
    component, step = _component(role, unit, name), _step(role, _STEPS[name])
    yield Line(counter(role, UnitAction.SKEW_TOGGLE), component, step, toggle)
    clock = technology.price("register.clock.energy")
    bits = columns["operand_register_bits"] + columns["sum_register_bits"]
    further = (("control", measured.control_bits), ("accumulator", measured.pipeline_bits))
    for name, more in further:
        share = more / bits
        for action in (*(action for action, _ in _CLOCKS), UnitAction.IDLE_CLOCK):
            idle = action == UnitAction.IDLE_CLOCK
            component = "clock" if idle else _component(role, unit, name)
            step = IDLE if idle else _step(role, _STEPS[name])
            yield Line(counter(role, action), component, step, clock, share)
            yield Line(counter(role, action), "clock", IDLE if idle else MOVING, tree, share)


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
