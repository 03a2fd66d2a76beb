"""Designs as columns: one YAML is one row, everything downstream is an array over designs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from accelsim.config import ArrayConfig, BufferConfig, DesignConfig
from accelsim.errors import UserError
from accelsim.formats import lookup_format, lookup_packing
from accelsim.hardware.pe import PE, TERNARY_TOGGLES, lookup_pe
from accelsim.hardware.registers import operand_register_bits, sum_register_bits

ARRAY, MAC, VECTOR = 0, 1, 2
UNIT_CODES = {"array": ARRAY, "mac": MAC, "vector": VECTOR}


class Organisation(IntEnum):
    """How the PEs of an array are wired."""

    SYSTOLIC_OS = 0
    SYSTOLIC_WS = 1
    SYSTOLIC_IS = 2
    DOT = 3


class Gating(IntEnum):
    """What stops its clock while it has nothing to do."""

    NONE = 0  # everything clocks in every cycle of the workload
    ARRAY = 1  # a unit that is not in use is stopped as a whole
    ROW = 2  # also rows without work
    PE = 3  # also every PE without a step


class Decoder(IntEnum):
    """Where packed weights are unpacked."""

    NONE = 0
    DRAM = 1
    SRAM = 2


class Resident(IntEnum):
    """Operand classes that may stay in SRAM."""

    NORM = 0
    CACHE = 1
    WEIGHTS = 2
    HEAD = 3


# One matrix unit of one design. ``toggle_*``: bits that change at the weight port.
UNIT_DTYPE = np.dtype(
    [
        (name, np.int64)
        for name in (
            "organisation",
            "rows",
            "cols",
            "lanes",
            "latency",
            "interval",
            "interleave",
            "overlap",
            "gating",
            "accumulator_bits",
            "activation_bits",
            "weight_bits",
            "skips_zero",
            "multiplies",
            "fused",
            "product_bits",
            "casts",
            "toggle_zero_plus",
            "toggle_zero_minus",
            "toggle_plus_minus",
            "operand_register_bits",
            "sum_register_bits",
        )
    ]
)
BUFFERS = ("activation", "weight", "output")
MACHINE_DTYPE = np.dtype(
    [
        (name, np.int64)
        for name in (
            "place_attention",
            "place_lm_head",
            "vector_lanes",
            "vector_latency",
            "packing_numerator",
            "packing_denominator",
            "packing_block",
            "packing_rest_bits",
            "packing_tensor_bits",
            "decoder",
            "unpacked_bits",
            "activation_bits",
            "kv_bits",
            "head_bits",
            "norm_bits",
            "activation_stream",  # bytes that double buffer, and bytes that keep residents
            "activation_keep",
            "weight_stream",
            "weight_keep",
            "output_stream",
            "activation_width",
            "activation_banks",
            "weight_width",
            "weight_banks",
            "output_width",
            "output_banks",
            "dram_capacity",
            "burst",
            "scale_on_drain",
            "absmax_on_write",
            "resident_0",
            "resident_1",
            "resident_2",
            "resident_3",
        )
    ]
    + [
        (name, np.float64)
        for name in ("dram_bytes_per_cycle", "dram_gb_per_s", "dram_gib", "clock_mhz")
    ]
)


@dataclass(frozen=True)
class Designs:
    """Machines as arrays over designs D.

    Attributes:
        configs: The validated YAML of each design, [D].
        units: ``UNIT_DTYPE`` [D, 2]: the array and the mac unit (zeros where there is none).
        machines: ``MACHINE_DTYPE`` [D].
    """

    configs: tuple[DesignConfig, ...]
    units: npt.NDArray[np.void]
    machines: npt.NDArray[np.void]

    def __len__(self) -> int:
        return len(self.configs)


@dataclass(frozen=True)
class Family:
    """Designs that differ in numbers only: one list of parts and charges serves them all.

    Attributes:
        config: One of them; stands for all in names and choices, never in numbers.
        units: ``UNIT_DTYPE`` [G, 2].
        machines: ``MACHINE_DTYPE`` [G].
    """

    config: DesignConfig
    units: npt.NDArray[np.void]
    machines: npt.NDArray[np.void]


def build_designs(configs: Iterable[DesignConfig], files: Sequence[object] = ()) -> Designs:
    """Resolve every name and return the designs as columns.

    Args:
        configs: Validated designs.
        files: Where each came from, for error messages; its name where missing.

    Raises:
        UserError: An unknown name, or units that do not fit together.
    """
    rows = tuple(configs)
    places = [files[i] if i < len(files) else c.name for i, c in enumerate(rows)]
    units = np.zeros((len(rows), 2), dtype=UNIT_DTYPE)
    machines = np.zeros(len(rows), dtype=MACHINE_DTYPE)
    for index, (config, file) in enumerate(zip(rows, places, strict=True)):
        units[index, ARRAY] = _unit_row(config.array, "array", file)
        if config.mac is not None:
            units[index, MAC] = _unit_row(config.mac, "mac", file)
        _check_roles(config, file)
        _fill_machine(machines, index, config, file)
    for table in (units, machines):
        table.setflags(write=False)
    return Designs(rows, units, machines)


def unit_pe(config: DesignConfig, unit: int) -> PE | None:
    """Return the PE of a unit code, None for the vector unit or a missing mac."""
    part = (config.array, config.mac, None)[unit]
    return None if part is None else lookup_pe(part.pe)


def _unit_row(config: ArrayConfig, key: str, file: object) -> tuple[int, ...]:
    pe = lookup_pe(config.pe, file=file, key=f"{key}.pe")
    if pe.fused and config.organisation != "dot_product":
        raise UserError(
            "a fused PE has no systolic form",
            file=file,
            key=f"{key}.organisation",
            value=config.organisation,
            allowed="allowed: dot_product",
        )
    if pe.float_sum and config.accumulator.bits != 32:
        raise UserError(
            "a floating sum is float32",
            file=file,
            key=f"{key}.accumulator.bits",
            value=config.accumulator.bits,
            allowed="allowed: 32",
        )
    dataflows = {
        "os": Organisation.SYSTOLIC_OS,
        "ws": Organisation.SYSTOLIC_WS,
        "is": Organisation.SYSTOLIC_IS,
    }
    organisation = (
        Organisation.DOT if config.organisation == "dot_product" else dataflows[config.dataflow]
    )
    return (
        organisation,
        config.rows,
        config.cols,
        config.lanes,
        config.latency or pe.latency,
        config.interval or pe.interval,
        config.interleave,
        config.overlap,
        Gating[config.clock_gating.upper()],
        config.accumulator.bits,
        lookup_format(pe.activation).bits,
        lookup_format(pe.weight).bits,
        pe.skips_zero,
        pe.multiplies,
        pe.fused,
        pe.product_bits,
        pe.float_sum,
        *TERNARY_TOGGLES[pe.weight],
        operand_register_bits(config, pe),
        sum_register_bits(config, pe),
    )


def _check_roles(config: DesignConfig, file: object) -> None:
    """Attention and lm_head multiply values that are not ternary: their unit must be floating."""
    for role in ("attention", "lm_head"):
        place = getattr(config.placement, role)
        pe = unit_pe(config, UNIT_CODES[place])
        if pe is not None and not pe.dense:
            raise UserError(
                f"{role} needs a floating multiplier, PE {pe.name} has none",
                file=file,
                key=f"placement.{role}",
                value=place,
                allowed="allowed: a unit with a floating PE, or vector",
            )


def _fill_machine(
    machines: npt.NDArray[np.void], index: int, config: DesignConfig, file: object
) -> None:
    row = machines[index]
    packing = lookup_packing(config.weights.packing, file=file, key="weights.packing")
    port = lookup_pe(config.array.pe).weight
    if not packing.decoder and packing.name != port:
        raise UserError(
            f"packing has no decoder to the {port} port of PE {config.array.pe}",
            file=file,
            key="weights.packing",
            value=packing.name,
            allowed=f"allowed: {port} or a ternary packing",
        )
    row["place_attention"] = UNIT_CODES[config.placement.attention]
    row["place_lm_head"] = UNIT_CODES[config.placement.lm_head]
    row["vector_lanes"], row["vector_latency"] = config.vector.lanes, config.vector.latency
    row["packing_numerator"] = packing.bits_numerator
    row["packing_denominator"] = packing.bits_denominator
    row["packing_block"], row["packing_rest_bits"] = packing.block, packing.rest_bits
    row["packing_tensor_bits"] = packing.tensor_bits
    row["decoder"] = Decoder[config.weights.decoder.upper()] if packing.decoder else Decoder.NONE
    row["unpacked_bits"] = lookup_format(port).bits
    for field in ("activation", "kv", "head", "norm"):
        name = getattr(config.formats, field)
        row[f"{field}_bits"] = lookup_format(name, file=file, key=f"formats.{field}").bits
    row["activation_stream"], row["activation_keep"] = _split(config.sram.activation)
    row["weight_stream"], row["weight_keep"] = _split(config.sram.weight)
    row["output_stream"] = config.sram.output.capacity_kib * 1024
    for name in BUFFERS:
        buffer = getattr(config.sram, name)
        row[f"{name}_width"], row[f"{name}_banks"] = buffer.width_bits, buffer.banks
    row["dram_capacity"] = int(config.dram.capacity_gib * 2**30)
    row["dram_gib"] = config.dram.capacity_gib
    row["dram_gb_per_s"] = config.dram.bandwidth_gb_per_s
    row["burst"] = config.dram.burst_bytes
    row["scale_on_drain"] = config.fused.scale_on_drain
    row["absmax_on_write"] = config.fused.absmax_on_write
    _fill_resident(row, config, file)
    row["clock_mhz"] = config.clock_mhz
    sustained = config.dram.bandwidth_gb_per_s * config.dram.sustained
    row["dram_bytes_per_cycle"] = sustained * 1e3 / config.clock_mhz


def _fill_resident(row: np.void, config: DesignConfig, file: object) -> None:
    order = config.sram.resident
    if len(set(order)) != len(order):
        raise UserError(
            "a class is named twice",
            file=file,
            key="sram.resident",
            value=order,
            allowed="each of norm, cache, weights, head at most once",
        )
    for position in range(len(Resident)):
        named = position < len(order)
        row[f"resident_{position}"] = Resident[order[position].upper()] if named else -1


def _split(buffer: BufferConfig) -> tuple[int, int]:
    """Return the streaming and the keeping part of a buffer in bytes."""
    return buffer.stream_kib * 1024, (buffer.capacity_kib - buffer.stream_kib) * 1024
