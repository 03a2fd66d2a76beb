"""Area of designs, part by part, and the lengths that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.config import ArrayConfig
from accelsim.formats import lookup_packing
from accelsim.hardware.characterised import Characterised, find_characterised
from accelsim.hardware.design import (
    ARRAY,
    BUFFERS,
    MAC,
    UNIT_CODES,
    VECTOR,
    Decoder,
    Family,
    Organisation,
    unit_pe,
)
from accelsim.hardware.memory import (
    OUT_OF_REACH,
    bank_access,
    banks_for_bandwidth,
    banks_in_reach,
    dram_prices,
    sram_bank,
)
from accelsim.hardware.pe import PE
from accelsim.hardware.prices import Price
from accelsim.hardware.registers import has_drain_adders, multiplexed_bits
from accelsim.hardware.rules import Rule
from accelsim.hardware.technology import Technology

LOGIC, MACRO = "logic", "macro"  # logic is placed at a density, macros are as large as they are

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """``count`` copies [G] of something whose area has a price (um2 each)."""

    component: str
    name: str
    kind: str
    count: Any  # a number, or an array over the family
    price: Price


@dataclass(frozen=True)
class Sram:
    """One buffer in every design of a family: prices of a bit and of all its banks together."""

    banks: Integers  # [G]
    read: Price  # pJ/bit
    write: Price  # pJ/bit
    area: Price  # um2
    leakage: Price  # mW


@dataclass(frozen=True)
class Floorplan:
    """Every part of a family of ``size`` designs; ``density`` turns cell area into placed area.

    ``measured`` has the PE of each unit where it was measured, by unit code.
    """

    size: int
    parts: tuple[Part, ...]
    srams: dict[str, Sram]
    density: Price
    measured: tuple[Characterised | None, ...]
    _areas: dict[tuple[int, str], Floats] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def part_um2(self, part: Part, bound: str = "value") -> Floats:
        """Return the placed area of a part, [G]; a low density makes a large part."""
        key = id(part), bound
        if key not in self._areas:
            opposite = {"value": "value", "low": "high", "high": "low"}[bound]
            density = getattr(self.density, opposite) if part.kind == LOGIC else 1.0
            area = np.asarray(part.count * getattr(part.price, bound) / density, dtype=np.float64)
            self._areas[key] = np.broadcast_to(area, self.size)
        return self._areas[key]

    def placed_um2(self, components: tuple[str, ...] = (), kind: str | None = None) -> Floats:
        """Return the placed area of some components, of a kind, or of everything, [G]."""
        total = np.zeros(self.size)
        for part in self.parts:
            if (not components or part.component in components) and kind in (None, part.kind):
                total += self.part_um2(part)
        return total


def build_floorplan(family: Family, technology: Technology) -> Floorplan:
    """Return all parts of a family; raise UserError where the technology lacks a price."""
    config, machines = family.config, family.machines
    srams = {name: _sram(family, technology, name) for name in BUFFERS}
    measured = tuple(_measured(family, unit, technology) for unit in (ARRAY, MAC))
    parts = (
        *_unit_parts(family, ARRAY, config.array, measured[ARRAY], technology),
        *(_unit_parts(family, MAC, config.mac, measured[MAC], technology) if config.mac else ()),
        *_edge_parts(family, technology),
        Part(
            "vector", "lanes", LOGIC, machines["vector_lanes"], technology.price("vector.lane.area")
        ),
        Part("control", "array control", LOGIC, 1, technology.price("control.area")),
        Part("control", "DMA", LOGIC, 1, technology.price("dma.area")),
        Part(
            "dram",
            "controller and PHY",
            MACRO,
            machines["dram_gb_per_s"],
            dram_prices(technology, config.dram.kind).controller_area,
        ),
        *(Part("sram", f"{name} buffer", MACRO, 1, sram.area) for name, sram in srams.items()),
    )
    density = technology.price("placement.density")
    return Floorplan(len(machines), parts, srams, density, measured)


def _measured(family: Family, code: int, technology: Technology) -> Characterised | None:
    """Return the measured PE of a unit, None where there is none."""
    pe, wiring = unit_pe(family.config, code), (family.config.array, family.config.mac)[code]
    if pe is None or wiring is None:
        return None
    return find_characterised(technology, pe, wiring, family.units[:, code])


def _sram(family: Family, technology: Technology, name: str) -> Sram:
    """Return a buffer with as many banks as deliver what is asked of it in every cycle."""
    banks = _banks(family, technology, name)
    capacity, width, _ = _buffer(family, name)
    bank = sram_bank(technology, capacity, width, banks)
    return Sram(banks, bank.read_pj_per_bit, bank.write_pj_per_bit, bank.area_um2, bank.leakage_mw)


def _buffer(family: Family, name: str) -> tuple[Any, Any, Any]:
    """Return capacity in bytes, port width in bits and the banks a design asks for, [G] each."""
    machines = family.machines
    capacity = machines[f"{name}_stream"].copy()
    if name != "output":
        capacity += machines[f"{name}_keep"]
    return capacity, machines[f"{name}_width"], machines[f"{name}_banks"]


def _banks(family: Family, technology: Technology, name: str) -> Integers:
    capacity, width, least = _buffer(family, name)
    time_ns = bank_access(technology, capacity, width, least).value
    asked = _bits_per_cycle(family, name)
    return banks_for_bandwidth(time_ns, family.machines["clock_mhz"], asked, width, least)


def memory_rules(family: Family, technology: Technology) -> Iterator[Rule]:
    """Yield that every buffer, as it is written and as it is built, can be priced."""
    for name in BUFFERS:
        capacity, width, least = _buffer(family, name)
        holds = banks_in_reach(technology, capacity, width, least)
        if holds.any():
            banks = _banks(family.some(holds), technology, name)
            holds[holds] = banks_in_reach(technology, capacity[holds], width[holds], banks)
        yield Rule(
            f"sram.{name}",
            OUT_OF_REACH,
            holds,
            capacity // 1024,
            "allowed: sizes of a bank that the memory model reaches",
        )


def _bits_per_cycle(family: Family, name: str) -> Any:
    """Return the most bits a cycle that a buffer must deliver or take, over all roles, [G]."""
    machines = family.machines
    if name == "output":
        return np.maximum.reduce([_sums_per_cycle(family, code) for code in _codes(family)])
    activations, weights = _ports(family, ARRAY)
    unit = family.units[:, ARRAY]
    if name == "weight":
        packed = -(-machines["packing_numerator"] // machines["packing_denominator"])
        unpacked = machines["decoder"] == Decoder.DRAM
        linear = weights * np.where(unpacked, unit["weight_bits"], packed)
        return np.maximum(linear, _role_ports(family, "lm_head")[1] * machines["head_bits"])
    # Two reads and a write for each lane is the most an elementwise primitive asks for.
    vector = 3 * machines["vector_lanes"] * machines["activation_bits"]
    queries, keys = _role_ports(family, "attention")
    attention = queries * machines["activation_bits"] + keys * machines["kv_bits"]
    return np.maximum.reduce([activations * unit["activation_bits"], vector, attention])


def _codes(family: Family) -> tuple[int, ...]:
    return (ARRAY, MAC) if family.config.mac else (ARRAY,)


def _sums_per_cycle(family: Family, code: int) -> Any:
    """Return bits of sums that leave a unit in a cycle; partial ones are also read back."""
    unit = family.units[:, code]
    return unit["cols"] * unit["accumulator_bits"] * np.where(unit["drain_adders"] == 1, 2, 1)


def _role_ports(family: Family, role: str) -> tuple[Any, Any]:
    """Return moving and second operands a cycle of the unit that runs a role, [G] each."""
    place = UNIT_CODES[getattr(family.config.placement, role)]
    if place == VECTOR:
        lanes = family.machines["vector_lanes"]
        return lanes, lanes
    return _ports(family, place)


def _ports(family: Family, code: int) -> tuple[Any, Any]:
    """Return moving and second operands that enter a unit's edge in a cycle, [G] each."""
    unit = family.units[:, code]
    rows, cols = unit["rows"] * unit["lanes"], unit["cols"] * unit["lanes"]
    held_inputs = unit["dataflows"] & (1 << Organisation.SYSTOLIC_IS) != 0
    alone = unit["dataflows"] == 1 << Organisation.SYSTOLIC_IS
    either = np.where(held_inputs, np.maximum(rows, cols), 0)
    return (
        np.where(alone, cols, np.maximum(rows, either)),
        np.where(alone, rows, np.maximum(cols, either)),
    )


def _unit_parts(
    family: Family,
    code: int,
    config: ArrayConfig,
    measured: Characterised | None,
    technology: Technology,
) -> Iterator[Part]:
    """Parts of one matrix unit: PEs, trees, accumulators and registers."""
    pe, unit = unit_pe(family.config, code), family.units[:, code]
    assert pe is not None
    bits = unit["accumulator_bits"]
    if measured is None:
        rows = _composed_parts(pe, config, unit, technology)
    else:
        rows = _measured_parts(measured, unit)
    if has_drain_adders(config):
        sums = technology.price("fp32_add.area" if pe.float_sum else "int_add.area", bits)
        rows.append(("reduction", "k-fold adders", unit["cols"], sums))
    for component, part, count, price in rows:
        owner = _mac_component(family) if code == MAC else component
        yield Part(owner, part, LOGIC, count, price)


def _measured_parts(
    measured: Characterised, unit: npt.NDArray[np.void]
) -> list[tuple[str, str, Any, Price]]:
    """Return component, name, count and price of the parts of PEs that were measured."""
    pes = unit["rows"] * unit["cols"]
    return [
        (part, f"PE, {part.replace('_', ' ')}", pes, price)
        for part, price in measured.area.items()
        if np.any(price.high)
    ]


def _composed_parts(
    pe: PE, config: ArrayConfig, unit: npt.NDArray[np.void], technology: Technology
) -> list[tuple[str, str, Any, Price]]:
    """Return component, name, count and price of the parts that PEs are made of."""
    pes = unit["rows"] * unit["cols"]
    name, bits = f"pe.{pe.name}", unit["accumulator_bits"]
    rows: list[tuple[str, str, Any, str, Any]] = [
        ("array", "products", pes * unit["lanes"], f"{name}.product.area", None),
        ("array", "adders, operand width", pes, f"{name}.add.area", None),
        ("accumulator", "adders, extra width", pes, f"{name}.accumulate.area", bits),
        ("accumulator", "registers", unit["sum_register_bits"], "register.area", None),
        ("operand_registers", "registers", unit["operand_register_bits"], "register.area", None),
    ]
    if config.organisation == "dot_product":
        adders = pes * (unit["lanes"] - 1)
        rows.append(("reduction", "adder trees", adders, f"{name}.tree.area", None))
    if pe.fused:
        rows.append(("accumulator", "normalisation", pes, f"{name}.normalise.area", None))
    if len(config.dataflows) > 1:
        ways = pes * multiplexed_bits(config, unit)
        rows.append(("operand_registers", "multiplexers", ways, "dataflow.mux.area", None))
    return [
        (component, part, count, technology.price(price, width))
        for component, part, count, price, width in rows
    ]


def _mac_component(family: Family) -> str:
    """The mac unit's area goes to attention, or to the lm_head where it serves that alone."""
    return "attention" if family.config.placement.attention == "mac" else "lm_head"


def _edge_parts(family: Family, technology: Technology) -> Iterator[Part]:
    """Parts at the array's edge: decoders, casts, scaling on the drain."""
    config, machines = family.config, family.machines
    pe = unit_pe(config, ARRAY)
    assert pe is not None
    activations, weights = _ports(family, ARRAY)
    packing = lookup_packing(config.weights.packing)
    if packing.decoder:
        count = weights
        if config.weights.decoder == "dram":
            bits = machines["dram_gb_per_s"] * 8e3 / machines["clock_mhz"]
            count = np.ceil(bits * packing.bits_denominator / packing.bits_numerator)
        yield Part(
            "decoder", packing.decoder, LOGIC, count, technology.price(f"{packing.decoder}.area")
        )
    if pe.float_sum and config.network_form == "ternary":
        yield Part(
            "cast", "int8 to float", LOGIC, activations, technology.price("cast.int8_to_float.area")
        )
    if config.fused.scale_on_drain:
        yield Part(
            "cast",
            "dequantise on drain",
            LOGIC,
            family.units[:, ARRAY]["cols"],
            technology.price("drain.dequantise.area"),
        )
