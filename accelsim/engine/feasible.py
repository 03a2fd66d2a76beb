"""Rules that span fields, a network and a technology: what a design must satisfy to run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from accelsim.config import DesignConfig
from accelsim.engine.residency import class_bytes
from accelsim.errors import UserError
from accelsim.formats import lookup_packing
from accelsim.hardware.design import (
    ARRAY,
    MAC,
    VECTOR,
    Decoder,
    Designs,
    Organisation,
    unit_pe,
)
from accelsim.hardware.memory import dram_prices
from accelsim.hardware.technology import Technology
from accelsim.trace import Kind, Stationary, Trace

INT8_PEAK = 127  # |int8 code|: absmax quantisation never gives -128


def check_design(
    designs: Designs, index: int, trace: Trace, technology: Technology, file: object
) -> None:
    """Refuse a design that cannot run ``trace``; the UserError names file and key."""
    config = designs.configs[index]
    dram_prices(technology, config.dram.kind, file=file)
    _check_clock(config, technology, file)
    _check_form(config, trace, file)
    _check_accumulator(config, trace, file)
    _check_tiles(designs, index, config, file)
    _check_capacity(designs, index, config, trace, file)


def _check_clock(config: DesignConfig, technology: Technology, file: object) -> None:
    """A PE of single-cycle delay d, cut into L stages, clocks at L / d at best."""
    for code, key in ((ARRAY, "array"), (MAC, "mac")):
        pe = unit_pe(config, code)
        unit = (config.array, config.mac)[code]
        delay = technology.find(f"pe.{pe.name}.delay") if pe else None
        if pe is None or unit is None or delay is None:
            continue
        best = (unit.latency or pe.latency) * 1e3 / float(delay.value)
        if config.clock_mhz > best:
            raise UserError(
                f"{key} PE {pe.name} does not reach this clock in {technology.name}",
                file=file,
                key="clock_mhz",
                value=config.clock_mhz,
                allowed=f"allowed: up to {best:.0f} at latency {unit.latency or pe.latency}",
            )


def _check_form(config: DesignConfig, trace: Trace, file: object) -> None:
    pe = unit_pe(config, ARRAY)
    assert pe is not None
    dense = bool(np.any(trace.operators["stationary"] == Stationary.DENSE))
    if dense and not pe.float_sum:
        raise UserError(
            f"PE {pe.name} cannot run {trace.network}, whose weights are not ternary",
            file=file,
            key="array.pe",
            value=pe.name,
            allowed="allowed: a floating PE",
        )
    if dense and lookup_packing(config.weights.packing).ternary_only:
        raise UserError(
            f"packing holds ternary weights only, {trace.network} has others",
            file=file,
            key="weights.packing",
            value=config.weights.packing,
            allowed="allowed: fp16, bf16",
        )


def sum_bits(trace: Trace) -> int:
    """Return the signed bits that hold every integer sum of a trace in any order of addition.

    From the observed sum |code * weight|; where that was not asked for, from the observed sum
    |code|; from the largest code where nothing was observed.
    """
    o = trace.operators
    largest = INT8_PEAK * o["k"]
    for observed in ("activation_sum", "accumulator_bound"):
        largest = np.where(o[observed] >= 0, o[observed], largest)
    return int(np.max(largest[o["kind"] == Kind.GEMM], initial=0)).bit_length() + 1


def _check_accumulator(config: DesignConfig, trace: Trace, file: object) -> None:
    """An integer accumulator that must not overflow holds every sum in any order of addition."""
    pe = unit_pe(config, ARRAY)
    assert pe is not None
    if pe.float_sum or config.array.accumulator.overflow != "error":
        return
    needed = sum_bits(trace)
    if config.array.accumulator.bits < needed:
        raise UserError(
            f"accumulator is too narrow for {trace.network}",
            file=file,
            key="array.accumulator.bits",
            value=config.array.accumulator.bits,
            allowed=f"allowed: at least {needed}, or overflow: wrap or saturate",
        )


def _check_tiles(designs: Designs, index: int, config: DesignConfig, file: object) -> None:
    """Two tiles of each operand fit its streaming buffer, those of sums the output buffer."""
    machine = designs.machines[index]
    used = {ARRAY, int(machine["place_attention"]), int(machine["place_lm_head"])} - {VECTOR}
    for code in sorted(used):
        for buffer, key, bits in _tile_bits(designs.units[index, code], machine, code):
            needed = 2 * -(-bits // 8)
            room = int(machine[f"{buffer}_stream"])
            if needed > room:
                raise UserError(
                    f"cannot hold two tiles of the {('array', 'mac')[code]}",
                    file=file,
                    key=f"sram.{buffer}.{key}",
                    value=room // 1024,
                    allowed=f"allowed: at least {-(-needed // 1024)}",
                )


def _tile_bits(unit: np.void, machine: np.void, code: int) -> Iterator[tuple[str, str, int]]:
    """Yield buffer, key and bits of one tile: a held operand whole, a streamed one by words."""
    rows, cols, lanes, organisation = (
        int(unit[name]) for name in ("rows", "cols", "lanes", "organisation")
    )
    pes = rows * cols * lanes
    activations, weights, sums = rows * lanes, cols * lanes, rows * cols
    if organisation == Organisation.SYSTOLIC_WS:
        weights, sums = pes, cols
    elif organisation == Organisation.SYSTOLIC_IS:
        activations, weights, sums = pes, rows, cols
    widest = max(int(machine[f"{name}_bits"]) for name in ("head", "kv"))
    if code == ARRAY:
        widest = -(-int(machine["packing_numerator"]) // int(machine["packing_denominator"]))
        if machine["decoder"] == Decoder.DRAM:
            widest = int(machine["unpacked_bits"])
    yield "weight", "stream_kib", weights * widest
    yield "activation", "stream_kib", activations * int(unit["activation_bits"])
    yield "output", "capacity_kib", sums * int(unit["accumulator_bits"])


def _check_capacity(
    designs: Designs, index: int, config: DesignConfig, trace: Trace, file: object
) -> None:
    needed = int(class_bytes(trace, designs)[index].sum())
    if needed > int(designs.machines[index]["dram_capacity"]):
        raise UserError(
            f"weights and KV cache of {trace.network} do not fit",
            file=file,
            key="dram.capacity_gib",
            value=config.dram.capacity_gib,
            allowed=f"allowed: at least {needed / 2**30:.3g}",
        )
