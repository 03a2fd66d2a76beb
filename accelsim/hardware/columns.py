"""From designs as they are written to designs as columns: the one way, for a run and for a sweep.

A family has one config for names and choices, and for every number either that config's or a
column. A single design is a family of one without columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from accelsim.config import DesignConfig
from accelsim.formats import lookup_format, lookup_packing
from accelsim.hardware.design import (
    ARRAY,
    BUFFERS,
    MAC,
    MACHINE_DTYPE,
    UNIT_CODES,
    UNIT_DTYPE,
    Decoder,
    Designs,
    Family,
    Gating,
    Organisation,
    Resident,
)
from accelsim.hardware.fields import STORED, Fields, resolve_names
from accelsim.hardware.pe import TERNARY_TOGGLES, lookup_pe
from accelsim.hardware.registers import (
    dataflows_of,
    has_drain_adders,
    operand_register_bits,
    sum_register_bits,
)
from accelsim.hardware.rules import design_rules

DATAFLOWS = {
    "os": Organisation.SYSTOLIC_OS,
    "ws": Organisation.SYSTOLIC_WS,
    "is": Organisation.SYSTOLIC_IS,
}


def build_designs(configs: Iterable[DesignConfig], files: Sequence[object] = ()) -> Designs:
    """Resolve every name and return the designs as columns.

    Args:
        configs: Validated designs.
        files: Where each came from, for error messages; its name where missing.

    Raises:
        UserError: An unknown name, or units that do not fit together.
    """
    rows = tuple(configs)
    units = np.zeros((len(rows), 2), dtype=UNIT_DTYPE)
    machines = np.zeros(len(rows), dtype=MACHINE_DTYPE)
    for index, config in enumerate(rows):
        file = files[index] if index < len(files) else config.name
        resolve_names(config, file)
        fields = Fields(config)
        for rule in design_rules(fields):
            rule.demand(0, file)
        family = build_family(fields)
        units[index], machines[index] = family.units[0], family.machines[0]
    for table in (units, machines):
        table.setflags(write=False)
    return Designs(rows, units, machines)


def build_family(fields: Fields) -> Family:
    """Return the tables of a family whose names resolve; its designs need not obey any rule."""
    units = np.zeros((fields.size, 2), dtype=UNIT_DTYPE)
    machines = np.zeros(fields.size, dtype=MACHINE_DTYPE)
    _fill_unit(units[:, ARRAY], fields, "array")
    if fields.config.mac is not None:
        _fill_unit(units[:, MAC], fields, "mac")
    _fill_choices(machines, fields)
    _fill_memory(machines, fields)
    _fill_resident(machines, fields.config)
    for table in (units, machines):
        table.setflags(write=False)
    return Family(fields.config, units, machines)


def _fill_unit(unit: npt.NDArray[np.void], fields: Fields, key: str) -> None:
    wiring = getattr(fields.config, key)
    pe = lookup_pe(wiring.pe)
    dot = wiring.organisation == "dot_product"
    unit["organisation"] = Organisation.DOT if dot else DATAFLOWS[wiring.dataflow]
    for name in ("rows", "cols", "lanes"):
        unit[name] = fields.number(f"{key}.{name}")
    for name in ("latency", "interval"):
        given = fields.number(f"{key}.{name}")
        unit[name] = getattr(pe, name) if given is None else given
    unit["interleave"], unit["overlap"] = wiring.interleave, wiring.overlap
    unit["gating"] = Gating[wiring.clock_gating.upper()]
    unit["accumulator_bits"] = fields.number(f"{key}.accumulator.bits")
    unit["activation_bits"] = lookup_format(pe.activation).bits
    unit["weight_bits"] = lookup_format(pe.weight).bits
    for name in ("skips_zero", "multiplies", "fused", "product_bits"):
        unit[name] = getattr(pe, name)
    unit["casts"] = pe.float_sum
    toggles = ("toggle_zero_plus", "toggle_zero_minus", "toggle_plus_minus")
    for name, bits in zip(toggles, TERNARY_TOGGLES[pe.weight], strict=True):
        unit[name] = bits
    unit["dataflows"] = 1 << Organisation.DOT
    if not dot:
        unit["dataflows"] = sum(1 << DATAFLOWS[name] for name in dataflows_of(wiring))
    unit["drain_adders"] = has_drain_adders(wiring)
    unit["operand_register_bits"] = operand_register_bits(wiring, unit)
    unit["sum_register_bits"] = sum_register_bits(wiring, unit)


def _fill_choices(machines: npt.NDArray[np.void], fields: Fields) -> None:
    config = fields.config
    packing = lookup_packing(config.weights.packing)
    machines["place_attention"] = UNIT_CODES[config.placement.attention]
    machines["place_lm_head"] = UNIT_CODES[config.placement.lm_head]
    machines["vector_lanes"] = fields.number("vector.lanes")
    machines["vector_latency"] = fields.number("vector.latency")
    machines["packing_numerator"] = packing.bits_numerator
    machines["packing_denominator"] = packing.bits_denominator
    machines["packing_block"], machines["packing_rest_bits"] = packing.block, packing.rest_bits
    machines["packing_tensor_bits"] = packing.tensor_bits
    decoder = Decoder[config.weights.decoder.upper()] if packing.decoder else Decoder.NONE
    machines["decoder"] = decoder
    machines["unpacked_bits"] = lookup_format(lookup_pe(config.array.pe).weight).bits
    for name in STORED:
        machines[f"{name}_bits"] = lookup_format(getattr(config.formats, name)).bits
    machines["scale_on_drain"] = config.fused.scale_on_drain
    machines["absmax_on_write"] = config.fused.absmax_on_write


def _fill_memory(machines: npt.NDArray[np.void], fields: Fields) -> None:
    for name in BUFFERS:
        capacity = np.asarray(fields.number(f"sram.{name}.capacity_kib"))
        stream = np.asarray(fields.number(f"sram.{name}.stream_kib"))
        if name == "output":
            stream = capacity
        else:
            machines[f"{name}_keep"] = (capacity - stream) * 1024
        machines[f"{name}_stream"] = stream * 1024
        machines[f"{name}_width"] = fields.number(f"sram.{name}.width_bits")
        machines[f"{name}_banks"] = fields.number(f"sram.{name}.banks")
    capacity_gib = np.asarray(fields.number("dram.capacity_gib"))
    machines["dram_capacity"] = (capacity_gib * 2.0**30).astype(np.int64)
    machines["dram_gib"] = capacity_gib
    peak, clock = (
        np.asarray(fields.number(path), dtype=np.float64)
        for path in ("dram.bandwidth_gb_per_s", "clock_mhz")
    )
    machines["dram_gb_per_s"], machines["clock_mhz"] = peak, clock
    sustained = peak * np.asarray(fields.number("dram.sustained"), dtype=np.float64)
    machines["dram_bytes_per_cycle"] = sustained * 1e3 / clock
    machines["burst"] = fields.number("dram.burst_bytes")


def _fill_resident(machines: npt.NDArray[np.void], config: DesignConfig) -> None:
    order = config.sram.resident
    for position in range(len(Resident)):
        named = position < len(order)
        machines[f"resident_{position}"] = Resident[order[position].upper()] if named else -1
