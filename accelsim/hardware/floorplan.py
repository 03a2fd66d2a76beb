"""Area of a design, part by part, and the lengths that follow from it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from accelsim.config import ArrayConfig, BufferConfig, DesignConfig
from accelsim.formats import lookup_format, lookup_packing
from accelsim.hardware.design import ARRAY, MAC, unit_pe
from accelsim.hardware.memory import banks_for_bandwidth, sram_bank
from accelsim.hardware.pe import PE
from accelsim.hardware.registers import operand_register_bits, sum_register_bits
from accelsim.hardware.technology import Price, Technology

LOGIC, MACRO = "logic", "macro"  # logic is placed at a density, macros are as large as they are


@dataclass(frozen=True)
class Part:
    """``count`` copies of something whose area has a price (um2 each)."""

    component: str
    name: str
    kind: str
    count: float
    price: Price


@dataclass(frozen=True)
class Sram:
    """One buffer: prices of a bit and of all its banks together."""

    banks: int
    read: Price  # pJ/bit
    write: Price  # pJ/bit
    area: Price  # um2
    leakage: Price  # mW


@dataclass(frozen=True)
class Floorplan:
    """Every part of a design; ``density`` turns cell area into placed area."""

    parts: tuple[Part, ...]
    srams: dict[str, Sram]
    density: Price

    def placed_um2(self, component: str | None = None, kind: str | None = None) -> float:
        """Return the placed area of a component, of a kind, or of everything."""
        return sum(
            part.count * float(part.price.value) / self._shrink(part)
            for part in self.parts
            if component in (None, part.component) and kind in (None, part.kind)
        )

    def _shrink(self, part: Part) -> float:
        return float(self.density.value) if part.kind == LOGIC else 1.0

    def pitch_mm(self, components: tuple[str, ...], pes: int) -> float:
        """Return the distance between neighbouring PEs of a unit made of ``components``."""
        area = sum(self.placed_um2(name) for name in components)
        return math.sqrt(area / max(pes, 1)) * 1e-3


def build_floorplan(config: DesignConfig, technology: Technology) -> Floorplan:
    """Return all parts of a design; raise UserError where the technology lacks a price."""
    srams = {
        name: _sram(technology, buffer, bits, config.clock_mhz)
        for name, buffer, bits in _buffers(config)
    }
    parts = (
        *_unit_parts(config.array, ARRAY, config, technology),
        *(_unit_parts(config.mac, MAC, config, technology) if config.mac else ()),
        *_edge_parts(config, technology),
        Part("vector", "lanes", LOGIC, config.vector.lanes, technology.price("vector.lane.area")),
        Part("control", "array control", LOGIC, 1, technology.price("control.area")),
        Part("control", "DMA", LOGIC, 1, technology.price("dma.area")),
        Part(
            "dram",
            "controller and PHY",
            MACRO,
            config.dram.bandwidth_gb_per_s,
            technology.price(f"dram.{config.dram.kind}.controller.area"),
        ),
        *(
            Part("sram", f"{name} buffer, {sram.banks} banks", MACRO, 1, sram.area)
            for name, sram in srams.items()
        ),
    )
    return Floorplan(parts, srams, technology.price("placement.density"))


def _sram(technology: Technology, buffer: BufferConfig, bits: int, clock_mhz: float) -> Sram:
    """Return a buffer with as many banks as deliver ``bits`` a cycle at the clock."""
    capacity = buffer.capacity_kib * 1024
    asked = sram_bank(technology, capacity, buffer.width_bits, buffer.banks)
    banks = int(
        banks_for_bandwidth(
            asked.access_ns.value, clock_mhz, bits, buffer.width_bits, buffer.banks
        )[0]
    )
    columns = sram_bank(technology, capacity, buffer.width_bits, banks)
    return Sram(
        banks,
        *(
            _single(price)
            for price in (
                columns.read_pj_per_bit,
                columns.write_pj_per_bit,
                columns.area_um2,
                columns.leakage_mw,
            )
        ),
    )


def _single(price: Price) -> Price:
    """Return a price of one design as a scalar."""
    return replace(price, value=price.value[0], low=price.low[0], high=price.high[0])


def _buffers(config: DesignConfig) -> Iterator[tuple[str, BufferConfig, int]]:
    """Yield each buffer with the bits a cycle that the array and the vector unit ask of it."""
    array, sram = config.array, config.sram
    pe = unit_pe(config, ARRAY)
    assert pe is not None
    activation = lookup_format(config.formats.activation).bits
    rows, cols = array.rows * array.lanes, array.cols * array.lanes
    moving = {"os": (rows, cols), "ws": (rows, cols), "is": (cols, rows)}[array.dataflow]
    # Two reads and a write for each lane is the most an elementwise primitive asks for.
    vector_bits = 3 * config.vector.lanes * activation
    yield (
        "activation",
        sram.activation,
        max(moving[0] * lookup_format(pe.activation).bits, vector_bits),
    )
    yield "weight", sram.weight, moving[1] * _stored_weight_bits(config, pe)
    read_modify_write = 1 if array.dataflow == "os" else 2
    yield "output", sram.output, array.cols * array.accumulator.bits * read_modify_write


def _stored_weight_bits(config: DesignConfig, pe: PE) -> int:
    packing = lookup_packing(config.weights.packing)
    if config.weights.decoder == "dram" and packing.decoder:
        return lookup_format(pe.weight).bits
    return -(-packing.bits_numerator // packing.bits_denominator)


def _mac_component(config: DesignConfig) -> str:
    return "attention" if config.placement.attention == "mac" else "lm_head"


def _unit_parts(
    unit: ArrayConfig, code: int, config: DesignConfig, technology: Technology
) -> Iterator[Part]:
    """Parts of one matrix unit: PEs, trees, accumulators and registers."""
    pe = unit_pe(config, code)
    assert pe is not None
    own = code == MAC
    pes = unit.rows * unit.cols
    family = f"pe.{pe.name}"
    rows = [
        ("array", "products", pes * unit.lanes, f"{family}.product.area", None),
        ("array", "adders, operand width", pes, f"{family}.add.area", None),
        (
            "accumulator",
            "adders, extra width",
            pes,
            f"{family}.accumulate.area",
            unit.accumulator.bits,
        ),
        ("reduction", "adder trees", pes * (unit.lanes - 1), f"{family}.tree.area", None),
        ("accumulator", "normalisation", pes if pe.fused else 0, f"{family}.normalise.area", None),
        (
            "accumulator",
            "accumulator registers",
            sum_register_bits(unit, pe),
            "register.area",
            None,
        ),
        (
            "operand_registers",
            "operand registers",
            operand_register_bits(unit, pe),
            "register.area",
            None,
        ),
        (
            "reduction",
            "k-fold adders",
            unit.cols if unit.dataflow != "os" else 0,
            "fp32_add.area" if pe.float_sum else "int_add.area",
            None if pe.float_sum else unit.accumulator.bits,
        ),
    ]
    for component, name, count, price, bits in rows:
        if count:
            yield Part(
                _mac_component(config) if own else component,
                name,
                LOGIC,
                count,
                technology.price(price, bits),
            )


def _edge_parts(config: DesignConfig, technology: Technology) -> Iterator[Part]:
    """Parts at the array's edge: decoders, casts, scaling on the drain."""
    array = config.array
    pe = unit_pe(config, ARRAY)
    assert pe is not None
    weight_ports = (array.rows if array.dataflow == "is" else array.cols) * array.lanes
    activation_ports = (array.cols if array.dataflow == "is" else array.rows) * array.lanes
    packing = lookup_packing(config.weights.packing)
    if packing.decoder:
        count: float = weight_ports
        if config.weights.decoder == "dram":
            bits_a_cycle = config.dram.bandwidth_gb_per_s * 8e3 / config.clock_mhz
            count = math.ceil(bits_a_cycle * packing.bits_denominator / packing.bits_numerator)
        yield Part(
            "decoder", packing.decoder, LOGIC, count, technology.price(f"{packing.decoder}.area")
        )
    if pe.float_sum and config.network_form == "ternary":
        yield Part(
            "cast",
            "int8 to float",
            LOGIC,
            activation_ports,
            technology.price("cast.int8_to_float.area"),
        )
    if config.fused.scale_on_drain:
        yield Part(
            "cast",
            "dequantise on drain",
            LOGIC,
            array.cols,
            technology.price("drain.dequantise.area"),
        )
